"""The link map out of memory that is made up: other machines, lists without end, noise. It always gives an answer."""

import struct
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.elf import constants as c
from linkscope.elf.segments import LAYOUTS, Layout, Segment
from linkscope.process import mappings, procfs
from linkscope.process.image_memory import Places, load_addresses, pointer, read_dynamic, read_names, segments_at
from linkscope.process.linkmap_memory import (
    Entry,
    LinkMapMemory,
    NoLinkMap,
    entry_mapping,
    read_by_carriers,
    read_link_map,
)
from tests.process.inside import PAGE, Pages

# --- Other machines, made up: 32 bits, the other byte order, MIPS -----------------------------------------------------

STRINGS = b"\0libc.so.6\0libx.so\0"


def _made_up(layout: Layout, tags: tuple[tuple[int, int], ...], debug_at: int = 0x30000) -> dict[int, bytes]:
    """A program at 0x10000 whose r_debug lies at `debug_at`, with two objects; the second is the first's mirror."""
    order, word = layout.order, layout.word
    letter = "Q" if word == 8 else "I"
    dynamic = b"".join(layout.dynamic.pack(tag, value) for tag, value in (*tags, (c.DT_NULL, 0)))
    pad = "4x" if word == 8 else ""
    debug = struct.pack(f"{order}i{pad}{letter}{letter}i{pad}{letter}{letter}", 1, 0x30100, 0, 0, 0, 0)
    first = struct.pack(f"{order}5{letter}", 0x10000, 0x30300, 0x10800, 0x30200, 0)
    second = struct.pack(f"{order}5{letter}", 0x50000, 0x30310, 0, 0, 0x30100)
    segment = _segment(layout, _PHDR, 0x40, 0x40) + _segment(layout, c.PT_DYNAMIC, 0x800, 0x800)
    program = bytes(0x40) + segment.ljust(0x3C0, b"\0") + STRINGS.ljust(0x400, b"\0") + dynamic.ljust(0x800, b"\0")
    data = bytearray(0x1000)
    data[:0x28] = debug.ljust(0x28, b"\0")
    data[0x100 : 0x100 + len(first)] = first
    data[0x200 : 0x200 + len(second)] = second
    data[0x300:0x320] = b"".ljust(0x10, b"\0") + b"/lib/libx.so".ljust(0x10, b"\0")
    data[0x400 : 0x400 + word] = (debug_at).to_bytes(word, "little" if order == "<" else "big")
    return {0x10000: program, 0x30000: bytes(data)}


_PHDR = 6


def _segment(layout: Layout, kind: int, offset: int, address: int) -> bytes:
    if layout.word == 8:
        return layout.segment.pack(kind, 6, offset, address, address, 0x100, 0x100, 8)
    return layout.segment.pack(kind, offset, address, address, 0x100, 0x100, 6, 8)


MAPPINGS = [
    mappings.Mapping(0x10000, 0x11000, True, True, False, False, 0, (1, 1), "/app"),
    mappings.Mapping(0x30000, 0x31000, True, True, False, False, 0, (0, 0), ""),
]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: f"{layout.word * 8}{layout.order}")
@pytest.mark.parametrize("kind", ["debug", "rld-map", "rld-map-rel"])
def test_every_layout_and_the_ways_of_mips_lead_to_the_link_map(layout: Layout, kind: str) -> None:
    """The d_ptr values are not relocated here, as with musl and on MIPS."""
    entry_at = 0x10800 + 2 * layout.dynamic.size
    lead = {
        "debug": (c.DT_DEBUG, 0x30000),
        "rld-map": (c.DT_MIPS_RLD_MAP, 0x30400),
        "rld-map-rel": (c.DT_MIPS_RLD_MAP_REL, 0x30400 - entry_at),
    }[kind]
    tags = ((c.DT_STRTAB, 0x400), (c.DT_NEEDED, 1), lead, (c.DT_SONAME, 11), (c.DT_STRSZ, len(STRINGS)))
    memory = Pages(_made_up(layout, tags))
    vector = {procfs.AT_PHDR: 0x10040, procfs.AT_PHENT: layout.segment.size, procfs.AT_PHNUM: 2}
    found = read_link_map(memory, MAPPINGS, vector, layout)
    assert isinstance(found, LinkMapMemory)
    assert (found.version, found.state, found.broken) == (1, "consistent", None)
    assert [(entry.name, entry.base) for entry in found.entries] == [("", 0x10000), ("/lib/libx.so", 0x50000)]
    assert found.entries[0].names.needed == ("libc.so.6",)
    assert found.entries[0].names.soname == "libx.so"


# --- Hostile memory ---------------------------------------------------------------------------------------------------

LAYOUT_64 = LAYOUTS[2, 1]
VECTOR_64 = {procfs.AT_PHDR: 0x10040, procfs.AT_PHENT: 56, procfs.AT_PHNUM: 2}
TAGS = ((c.DT_DEBUG, 0x30000), (c.DT_STRTAB, 0x400), (c.DT_NEEDED, 1), (c.DT_STRSZ, len(STRINGS)))


def _changed(at: int, data: bytes) -> dict[int, bytes]:
    """A made-up program with DATA written over its memory at an address."""
    pieces = _made_up(LAYOUT_64, TAGS)
    start = at & ~0xFFFF
    piece = bytearray(pieces[start])
    piece[at - start : at - start + len(data)] = data
    return {**pieces, start: bytes(piece)}


def _read(pieces: Mapping[int, bytes]) -> LinkMapMemory | NoLinkMap:
    return read_link_map(Pages(pieces), MAPPINGS, VECTOR_64, LAYOUT_64)


BROKEN = {
    "a-ring": (0x30218, struct.pack("<QQ", 0x30100, 0x30100)),
    "its-own-next": (0x30118, struct.pack("<Q", 0x30100)),
    "next-nowhere": (0x30218, struct.pack("<Q", 0xDEAD000)),
    "name-nowhere": (0x30208, struct.pack("<Q", 0xDEAD000)),
    "another-previous": (0x30220, struct.pack("<Q", 0x30180)),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_list_that_breaks_off_says_so(change: tuple[int, bytes]) -> None:
    found = _read(_changed(*change))
    assert isinstance(found, LinkMapMemory)
    assert found.broken is not None
    assert found.entries[0].name == ""


def test_a_ring_of_namespaces_ends() -> None:
    """r_version 2, and r_next leads back."""
    pieces = _changed(0x30000, struct.pack("<i", 2))
    data = bytearray(pieces[0x30000])
    data[40:48] = struct.pack("<Q", 0x30000)
    found = _read({**pieces, 0x30000: bytes(data)})
    assert isinstance(found, LinkMapMemory)
    assert found.broken is not None
    assert len(found.entries) == 2


def test_a_state_that_changes_is_told() -> None:
    for state, word in enumerate(("consistent", "adding", "deleting")):
        found = _read(_changed(0x30018, struct.pack("<i", state)))
        assert isinstance(found, LinkMapMemory)
        assert found.state == word


WRONG = {
    "no-version": (0x30000, struct.pack("<i", 0)),
    "a-strange-state": (0x30018, struct.pack("<i", 7)),
    "no-list": (0x30008, struct.pack("<Q", 0)),
    "list-nowhere": (0x30008, struct.pack("<Q", 0xDEAD000)),
    "debug-nowhere": (0x10808, struct.pack("<Q", 0xDEAD000)),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_is_no_r_debug_gives_no_link_map(change: tuple[int, bytes]) -> None:
    assert isinstance(_read(_changed(*change)), NoLinkMap)


ADDRESSES = st.one_of(
    st.integers(0x10000, 0x10FFF), st.integers(0x30000, 0x30FFF), st.integers(0, (1 << 64) - 1), st.just(0x30100)
)


@given(st.dictionaries(st.integers(0, 255), ADDRESSES, max_size=64), st.binary(max_size=64))
def test_any_memory_gives_an_answer(words: dict[int, int], noise: bytes) -> None:
    """Words of a program's memory replaced by pointers of all kinds, and bytes by others."""
    pieces = {start: bytearray(piece) for start, piece in _made_up(LAYOUT_64, TAGS).items()}
    for place, value in words.items():
        start = 0x10000 if place & 1 else 0x30000
        at = 0x800 * (place & 1) + place // 2 * 8 % 0x400
        pieces[start][at : at + 8] = struct.pack("<Q", value)
    pieces[0x10000][0x400 : 0x400 + len(noise)] = noise
    found = _read({start: bytes(piece) for start, piece in pieces.items()})
    assert isinstance(found, LinkMapMemory | NoLinkMap)


@given(
    st.dictionaries(st.integers(0, 8).map(lambda page: page * PAGE), st.binary(min_size=1, max_size=512), max_size=8),
    st.sampled_from(list(LAYOUTS.values())),
    st.dictionaries(st.sampled_from([3, 4, 5]), st.integers(0, 1 << 64), max_size=3),
)
def test_random_pages_give_an_answer(pieces: dict[int, bytes], layout: Layout, vector: dict[int, int]) -> None:
    memory = Pages({start: (data * PAGE)[:PAGE] for start, data in pieces.items()})
    found = read_link_map(memory, MAPPINGS, {procfs.AT_PHENT: layout.segment.size, **vector}, layout)
    assert isinstance(found, LinkMapMemory | NoLinkMap)
    places = Places(MAPPINGS)
    for address in pieces:
        pairs = read_dynamic(memory, address, layout)
        if pairs is not None:
            read_names(memory, pairs, pointer(address, 0, address, places, layout.word), 1 << 20)


def test_an_entry_belongs_to_the_file_that_holds_its_dynamic_section() -> None:
    places = Places(MAPPINGS)
    for base, dynamic, expected in (
        (0, 0x10800, MAPPINGS[0]),
        (0x10000, 0, MAPPINGS[0]),
        (0x10000, 0xDEAD000, MAPPINGS[0]),
        (0, 0, None),
        (0x11000, 0, None),
    ):
        assert entry_mapping(Entry(0, base, "", dynamic), places) == expected


ENDS = {
    "with-an-end": (bytes(512), bytes(512)),
    "without-an-end": (b"", b""),
    "names-without-an-end": (bytes(512), b""),
}


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_a_list_without_end_and_names_without_measure_take_bounded_time(ends: tuple[bytes, bytes]) -> None:
    """Sixteen thousand link maps, each with a dynamic section of thousands of names that are the same long string."""
    count = 20_000
    links = bytearray()
    for place in range(count):
        at = 0x100000 + place * 40
        links += struct.pack("<5Q", 0, 0, 0x800000, at + 40, at - 40 if place else 0)
    dynamic = (
        struct.pack("<qQqQ", c.DT_STRTAB, 0x900000, c.DT_STRSZ, 1 << 16) + struct.pack("<qQ", c.DT_NEEDED, 0) * 4000
    )
    debug = struct.pack("<i4xQQi4xQQ", 1, 0x100000, 0, 0, 0, 0)
    pieces = _made_up(LAYOUT_64, TAGS)
    pieces[0x30000] = debug + pieces[0x30000][len(debug) :]
    pieces |= {0x100000: bytes(links), 0x800000: dynamic + ends[0], 0x900000: b"x" * 30_000 + ends[1]}
    memory = Pages(pieces)
    found = read_link_map(memory, MAPPINGS, VECTOR_64, LAYOUT_64)
    assert isinstance(found, LinkMapMemory)
    assert found.broken is not None
    assert len(found.entries) == 1 << 14
    assert memory.reads < 200_000


def test_a_file_that_is_mapped_thousands_of_times_is_tried_once_and_at_a_bounded_number_of_addresses() -> None:
    """As by a static program that maps a library again and again: any of them may be where its code was loaded."""
    count = 4000
    segment = _segment(LAYOUT_64, c.PT_LOAD, 0, 0) + _segment(LAYOUT_64, c.PT_DYNAMIC, 0x800, 0x800)
    code = segment.replace(struct.pack("<II", c.PT_LOAD, 6), struct.pack("<II", c.PT_LOAD, 5))
    file = (_header(2) + code).ljust(0x1000, b"\0")
    places = [0x100000 + place * 0x1000 for place in range(count)]
    memory = Pages(dict.fromkeys(places, file))
    own = [mappings.Mapping(at, at + 0x1000, True, False, True, False, 0, (1, 1), "/libm.so") for at in places]
    assert len(load_addresses(segments_at(memory, places[0] + 64, 2, LAYOUT_64), own, 8)) == count
    memory.reads = 0
    assert isinstance(read_link_map(memory, own, {}, LAYOUT_64), NoLinkMap)
    assert 64 <= memory.reads < 200


def test_a_thousand_segments_are_not_all_looked_for_at_each_of_a_thousand_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []
    at = Places.at

    def counted(self: Places, address: int) -> mappings.Mapping | None:
        looks.append(address)
        return at(self, address)

    monkeypatch.setattr(Places, "at", counted)
    segments = [Segment(c.PT_LOAD, 5, 0, 0, 0x100, 0x100, 8)] * 1000
    places = [0x100000 + place * 0x1000 for place in range(1000)]
    own = [mappings.Mapping(it, it + 0x1000, True, False, True, False, 0, (1, 1), "/x.so") for it in places]
    assert load_addresses(segments, own, 8) == places
    assert len(looks) < 40_000


def test_carriers_alone_are_tried_when_they_are_asked() -> None:
    """The files that are mapped were asked already."""
    memory = Pages(_made_up(LAYOUT_64, TAGS))
    assert isinstance(read_by_carriers(memory, MAPPINGS, LAYOUT_64, []), NoLinkMap)
    assert memory.reads == 0


def _header(segments: int) -> bytes:
    """An ELF header whose program headers stand behind it."""
    return LAYOUT_64.header.pack(
        b"\x7fELF\2\1\1".ljust(16, b"\0"), 3, 62, 1, 0, 64, 0, 0, 64, LAYOUT_64.segment.size, segments, 0, 0, 0
    )
