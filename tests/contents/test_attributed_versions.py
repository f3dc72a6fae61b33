"""Which version of a library is linked in, by its code alone: Debian's releases, and archives of which all is known."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from linkscope.analysis.facts import file_facts
from linkscope.analysis.inspect import inspect
from linkscope.analysis.request import Depth
from linkscope.contents import doubts
from linkscope.contents.identify import inside
from tests.cli.conftest import REPOSITORY
from tests.contents import linkermaps
from tests.contents.attributed import (
    DECOYS,
    FUNCTION,
    OLD,
    RELEASED,
    SUITES,
    ZLIB,
    archive_of,
    by_name,
    calls,
    found_in,
    linked_with_map,
    of_all_suites,
)
from tests.contents.memorypack import MemoryPack, installed, installed_pack, read
from tests.contents.suites import package_files, package_version
from tests.elf.samples import opened
from tests.oracle.availability import Unavailable


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("library", RELEASED)
def test_the_version_of_debians_release_is_named(library: str, suite: str, tmp_path: Path) -> None:
    package, names, source = RELEASED[library]
    folder = package_files(suite, package) / "usr/lib/x86_64-linux-gnu"
    flags: list[str | Path] = [*(folder / name for name in names), "-Wl,--unresolved-symbols=ignore-all"]
    made, map_file = linked_with_map(tmp_path, source, flags)
    decoys = [archive for archive in installed() if archive.library != library]
    assert len(decoys) >= DECOYS
    found = found_in(made, MemoryPack([*of_all_suites(library), *decoys]))
    assert {one.name: one.version for one in found.libraries} == {library: package_version(suite, package)}
    sizes = linkermaps.linked_archives(map_file, made)
    assert found.attributed >= 0.95 * sum(size for name, size in sizes.items() if name in names)
    assert {one.archive.distribution for one in found.libraries[0].archives} == {suite}


_NEW = {"first": 1001, "second": 2002, "third": 2003, "fourth": 1004}
_BETWEEN = {"first": 1001, "second": 1002, "third": 2003, "fourth": 1004}
_UNKNOWN = {"first": 1001, "second": 3002, "third": 3003, "fourth": 1004}


@pytest.fixture
def two_versions(tmp_path: Path) -> MemoryPack:
    old, new = archive_of(tmp_path / "old", OLD), archive_of(tmp_path / "new", _NEW)
    return MemoryPack([*read(old, library="foo", version="1"), *read(new, library="foo", version="2")])


@pytest.mark.parametrize(
    ("marks", "used", "version", "fits", "doubt"),
    [
        (OLD, ("first", "second", "third", "fourth"), "1", ("1",), None),
        (_NEW, ("first", "second", "third", "fourth"), "2", ("2",), None),
        (_NEW, ("second", "fourth"), "2", ("2",), None),
        (OLD, ("first", "fourth"), None, ("1", "2"), doubts.SEVERAL),  # what both versions have
        (_BETWEEN, ("first", "second", "third", "fourth"), None, ("1", "2"), doubts.SEVERAL),  # one that is not known
        (_UNKNOWN, ("first", "second", "third", "fourth"), None, ("1", "2"), doubts.SEVERAL),
    ],
)
def test_a_version_is_named_where_the_code_tells_it(
    marks: dict[str, int],
    used: tuple[str, ...],
    version: str | None,
    fits: tuple[str, ...],
    doubt: str | None,
    two_versions: MemoryPack,
    tmp_path: Path,
) -> None:
    made, _ = linked_with_map(tmp_path, calls(*used), [archive_of(tmp_path / "linked", marks)])
    (found,) = found_in(made, two_versions).libraries
    assert (found.name, found.version, found.fits, found.doubt) == ("foo", version, fits, doubt)


def test_another_build_of_the_only_version_that_is_known_is_not_given_its_number(tmp_path: Path) -> None:
    known = read(archive_of(tmp_path / "known", OLD), library="foo", version="1")
    made, _ = linked_with_map(tmp_path, calls(*_UNKNOWN), [archive_of(tmp_path / "linked", _UNKNOWN)])
    (found,) = found_in(made, MemoryPack(known)).libraries
    assert (found.version, found.fits, found.doubt) == (None, ("1",), doubts.BETWEEN)


def _with_others(*others: tuple[int, int]) -> dict[str, int]:
    """A library of a dozen functions, with other numbers in the code of some of them."""
    return {f"f{number}": 1000 + number for number in range(12)} | {f"f{number}": mark for number, mark in others}


@pytest.mark.parametrize("same", [(0, 1), (5, 6), (10, 11)])
def test_a_few_functions_that_fit_one_version_only_do_not_give_its_number_to_all(
    same: tuple[int, int], tmp_path: Path
) -> None:
    """They have not changed between the newer one of two that are known and the one that is linked."""
    changed = [(number, 2000 + number) for number in same]
    old, new = archive_of(tmp_path / "old", _with_others()), archive_of(tmp_path / "new", _with_others(*changed))
    unknown = [(number, 3000 + number) for number in range(12) if number not in same]
    linked = _with_others(*unknown, *changed)
    pack = MemoryPack([*read(old, library="foo", version="1"), *read(new, library="foo", version="2")])
    made, _ = linked_with_map(tmp_path, calls(*linked), [archive_of(tmp_path / "linked", linked)])
    (found,) = found_in(made, pack).libraries
    assert (found.version, found.fits, found.doubt) == (None, ("2",), doubts.BESIDE)


@pytest.mark.parametrize("suite", SUITES)
def test_a_release_that_is_not_known_is_not_given_the_number_of_another(suite: str, tmp_path: Path) -> None:
    package, (name,), _ = RELEASED["zlib"]
    flags: list[str | Path] = [package_files(suite, package) / "usr/lib/x86_64-linux-gnu" / name]
    made, _ = linked_with_map(tmp_path, ZLIB, [*flags, "-Wl,--unresolved-symbols=ignore-all"])
    others = [archive for archive in of_all_suites("zlib") if archive.distribution != suite]
    assert {one.version for one in found_in(made, MemoryPack(others)).libraries} <= {None}


def test_a_programs_own_code_does_not_hide_the_c_librarys_version(tmp_path: Path) -> None:
    """A linker puts it behind what the library has in .text.unlikely, and before the library's other code."""
    own = [f"own{number}" for number in range(120)]
    source = "".join(FUNCTION.format(name=name, mark=5000 + number) for number, name in enumerate(own))
    made, _ = linked_with_map(tmp_path, source + calls(*own), ["-static"])
    found = found_in(made, installed_pack())
    assert found.size - found.attributed > 1 << 14
    versions = {archive.library: archive.version for archive in installed()}
    assert by_name(found)["glibc"].version == versions["glibc"]


def test_the_code_of_a_library_has_the_version_that_its_texts_tell(tmp_path: Path) -> None:
    archive = Path("/usr/lib/x86_64-linux-gnu/libz.a")
    if not archive.exists():
        raise Unavailable("zlib1g-dev is not installed")
    made, _ = linked_with_map(
        tmp_path, "#include <zlib.h>\n" + ZLIB.replace("int compress(), uncompress();", ""), [archive]
    )
    with opened(made) as (reader, image):
        found = inside(reader, image, file_facts(reader, image).file, [MemoryPack(read(archive, library="zlib"))])
    assert found.code is not None
    (zlib,) = (one for one in found.contents if one.name == "zlib")
    assert zlib.version is not None
    assert [(one.name, one.version) for one in found.code.libraries] == [("zlib", zlib.version)]


def test_two_versions_in_one_file_are_both_named(two_versions: MemoryPack, tmp_path: Path) -> None:
    old, new = archive_of(tmp_path / "a", OLD), archive_of(tmp_path / "b", _NEW, "new_")
    names = [*OLD, *(f"new_{name}" for name in _NEW)]
    made, _ = linked_with_map(tmp_path, calls(*names), [old, new])
    found = found_in(made, two_versions)
    assert sorted((one.name, one.version) for one in found.libraries) == [("foo", "1"), ("foo", "2")]
    assert found.attributed == sum(one.size for one in found.libraries)


def test_a_shared_library_that_is_nearly_an_archive_is_not_of_its_release() -> None:
    """43 of 46 sections of libssl.a are the same in the point release before; dpkg says which one is installed."""
    path = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
    if not os.path.exists(path) or not shutil.which("dpkg-query"):
        raise Unavailable("no libssl3 of Debian is installed")
    asked = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "libssl3"], capture_output=True, text=True)
    (file,) = inspect([path], depth=Depth(contents=True)).files
    there = [content for content in file.contents or () if content.name == "openssl"]
    assert {content.version for content in there} <= {None, asked.stdout.partition("-")[0]}
    assert all(content.version or content.evidence[0].doubt for content in there)


def test_every_reason_to_doubt_a_version_is_documented() -> None:
    text = (REPOSITORY / "docs/signatures.md").read_text()
    reasons = [reason for name, reason in vars(doubts).items() if name.isupper() and not name.startswith("_")]
    assert len(reasons) == 7
    assert [reason for reason in reasons if f"| {reason} |" not in text] == []
