"""Notes: what a file declares to open itself, and what its properties say."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from linkscope.elf.notes import FDO_DLOPEN, DlopenEntry, dlopen_entries
from tests.elf.conftest import Unpacked
from tests.elf.samples import FixtureFile, RequireTool, ask, elf_files, opened, tool
from tests.oracle import elfwriter

PCRE: Mapping[str, Any] = {
    "soname": ["libpcre2-8.so.0", "libpcre2-8.so"],
    "feature": "regex",
    "description": "Regular expressions",
    "priority": "recommended",
}


def _declaring(tmp_path: Path, *notes: bytes, owner: str = "FDO", kind: int = FDO_DLOPEN) -> Path:
    return elfwriter.shared_object(tmp_path / "made", notes=tuple((owner, kind, note) for note in notes))


def test_a_note_declares_what_may_be_opened(tmp_path: Path) -> None:
    path = _declaring(tmp_path, json.dumps([PCRE]).encode() + b"\0")
    expected = DlopenEntry(("libpcre2-8.so.0", "libpcre2-8.so"), "regex", "Regular expressions", "recommended")
    assert ask(dlopen_entries, path) == (expected,)


def test_several_notes_and_several_entries_stand_in_order(tmp_path: Path) -> None:
    rows = [[{"soname": ["a"]}, {"soname": ["b"]}], [{"soname": ["c"]}]]
    path = _declaring(tmp_path, *(json.dumps(row).encode() for row in rows))
    assert [entry.soname for entry in ask(dlopen_entries, path)] == [("a",), ("b",), ("c",)]


BAD = {
    "no-json": b"{",
    "no-array": json.dumps(PCRE).encode(),
    "no-soname": b'[{"feature": "regex"}]',
    "soname-no-list": b'[{"soname": "libx.so"}]',
    "soname-no-text": b'[{"soname": [1]}]',
    "no-utf-8": b'[{"soname": ["\xff"]}]',
    "half-a-surrogate": b'[{"soname": ["\\ud800"]}]',
    "deep": b'[{"soname": ["x"], "more": ' + b"[" * 100_000,
    "empty": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_a_note_that_is_not_as_specified_says_nothing(name: str, tmp_path: Path) -> None:
    """The next one counts all the same."""
    path = _declaring(tmp_path, BAD[name], json.dumps([PCRE]).encode())
    assert [entry.feature for entry in ask(dlopen_entries, path)] == ["regex"]


@pytest.mark.parametrize(("owner", "kind"), [("GNU", FDO_DLOPEN), ("FDO", 0xCAFE1A7E)])
def test_another_owner_or_type_is_another_note(owner: str, kind: int, tmp_path: Path) -> None:
    assert ask(dlopen_entries, _declaring(tmp_path, json.dumps([PCRE]).encode(), owner=owner, kind=kind)) == ()


def test_systemds_libraries_declare_what_they_open(unpacked: Unpacked) -> None:
    """The texts in the note, as the strings of the file have them."""
    (library,) = [
        path
        for path in elf_files(os.fspath(unpacked("libsystemd-shared", suite="trixie")))
        if re.search(r"/libsystemd-shared-\d+\.so$", path)
    ]
    strings = re.findall(r"^\[(?:\{.*\"soname\".*\},?)+\]", tool("strings", library), re.MULTILINE)
    expected = {tuple(entry["soname"]) for text in strings for entry in json.loads(text)}
    assert len(expected) > 10
    assert {entry.soname for entry in ask(dlopen_entries, library)} == expected


def test_the_fixture_declares_what_its_source_says(fixture_file: FixtureFile) -> None:
    assert ask(dlopen_entries, fixture_file("runtime/declares-dlopen"))


LEVELS = {"baseline": 1, "v2": 2, "v3": 4, "v4": 8}


def _isa_of_readelf(path: str | os.PathLike[str]) -> int:
    found = re.search(r"x86 ISA needed: (.*)", tool("readelf", "-nW", path))
    return sum(LEVELS[name.removeprefix("x86-64-")] for name in re.split(r"[, ]+", found[1])) if found else 0


def test_the_isa_level_of_every_program_is_what_readelf_says(require_tool: RequireTool) -> None:
    require_tool("readelf")
    for path in elf_files("/usr/sbin"):
        with opened(path) as (_, image):
            assert image.x86_isa_needed == _isa_of_readelf(path), path


def test_properties_are_found_without_their_program_header(tmp_path: Path) -> None:
    """As a linker before binutils 2.32 wrote the file: glibc then looks through PT_NOTE."""
    path = elfwriter.shared_object(tmp_path / "made", isa_needed=LEVELS["v3"])
    with opened(path) as (_, image):
        assert image.x86_isa_needed == LEVELS["v3"]
    data = path.read_bytes()
    header = (0x6474E553).to_bytes(4, "little")
    assert data.count(header) == 1
    path.write_bytes(data.replace(header, bytes(4)))
    with opened(path) as (_, image):
        assert image.x86_isa_needed == LEVELS["v3"]
