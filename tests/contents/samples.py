"""Files with known contents, linked here, and what `linkscope.contents` says of them."""

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from linkscope.analysis.facts import file_facts
from linkscope.contents.identify import identify
from linkscope.model.inspect import Content
from tests.elf.samples import opened
from tests.oracle.availability import Unavailable


def all_found_in(path: str | os.PathLike[str]) -> list[Content]:
    """The contents of a file as they stand in its document; of several versions of a library each."""
    with opened(path) as (reader, image):
        return identify(reader, image, file_facts(reader, image).file)


def found_in(path: str | os.PathLike[str]) -> dict[str, Content]:
    """The contents of a file by their names, with the ecosystem before that of all but plain libraries."""
    every = all_found_in(path)
    return {one.name if one.ecosystem == "generic" else f"{one.ecosystem}:{one.name}": one for one in every}


def versions_in(path: str | os.PathLike[str]) -> dict[str, str | None]:
    """The versions of what is inside a file, by name as in `found_in`."""
    return {name: content.version for name, content in found_in(path).items()}


def linked(output: Path, source: str, flags: Sequence[str], compiler: str = "gcc") -> Path:
    """A C program out of its text. Raises Unavailable where a library or header that it takes is not here."""
    file = output.with_suffix(".c")
    file.write_text(source)
    command = [compiler, "-O1", "-w", "-o", os.fspath(output), os.fspath(file), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{compiler} cannot link it: {done.stderr.strip().splitlines()[-1:]}")
    return output


def said_by(path: Path) -> dict[str, str]:
    """What a program prints, a name and its value on a line."""
    done = subprocess.run([path], capture_output=True, text=True, check=True, timeout=30)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


_HEADER, _SEGMENT = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
_PLACE = 0x1000


def with_constants(path: Path, data: bytes, flags: int = 4) -> Path:
    """A static program that has nothing but DATA, in a segment with these FLAGS (4: it can only be read)."""
    header = _HEADER.pack(b"\x7fELF\2\1\1", 2, 62, 1, _PLACE, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = _SEGMENT.pack(1, flags, _PLACE, _PLACE, _PLACE, len(data), len(data), _PLACE)
    path.write_bytes((header + segment).ljust(_PLACE, b"\0") + data)
    return path


def texts(*strings: str) -> bytes:
    """STRINGS as they stand in read-only data, each between NUL bytes."""
    return b"\0" + b"\0".join(string.encode("latin-1") for string in strings) + b"\0"
