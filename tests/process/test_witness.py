"""The build id in memory, and what a doubtful file becomes by it: the file itself is the judge."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.errors import LinkScopeError
from linkscope.process import procfs, witness
from linkscope.process.disk import Standing
from linkscope.process.mappings import Mapping, read_maps
from linkscope.process.observation import Observer
from linkscope.process.views import Views
from tests.process.inside import Pages
from tests.process.started import started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]


def _library(pid: int) -> list[Mapping]:
    """The mappings of what `dlopen` has opened."""
    return [mapping for mapping in read_maps(pid) if mapping.name.endswith("/library.so")]


def _doubtful(path: Path) -> Standing:
    return Standing("unknown", str(path), None, str(path), None, "for a test", doubtful=True)


@pytest.fixture
def library(fixture_file: FixtureFile, tmp_path: Path) -> Path:
    return Path(shutil.copy(fixture_file("process/libheld.so"), tmp_path / "library.so"))


def test_of_every_object_of_every_process_memory_has_the_build_id_of_the_file() -> None:
    observer = Observer(Views())
    compared = 0
    for pid in procfs.pids():
        with contextlib.suppress(LinkScopeError), procfs.Memory(pid) as memory:
            for one in observer.observe(pid, costs=False).objects:
                if one.facts and one.standing and one.standing.disk == "same":
                    found = witness.build_id(memory, one.mappings)
                    # Go's linker leaves the note out of every segment (see elf/notes.py).
                    assert found in (one.facts.build_id, None)
                    compared += found is not None
    assert compared


def test_the_build_id_in_memory_is_the_one_that_readelf_prints(
    fixture_file: FixtureFile, library: Path, require_tool: RequireTool
) -> None:
    printed = subprocess.run([require_tool("readelf"), "-n", library], capture_output=True, text=True, check=True)
    with started([fixture_file("process/dlopen"), library]) as program:
        program.expect("ready")
        with procfs.Memory(program.pid) as memory:
            assert f"Build ID: {witness.build_id(memory, _library(program.pid))}\n" in printed.stdout


def test_a_doubtful_file_is_judged_by_memory(fixture_file: FixtureFile, library: Path, tmp_path: Path) -> None:
    """The same bytes: the same. Other bytes: another file, or the same one written over, by the number of the inode."""
    copy = Path(shutil.copy(library, tmp_path / "copy.so"))
    other = Path(shutil.copy(fixture_file("process/libheld-new.so"), tmp_path / "other.so"))
    words = Path(shutil.copy(fixture_file("process/libheld-words.so"), tmp_path / "words.so"))
    with started([fixture_file("process/dlopen"), library]) as program:
        program.expect("ready")
        mappings = _library(program.pid)

        def asked(path: Path) -> Standing:
            return witness.asked(program.pid, mappings, _doubtful(path))

        for path in (library, copy):
            assert (asked(path).disk, asked(path).identity) == ("same", (path.stat().st_dev, path.stat().st_ino))
        for path in (other, words):
            assert (asked(path).disk, asked(path).location) == ("replaced", None)
        with open(library, "r+b") as file:
            file.write(other.read_bytes())
        assert asked(library).disk == "overwritten"
        for nothing in (tmp_path / "absent", tmp_path):
            assert asked(nothing) == _doubtful(nothing)


def test_without_a_build_id_only_a_contradiction_tells(
    fixture_file: FixtureFile, library: Path, require_tool: RequireTool
) -> None:
    subprocess.run([require_tool("objcopy"), "--remove-section=.note.gnu.build-id", library], check=True)
    with started([fixture_file("process/dlopen"), library]) as program:
        program.expect("ready")
        mappings = _library(program.pid)
        assert witness.asked(program.pid, mappings, _doubtful(library)) == _doubtful(library)
        other = fixture_file("process/libheld-new.so")
        assert witness.asked(program.pid, mappings, _doubtful(other)).disk == "replaced"


def test_what_is_not_doubtful_is_left_alone(library: Path) -> None:
    standing = Standing("replaced", str(library), None, str(library), None)
    assert witness.asked(os.getpid(), [], standing) is standing


@pytest.mark.parametrize("head", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(60), b"MZ" + bytes(62)])
def test_memory_that_is_no_elf_file_has_no_build_id(head: bytes) -> None:
    mapping = Mapping(0x1000, 0x2000, True, False, True, False, 0, (1, 1), "/x")
    assert witness.build_id(Pages({0x1000: head}), [mapping]) is None
