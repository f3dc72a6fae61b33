"""What Nuitka makes of a script: its own files, and payloads as its writer lays them out."""

import os
import struct
from pathlib import Path

import pytest

from linkscope.contents import bundles, languages
from linkscope.model.inspect import Content
from tests.contents import builders
from tests.contents.samples import linked, texts, with_constants
from tests.elf.samples import ask


def _told(path: str | os.PathLike[str]) -> list[str]:
    contents: list[Content] = ask(bundles.contents, path)
    return [proof.text or "" for one in contents if one.name == "nuitka" for proof in one.evidence]


def test_a_program_in_one_file_says_where_its_payload_is() -> None:
    made = builders.nuitka_made()
    (text,) = _told(made)
    assert text == f"Nuitka onefile: payload at {made.read_bytes().index(b'KAY' + ZSTD)} (zstd)"


def test_code_that_nuitka_compiled_is_told_by_its_run_time_system() -> None:
    contents: list[Content] = ask(languages.contents, builders.nuitka_made().with_suffix(".dist") / "hello.bin")
    assert "nuitka" in {one.name for one in contents}


ZSTD = b"\x28\xb5\x2f\xfd"


def _file(name: bytes, content: bytes, checksum: bytes = b"") -> bytes:
    return name + b"\0\1" + struct.pack("<Q", len(content)) + checksum + content


LINK = b"lib.so\0\2lib.so.1\0"
PAYLOADS = {
    "stream": (b"KAY" + ZSTD + bytes(64), ["(zstd)"]),
    "files": (b"KAX" + _file(b"a", b"abc") + _file(b"d/b", b"") + b"\0", ["(not compressed), 2 files", "a", "d/b"]),
    "checksums": (
        b"KAX" + _file(b"a", b"abc", b"\1\2\3\4") + LINK + b"\0",
        ["(not compressed), 2 files", "a", "lib.so"],
    ),
    "archive": (
        b"KAY" + _file(b"a", b"", struct.pack("<I", 9)) + b"123456789" + b"\0",
        ["(zstd, each file), 1 files", "a"],
    ),
}


@pytest.mark.parametrize("place", ["appended", "constants"])
@pytest.mark.parametrize("name", PAYLOADS)
def test_payloads_are_read_as_they_are_written(name: str, place: str, tmp_path: Path) -> None:
    payload, (first, *files) = PAYLOADS[name]
    made = tmp_path / "made"
    if place == "appended":
        host = linked(tmp_path / "host", "int main(void) { return 0; }\n", []).read_bytes()
        made.write_bytes(host + payload + struct.pack("<Q", len(host)))
    else:
        with_constants(made, texts("NUITKA_ONEFILE_PARENT") + b"\0KAX\0KAYAK\0" + payload)
    head, *listed = _told(made)
    assert head.startswith("Nuitka onefile: payload at ")
    assert head.endswith(first)
    assert listed == files


@pytest.mark.parametrize(
    "payload", [b"KAX", b"KAXa\0\x09", b"KAXa\0\1" + b"\xff" * 8, b"KAY/a\0\1" + bytes(12) + b"\0"]
)
def test_what_is_no_payload_is_none(payload: bytes, tmp_path: Path) -> None:
    assert _told(with_constants(tmp_path / "made", texts("NUITKA_ONEFILE_PARENT") + payload)) == []
