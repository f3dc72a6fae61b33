"""The loader's view of a file, beside readelf's."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.notes import build_id
from tests.elf.samples import DEBUG_FILES, LIBRARIES, PROGRAMS, elf_files, opened, readelf

Facts = dict[str, object]
FLAGS_1 = {"NOW": 0x1, "GLOBAL": 0x2, "NODELETE": 0x8, "INITFIRST": 0x20, "NOOPEN": 0x40, "ORIGIN": 0x80}
FLAGS_1 |= {"INTERPOSE": 0x400, "NODEFLIB": 0x800, "PIE": 0x8000000}


def _strings(tag: str, text: str) -> list[str]:
    return re.findall(rf"\({tag}\) .*\[(.*)\]", text)


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found and found[1]


def _judged(text: str) -> Facts:
    """What readelf -hldVnW says."""
    flags = (_first(r"\(FLAGS_1\) +Flags: (.*)", text) or "").split()
    headers = int(_first(r"Number of program headers: +(\d+)", text) or 0)
    needs = text.partition("Version needs section")[2]
    return {
        "class": int(_first(r"Class: +ELF(\d+)", text) or 0),
        "little": "little endian" in text,
        "type": _first(r"Type: +(\w+)", text),
        "entry": int(_first(r"Entry point address: +(0x\w+)", text) or "-1", 16),
        "segments": headers,
        "interpreter": _first(r"\[Requesting program interpreter: (.*)\]", text),
        "needed": _strings("NEEDED", text),
        "soname": _first(r"\(SONAME\) .*\[(.*)\]", text),
        "rpath": _first(r"\(RPATH\) .*\[(.*)\]", text),
        "runpath": _first(r"\(RUNPATH\) .*\[(.*)\]", text),
        "flags_1": sum(FLAGS_1[flag] for flag in flags),
        "version needs": re.findall(r"Name: (\S+)  Flags", needs),
        "version files": re.findall(r"File: (\S+)  Cnt", needs),
        "build id": _first(r"Build ID: (\w+)", text),
    }


def _read(image: Image, own_build_id: str | None) -> Facts:
    return {
        "class": image.elf_class,
        "little": image.layout.order == "<",
        "type": c.TYPE_NAMES[image.type],
        "entry": image.entry,
        "segments": len(image.segments),
        "interpreter": image.interpreter,
        "needed": list(image.needed),
        "soname": image.soname,
        "rpath": image.rpath,
        "runpath": image.runpath,
        "flags_1": image.dt_flags_1,
        "version needs": [version.name for need in image.verneed for version in need.versions],
        "version files": [need.file for need in image.verneed],
        "build id": own_build_id,
    }


def _differences(paths: list[str]) -> list[str]:
    judged = readelf("-hldVnW", paths)
    assert len(judged) >= len(paths)
    found = []
    for path in paths:
        with opened(path) as (reader, image):
            own = _read(image, build_id(reader, image))
        expected = _judged(judged[path])
        found += [f"{path}: {fact}: {own[fact]} {expected[fact]}" for fact in own if own[fact] != expected[fact]]
    return found


@pytest.mark.parametrize("folders", [PROGRAMS, LIBRARIES], ids=["programs", "libraries"])
def test_every_file_of_the_machine_reads_as_readelf_reads_it(folders: tuple[str, ...]) -> None:
    assert _differences([path for path in elf_files(*folders) if not path.startswith(DEBUG_FILES)]) == []


def test_files_of_other_machines_read_as_readelf_reads_them(foreign_files: tuple[str, ...]) -> None:
    """32 and 64 bits, both byte orders."""
    forms = set()
    for path in foreign_files:
        with opened(path) as (_, image):
            forms.add((image.elf_class, image.layout.order))
    assert forms == {(32, "<"), (32, ">"), (64, "<"), (64, ">")}
    assert _differences(list(foreign_files)) == []


def test_the_build_id_of_a_debug_file_is_that_of_its_program(fixture_file: Callable[[str], Path]) -> None:
    ids = []
    for name in ("kinds/with-debug", "kinds/hello.debug"):
        with opened(fixture_file(name)) as (reader, image):
            ids.append(build_id(reader, image))
    assert ids[0] is not None
    assert ids[0] == ids[1]
