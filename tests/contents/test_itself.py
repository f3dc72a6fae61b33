"""What a file itself is, among what is found in it: dpkg and the build say so, and never the file's name."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.inspect import inspect
from linkscope.analysis.request import Assumptions, Depth
from linkscope.contents.itself import marked
from linkscope.contents.libraries import library_of
from linkscope.model.inspect import Content, Evidence, File
from tests.cli.conftest import Linkscope
from tests.cli.conftest import linkscope as linkscope
from tests.contents.machine import built
from tests.contents.test_databases import dpkg
from tests.oracle.availability import Unavailable

_CONTENTS = Depth(contents=True)
_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
FILES = (
    *("/usr/bin/bash", "/usr/bin/column", "/usr/bin/busctl", "/usr/bin/zstd", "/usr/bin/perl"),
    *(f"{_LIBRARIES}/{name}" for name in ("libssl.so.3", "libz.so.1", "libcurl.so.4", "libsqlite3.so.0")),
)


def _file(path: str | Path, root: str = "/") -> File:
    document = inspect([os.fspath(path)], Assumptions(root=root), _CONTENTS)
    assert document.errors == []
    return document.files[0]


def test_a_file_is_of_the_project_of_its_package_and_all_else_is_inside() -> None:
    """By what dpkg says of the source package; six and more of these files are recognised."""
    sources = {path: one.source for path, one in built(map(os.path.realpath, FILES)).items()}
    if not sources:
        raise Unavailable("dpkg knows none of the files")
    recognised = 0
    for path, source in sources.items():
        contents = [one for one in _file(path).contents or () if one.ecosystem == "generic"]
        itself = {one.name for one in contents if one.itself}
        assert itself == {one.name for one in contents} & {library_of("", source)}, path
        recognised += bool(itself)
    assert recognised >= min(6, len(sources) - 1)


def test_what_a_file_is_called_says_nothing(tmp_path: Path) -> None:
    """A copy of bash that nobody has installed, under its own name."""
    bash = shutil.which("bash")
    if bash is None:
        raise Unavailable("bash is not here")
    shutil.copy(bash, tmp_path / "bash")
    contents = {one.name: one.itself for one in _file(tmp_path / "bash").contents or ()}
    assert contents["bash"] is False


def test_below_another_root_its_own_packages_say_whose_a_file_is(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        raise Unavailable("bash is not here")
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in ("one", "two"):
        shutil.copy(bash, tmp_path / f"usr/bin/{name}")
    dpkg(tmp_path, bash=["/usr/bin/one"], other=["/usr/bin/two"])
    for name, own in (("one", True), ("two", False)):
        found = {one.name: one.itself for one in _file(f"/usr/bin/{name}", os.fspath(tmp_path)).contents or ()}
        assert found["bash"] is own


def _content(ecosystem: str, name: str, kind: str, text: str) -> Content:
    proof = msgspec.convert({"kind": kind, "text": text}, Evidence)
    return Content(name=name, ecosystem=ecosystem, version="1", evidence=[proof])


GO = _content("go", "example.com/app", "go-buildinfo", "mod example.com/app v1")
DEPENDENCY = _content("go", "example.com/library", "go-buildinfo", "dep example.com/library v1 h1:abc=")
CRATE = _content("cargo", "app", "rust-audit", "app 1 (the program itself)")
NOTE = _content("deb", "slang2", "note", "deb slang2 1 (debian)")
OTHER_NOTE = _content("deb", "other", "note", "deb other 1 (debian)")
PLAIN = _content("generic", "slang", "banner", "2.3.3")
START = _content("generic", "glibc", "note", "NT_GNU_ABI_TAG")


@pytest.mark.parametrize(
    ("contents", "source", "expected"),
    [
        ([GO, DEPENDENCY], None, [True, False]),
        ([CRATE, PLAIN], None, [True, False]),
        ([NOTE, PLAIN, START], None, [True, True, False]),
        ([NOTE, OTHER_NOTE, PLAIN], None, [False, False, False]),
        ([PLAIN, START], "slang2", [True, False]),
        ([PLAIN, START], "glibc", [False, True]),
        ([PLAIN, DEPENDENCY], "example.com/library", [False, False]),
    ],
    ids=["go", "rust", "note", "two-notes", "package", "c-library", "another-ecosystem"],
)
def test_the_build_or_the_package_says_it(contents: list[Content], source: str | None, expected: list[bool]) -> None:
    found = marked(contents, source)
    assert [one.itself for one in found] == expected
    assert marked(found) == found


def test_who_finds_it_all_the_same(linkscope: Linkscope) -> None:
    if not Path("/usr/bin/bash").exists():
        raise Unavailable("bash is not here")
    ran = linkscope("who", "bash", "/usr/bin/bash", "--format", "json")
    assert ran.returncode == 0
    assert [one["path"] for one in msgspec.json.decode(ran.stdout)["matches"]] == ["/usr/bin/bash"]
