"""Damaged packed files: each is unpacked to what was packed, or refused in one line, soon and in little memory."""

import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError
from linkscope.packages.limits import Broken
from linkscope.packages.upx import nrv
from linkscope.packages.upx.headers import L_INFO, P_INFO, read_block, read_packing
from linkscope.packages.upx.unpacking import unpack
from tests.elf.samples import FixtureFile
from tests.oracle.upx import packed
from tests.packages.upx_samples import unpacked, with_wrong_checksum

SECONDS = 5.0
MEMORY = 200 << 20  # what was packed, and once again the dictionary of LZMA
METHODS = ("--nrv2b", "--nrv2d", "--nrv2e", "--lzma")


@pytest.fixture(scope="session")
def samples(fixture_file: FixtureFile, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A small program packed by every method, one of an older release and of arm64, and a library."""
    folder = tmp_path_factory.mktemp("upx")
    musl, arm64 = fixture_file("hello/hello-musl-static"), fixture_file("hello/hello-arm64")
    made = [packed(musl, folder / f"musl{method}", "-1", method) for method in METHODS]
    made.append(packed(arm64, folder / "arm64", "-1"))
    made.append(packed(Path("/usr/lib/x86_64-linux-gnu/libz.so.1").resolve(), folder / "library", "-1", "--lzma"))
    return [path.read_bytes() for path in made]


def in_memory(data: bytes) -> Reader:
    """An open file with these bytes."""
    descriptor = os.memfd_create("damaged")
    os.write(descriptor, data)
    return Reader(descriptor, "damaged")


def ends_well(data: bytes) -> bytes | None:
    """What DATA are unpacked to, None where that is refused; in a short time, and by one line."""
    started = time.monotonic()
    found, reason = None, "none"
    with in_memory(data) as reader:
        try:
            found = bytes(unpack(reader, read_image(reader)).content)
        except (Broken, LinkScopeError) as error:
            reason = error.reason
    assert reason
    assert "\n" not in reason
    assert time.monotonic() - started < SECONDS
    return found


def blocks_of(data: bytes, image: Image) -> list[int]:
    """Where the blocks of a packed file's segments stand, each with what stands before the first one."""
    order = image.layout.order
    packing = read_packing(data, order, image.layout.header.size + len(image.segments) * image.layout.segment.size)
    places = [packing.start - L_INFO, packing.start]
    at = packing.start + P_INFO
    with suppress(Broken):
        while True:
            places.append(at)
            at = read_block(data, at, order).end
    return places


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_changed_bytes_are_refused_or_do_not_matter(samples: list[bytes], draw: st.DataObject) -> None:
    which = draw.draw(st.sampled_from(range(len(samples))))
    data = bytearray(samples[which])
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    ends_well(bytes(data))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_changed_sizes_and_places_are_refused_or_do_not_matter(samples: list[bytes], draw: st.DataObject) -> None:
    """The numbers by which everything is found: of the blocks, of p_info and of the PackHeader."""
    data = bytearray(draw.draw(st.sampled_from(samples)))
    with in_memory(bytes(data)) as reader:
        places = blocks_of(bytes(data), read_image(reader))
    at = draw.draw(st.sampled_from([*places, len(data) - 36, len(data) - 4])) + draw.draw(st.sampled_from((0, 4, 8)))
    number = draw.draw(st.sampled_from((0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)) | st.integers(0, len(data) * 4))
    data[at : at + 4] = struct.pack("<I", number)
    ends_well(bytes(data))


def test_a_file_that_was_cut_is_refused(samples: list[bytes]) -> None:
    """At each block, and a byte before and behind, its beginning, and without its end."""
    for data in samples:
        with in_memory(data) as reader:
            places = blocks_of(data, read_image(reader))
        whole = ends_well(data)
        assert places
        for place in [one + by for one in places for by in (-1, 0, 1, 12)]:
            assert ends_well(data[:place]) is None
        for place in range(len(data) - 60, len(data)):
            assert ends_well(data[:place]) in (None, whole)


def test_a_wrong_checksum_is_refused(samples: list[bytes], tmp_path: Path) -> None:
    """With the checksum of the header that holds it made right again."""
    for data in samples:
        for at in (8, 12):
            (tmp_path / "damaged").write_bytes(data)
            with pytest.raises(Broken, match="checksum"):
                unpacked(with_wrong_checksum(tmp_path / "damaged", at))


def test_a_small_file_that_claims_much_costs_little(samples: list[bytes]) -> None:
    """A gigabyte in one block, as far as p_info goes; the file has some thousand bytes."""
    for data in samples:
        with in_memory(data) as reader:
            (_, start, block, *_) = blocks_of(data, read_image(reader))
        for size in (60 << 20, 1 << 30, 0xFFFFFFFF):
            damaged = bytearray(data)
            struct.pack_into("<II", damaged, start + 4, size, size)
            struct.pack_into("<I", damaged, block, size)
            tracemalloc.start()
            try:
                assert ends_well(bytes(damaged)) is None
                assert tracemalloc.get_traced_memory()[1] < MEMORY
            finally:
                tracemalloc.stop()


@given(data=st.binary(max_size=300), size=st.integers(1, 5000), word=st.sampled_from((1, 2, 4)))
@pytest.mark.parametrize("name", ["NRV2B", "NRV2D", "NRV2E"])
def test_any_bytes_are_unpacked_to_the_size_or_refused(name: str, data: bytes, size: int, word: int) -> None:
    with suppress(Broken):
        assert len(nrv.unpacked(data, size, name, word)) == size


@pytest.mark.parametrize("byte", [0, 0x55, 0xAA, 0xFF])
@pytest.mark.parametrize("name", ["NRV2B", "NRV2D", "NRV2E"])
def test_a_megabyte_of_nonsense_ends_soon(name: str, byte: int) -> None:
    started = time.monotonic()
    with pytest.raises(Broken):
        nrv.unpacked(bytes([byte]) * (1 << 20), 1 << 20, name, 4)
    assert time.monotonic() - started < SECONDS


def test_many_ends_that_are_none_end_soon(samples: list[bytes], edited: Callable[[bytes], bytes]) -> None:
    """What follows the segments is looked for among a million places that could be it."""
    for data in samples[:2]:
        started = time.monotonic()
        assert ends_well(edited(data)) is None
        assert time.monotonic() - started < SECONDS


@pytest.fixture
def edited() -> Callable[[bytes], bytes]:
    """Call it with a packed program: the same without its end, and with beginnings of blocks that lead nowhere."""

    def edit(data: bytes) -> bytes:
        with in_memory(data) as reader:
            image = read_image(reader)
            at = blocks_of(data, image)[-1]
            original = bytes(unpack(reader, image).content)
        with in_memory(original) as reader:
            loads = [one for one in read_image(reader).segments if one.type == 1]
        headers = len(original) - max(one.offset + one.filesz for one in loads)
        lure = b"".join(struct.pack("<IIBBBB", size, 1, 2, 0, 0, 0) + b"x" for size in range(1, 3000))
        return data[:at] + (lure + struct.pack("<I", headers)) * 20

    return edit


def test_as_many_segments_as_a_header_can_claim_end_soon(samples: list[bytes]) -> None:
    """Each of one byte, with a block of its own."""
    data = samples[0]
    with in_memory(data) as reader:
        (_, start, first, *_) = blocks_of(data, read_image(reader))
    count = 0xFFFF
    header = bytearray(data[:64])
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, count)
    rows = b"".join(struct.pack("<IIQQQQQQ", 1, 5, 2 * at, 0, 0, 1, 1, 1) for at in range(count))
    size = len(header) + len(rows)
    block = struct.pack("<III", size, size, 0) + bytes(header) + rows
    bytes_of_segments = (struct.pack("<III", 1, 1, 0) + b"x") * count
    sizes = struct.pack("<III", 0, 2 * size, 2 * size)
    assert ends_well(data[:start] + sizes + block + bytes_of_segments) is None
    assert first == start + P_INFO


def test_the_reader_is_where_it_was(samples: list[bytes], tmp_path: Path) -> None:
    """Nothing is written, and no descriptor stays open."""
    (tmp_path / "packed").write_bytes(samples[0])
    before = os.listdir("/proc/self/fd")
    with open_reader(str(tmp_path / "packed")) as reader:
        unpack(reader, read_image(reader))
    assert os.listdir("/proc/self/fd") == before
    assert os.listdir(tmp_path) == ["packed"]
