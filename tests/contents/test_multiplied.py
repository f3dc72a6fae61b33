"""Files that multiply one limit by another, each read within seconds of the processor's time.

Each took minutes, or hundreds of times its own size, before there was one budget for all that a file may repeat.
"""

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.contents import dotnet, embedded, nuitka, rust
from linkscope.contents.bundles import contents as bundles
from linkscope.contents.regions import Region
from linkscope.contents.surroundings import Gap, unknown_code
from tests.contents.samples import texts, with_constants
from tests.elf.samples import ask

_SECONDS = 20  # of the processor: five times and more what they take, and a fifth of what they took
_HEADER, _SEGMENT = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
_STANDARD = "/rustc/" + "a" * 40 + "/library/"


def _payloads_in_payloads(path: Path) -> Path:
    """25,000 files of a Nuitka payload, each of which is called as another payload begins."""
    named_alike = b"KAXab\0\0" + bytes(8)
    return with_constants(path, b"NUITKA_ONEFILE_PARENT\0" + named_alike * 25_000 + b"\xff" * 20_000)


def _lists_in_lists(path: Path) -> Path:
    """150,000 lists of crates, each of which goes on over those that follow (blocks of DEFLATE that are stored)."""
    distance = 64
    length = 65_535 // distance * distance - 5
    begins = b"\x78\x01\0" + struct.pack("<HH", length, length ^ 0xFFFF) + b'{"packages":['
    return with_constants(path, texts(_STANDARD) + begins.ljust(distance) * 150_000)


def _versions_in_versions(path: Path) -> Path:
    """The path of a crate whose name, version, pre-release and build may end at every hyphen, and never do."""
    one = b"vendor/a" + b"-1.1.1" * 8 + b"+1.1.1-1.1.1+1.1.1-" + b"a-1.1.1-" * 8
    return with_constants(path, texts(_STANDARD) + one * 200_000)


def _folders_in_folders(path: Path) -> Path:
    """Vendored crates below one another, without a source."""
    return with_constants(path, texts(_STANDARD) + b"vendor/a/src/" * 200_000)


def _numbers_in_numbers(path: Path) -> Path:
    """A text of 14 MB that is nothing but numbers."""
    return with_constants(path, b"a-1.1.1-1.1.1+" * 1_000_000)


def _paths_in_paths(path: Path) -> Path:
    """The folders of AWS-LC below one another, without a source."""
    return with_constants(path, b"aws-lc/ssl/" * 2_000_000)


def _segments_over_segments(path: Path) -> Path:
    """A program with 30,000 segments, all of them the whole file, and something appended."""
    count = 30_000
    data = b"a\0" * 8_000_000
    size = _HEADER.size + count * _SEGMENT.size + len(data)
    header = _HEADER.pack(b"\x7fELF\2\1\1", 2, 62, 1, 0x400000, 64, 0, 0, 64, 56, count, 64, 0, 0)
    segment = _SEGMENT.pack(1, 4, 0, 0x400000, 0x400000, size, size, 0x1000)
    path.write_bytes(header + segment * count + data + b"appended")
    return path


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (_payloads_in_payloads, lambda *file: list(nuitka.contents(*file))),
        (_lists_in_lists, rust.contents),
        (_versions_in_versions, rust.contents),
        (_folders_in_folders, rust.contents),
        (_numbers_in_numbers, embedded.contents),
        (_paths_in_paths, embedded.contents),
        (_segments_over_segments, dotnet.bundle),
        (_segments_over_segments, bundles),
    ],
    ids=["nuitka", "rust-lists", "rust-versions", "rust-folders", "numbers", "paths", "dotnet", "bundles"],
)
def test_what_a_file_repeats_does_not_multiply(
    make: Callable[[Path], Path], read: Callable[..., object], tmp_path: Path
) -> None:
    path = make(tmp_path / "hostile")
    start = time.process_time()
    ask(read, path)
    assert time.process_time() - start < _SECONDS


def test_known_code_in_as_many_segments_does_not_multiply() -> None:
    """Each segment has 90 bytes, and those of the first half 20 bytes of known code at their beginning."""
    count, size = 20_000, 100
    segments = [(at * size, at * size + 90) for at in range(count)]
    regions = [Region(at * size, 20, 20, (0, at), True, ()) for at in range(count // 2)]
    start = time.process_time()
    gaps = list(unknown_code(regions, {region.start for region in regions}, segments))
    assert time.process_time() - start < 3
    assert gaps[:2] == [Gap(None, 0, 0), Gap(0, None, 70)]
    assert gaps[-1] == Gap(None, None, 90)
    assert len(gaps) == count + len(regions)
