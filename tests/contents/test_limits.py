"""The bounds of the search for contents: a file that meets one says so, and one that does not has none."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from linkscope.analysis.facts import file_facts
from linkscope.contents import embedded, matcher, rust
from linkscope.contents.identify import inside
from linkscope.contents.limits import Limits
from linkscope.model.inspect import LimitCode
from tests.cli.conftest import Linkscope
from tests.cli.conftest import linkscope as linkscope
from tests.contents.samples import linked, texts, with_constants
from tests.contents.test_matcher import _Alike
from tests.elf.samples import ask, opened

_HEADER, _SEGMENT, _NOTE = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ"), struct.Struct("<III")
_PT_LOAD, _PT_NOTE = 1, 4
_READ, _WRITE, _EXECUTABLE = 4, 6, 1
_STANDARD = "/rustc/" + "a" * 40 + "/library/"


def _program(path: Path, kind: int, flags: int, data: bytes, size: int) -> Path:
    """A static program with one segment that begins with DATA and has SIZE bytes, most of them a hole in the file."""
    at = _HEADER.size + _SEGMENT.size
    header = _HEADER.pack(b"\x7fELF\2\1\1", 2, 62, 1, 0x1000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    path.write_bytes(header + _SEGMENT.pack(kind, flags, at, at, at, size, size, 8) + data)
    os.truncate(path, at + size)
    return path


def _many_constants(path: Path) -> Path:
    return _program(path, _PT_LOAD, _READ, b"", (1 << 30) + 1)


def _much_writable_data(path: Path) -> Path:
    return _program(path, _PT_LOAD, _WRITE, b"", (1 << 28) + 1)


def _much_appended(path: Path) -> Path:
    _program(path, _PT_LOAD, _READ, b"", 8)
    os.truncate(path, path.stat().st_size + (1 << 29) + 1)
    return path


@pytest.mark.parametrize(
    ("make", "code"),
    [(_many_constants, "constants"), (_much_writable_data, "writable-data"), (_much_appended, "appended")],
    ids=["constants", "writable-data", "appended"],
)
def test_what_is_larger_than_is_looked_through_is_said(
    make: Callable[[Path], Path], code: LimitCode, tmp_path: Path
) -> None:
    """One byte is too much, and the byte before is not."""
    path = make(tmp_path / "made")
    assert _by_size(path) == [code]
    size = path.stat().st_size - 1
    with open(path, "r+b") as file:
        file.truncate(size)
    assert _by_size(path) == []


def _by_size(path: Path) -> list[LimitCode]:
    limits = Limits()
    ask(limits.met_by_size, path)
    return [one.code for one in limits.listed()]


def _texts(path: Path) -> Path:
    """Twice as many as ICU's banner is held against."""
    return with_constants(path, texts(*("icudt" for _ in range(16_384))))


def _numbers(path: Path) -> Path:
    return with_constants(path, texts(*(f"1.{number}.x" for number in range(2_000))))


def _marks(path: Path) -> Path:
    return with_constants(path, b"\0GNAT Version: " * 20_000)


def _crates(path: Path) -> Path:
    return with_constants(path, texts(_STANDARD, *(f"registry/src/x/a{n}-1.0.0/src/lib.rs" for n in range(257))))


def _bundles(path: Path) -> Path:
    """More cookies of PyInstaller than are looked at, behind the program, none of which leads to an archive."""
    with_constants(path, texts("nothing"))
    with open(path, "ab") as file:
        file.write((b"MEI\x0c\x0b\x0a\x0b\x0e" + bytes(80)) * 17)
    return path


def _notes(path: Path) -> Path:
    note = _NOTE.pack(4, 4, 1) + b"abc\0" + bytes(4)
    return _program(path, _PT_NOTE, _READ, note * 257, len(note) * 257)


def _files(path: Path) -> Path:
    """A payload of Nuitka with more files than are listed, each empty."""
    entries = b"".join(b"file%d\0" % number + bytes(9) for number in range(257))
    return with_constants(path, b"NUITKA_ONEFILE_PARENT\0KAX" + entries + bytes(64))


MADE: dict[LimitCode, Callable[[Path], Path]] = {
    "texts": _texts,
    "numbers": _numbers,
    "marks": _marks,
    "crates": _crates,
    "bundles": _bundles,
    "notes": _notes,
    "files": _files,
}


# What takes seconds to be met is met sooner here.
LOWER = {"numbers": (embedded, "_MOST_NUMBERS", 1 << 12), "crates": (rust, "_MOST_CRATES", 1 << 8)}


@pytest.mark.parametrize("code", MADE)
def test_what_a_file_has_too_much_of_is_said(code: LimitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if code in LOWER:
        monkeypatch.setattr(*LOWER[code])
    with opened(MADE[code](tmp_path / "made")) as (reader, image):
        found = inside(reader, image, file_facts(reader, image).file)
    assert [one.code for one in found.limits] == [code]


def test_that_code_was_compared_in_vain_too_often_is_said(tmp_path: Path) -> None:
    """Anchors of long code, one behind the other; where there are few of them, all are compared."""
    codes: list[LimitCode] = []
    for count, expected in ((1 << 2, []), (1 << 15, ["code"])):
        data = (_Alike.ANCHOR + _Alike.CHECK) * count + bytes(1 << 20)
        with opened(with_constants(tmp_path / "anchors", data, _READ | _EXECUTABLE)) as (reader, image):
            assert matcher.matches(reader, image, [_Alike(2)], codes.append) == []
        assert set(codes) == set(expected)


def test_each_bound_has_its_words() -> None:
    limits = Limits()
    for code in get_args(LimitCode):
        limits.met(code)
    assert [one.code for one in limits.listed()] == list(get_args(LimitCode))
    assert all("more" in one.message and "." not in one.message for one in limits.listed())


def test_it_stands_in_the_document_and_in_one_line_of_the_text(linkscope: Linkscope, tmp_path: Path) -> None:
    _files(tmp_path / "bundle")
    ran = linkscope("inspect", "--contents", "--format", "json", "bundle")
    (file,) = msgspec.json.decode(ran.stdout)["files"]
    assert [one["code"] for one in file["limits"]] == ["files"]
    lines = linkscope("inspect", "--contents", "bundle").stdout.decode().splitlines()
    (line,) = [one for one in lines if one.startswith("  limits")]
    assert line.split(maxsplit=1)[1] == f"not all was looked at: {file['limits'][0]['message']}"


def test_an_ordinary_program_meets_none(linkscope: Linkscope, tmp_path: Path) -> None:
    linked(tmp_path / "app", "int main(void) { return 0; }\n", ["-static"])
    for asked, limits in (("--contents", []), ("--symbols", None)):
        ran = linkscope("inspect", asked, "--format", "json", "app")
        (file,) = msgspec.json.decode(ran.stdout)["files"]
        assert file["limits"] == limits
    assert b"limits" not in linkscope("inspect", "--contents", "app").stdout
