"""Where code stands in a file is where the linker's map says that it put it."""

import os
import subprocess
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec
import numpy as np
import pytest

from linkscope.contents import known, matcher
from linkscope.contents.fingerprints import Archive, digest
from linkscope.contents.packs import SHIPPED, Learnt, Store
from tests.contents import linkermaps
from tests.contents.memorypack import MemoryPack, read
from tests.contents.samples import with_constants
from tests.elf.samples import FixtureFile, RequireTool, opened
from tests.oracle.availability import Unavailable

_SOURCE = Path(__file__).parents[2] / "fixtures/src/inside/relaxed.c"
_EXECUTABLE = 5


def _program(archive: Path, folder: Path, compiler: str = "gcc") -> tuple[Path, Path]:
    program, map_file = folder / "program", folder / "program.map"
    command: list[str | Path] = [
        compiler,
        "-fno-pie",
        _SOURCE,
        archive,
        "-static",
        f"-Wl,-Map={map_file}",
        "-o",
        program,
    ]
    if subprocess.run(command, capture_output=True).returncode:
        raise Unavailable(f"{compiler} -static does not link")
    return program, map_file


def _found(program: Path, packs: Sequence[known.Pack]) -> set[tuple[str, str, int, int]]:
    """(member, section, address, size) of all that is found."""
    found = set()
    with opened(program) as (reader, image):
        for match in matcher.matches(reader, image, packs):
            (segment,) = [s for s in image.segments if s.type == 1 and s.offset <= match.start < s.offset + s.filesz]
            pack = packs[match.pack]
            for place in pack.places("x86_64" if image.machine == 62 else "aarch64", [match.code]):
                address = match.start - segment.offset + segment.vaddr
                found.add((place.member, place.section, address, match.length))
    return found


def _expected(program: Path, map_file: Path, archive: Path, known_sections: set[tuple[str, str]]) -> set[object]:
    return {
        (one.member, one.section, one.address, one.size)
        for one in linkermaps.placed(map_file, program)
        if one.archive == archive.name and (one.member, one.section) in known_sections
    }


def _sections(archives: Sequence[Archive]) -> set[tuple[str, str]]:
    return {(one.member, one.section) for archive in archives for one in archive.signatures}


@pytest.mark.parametrize("piece", [1 << 24, 1 << 16, 4096, 1021])
def test_sections_are_found_where_the_map_has_them(
    piece: int, fixture_file: FixtureFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a section stands on the border of two pieces that are read."""
    archive = fixture_file("inside/libinside.a")
    program, map_file = _program(archive, tmp_path)
    learnt = read(archive)
    monkeypatch.setattr(matcher, "_PIECE", piece)
    monkeypatch.setattr(matcher, "_BLOCK", min(piece, 1 << 19))
    expected = _expected(program, map_file, archive, _sections(learnt))
    assert len(expected) >= 6
    assert _found(program, [MemoryPack(learnt)]) == expected


def test_sections_of_arm64_are_found_where_the_map_has_them(
    fixture_file: FixtureFile, require_tool: RequireTool, tmp_path: Path
) -> None:
    archive = fixture_file("inside/arm64/libinside.a")
    program, map_file = _program(archive, tmp_path, require_tool("aarch64-linux-gnu-gcc"))
    learnt = read(archive)
    expected = _expected(program, map_file, archive, _sections(learnt))
    assert len(expected) >= 5
    assert _found(program, [MemoryPack(learnt)]) == expected


def test_several_packs_are_one_search(fixture_file: FixtureFile, tmp_path: Path) -> None:
    archive = fixture_file("inside/libinside.a")
    program, _ = _program(archive, tmp_path)
    learnt = read(archive)
    both = _found(program, [MemoryPack([]), MemoryPack(learnt), MemoryPack(read(fixture_file("inside/libinside.a")))])
    assert both == _found(program, [MemoryPack(learnt)])


def test_code_of_another_machine_is_not_looked_for(fixture_file: FixtureFile, tmp_path: Path) -> None:
    program, _ = _program(fixture_file("inside/libinside.a"), tmp_path)
    assert _found(program, [MemoryPack(read(fixture_file("inside/arm64/libinside.a")))]) == set()


def test_one_changed_byte_is_other_code(fixture_file: FixtureFile, tmp_path: Path) -> None:
    archive = fixture_file("inside/libinside.a")
    program, _ = _program(archive, tmp_path)
    (learnt,) = read(archive)
    content = bytearray(program.read_bytes())
    with opened(program) as (reader, image):
        first = matcher.matches(reader, image, [MemoryPack([learnt])])[0]
    (anchor_at,) = {one.anchor_at for one in learnt.signatures if one.length == first.length}
    content[first.start + anchor_at] ^= 1
    changed = tmp_path / "changed"
    changed.write_bytes(content)
    with opened(changed) as (reader, image):
        assert first not in matcher.matches(reader, image, [MemoryPack([learnt])])


def test_bytes_that_are_not_executable_are_not_looked_at(fixture_file: FixtureFile, tmp_path: Path) -> None:
    archive = fixture_file("inside/libinside.a")
    program, _ = _program(archive, tmp_path)
    with opened(program) as (reader, image):
        ((start, end),) = matcher.executable_ranges(image)
        code = reader.read(start, end - start)
    pack = MemoryPack(read(archive))
    for flags, there in ((_EXECUTABLE, True), (4, False), (6, False), (7, True)):
        assert bool(_found(with_constants(tmp_path / str(flags), code, flags), [pack])) == there


class _Synthetic:
    """COUNT signatures of random code, none of which is anywhere."""

    def __init__(self, count: int) -> None:
        random = np.random.default_rng(7)
        self._codes = known.Codes(
            random.integers(0, 1 << 63, count, np.uint64),
            random.integers(0, 4000, count, np.uint32),
            random.integers(0, 1 << 32, count, np.uint32),
            random.integers(0, 4000, count, np.uint32),
            random.integers(4096, 20000, count, np.uint32),
        )

    def codes(self, architecture: str) -> known.Codes | None:
        return self._codes if architecture == "x86_64" else None

    def proofs(self, architecture: str, codes: Sequence[int]) -> Sequence[tuple[bytes, bytes]]:
        return [(b"", b"")] * len(codes) if architecture else []

    def places(self, architecture: str, codes: Sequence[int]) -> Sequence[known.Place]:
        raise AssertionError(architecture, codes)

    def archives(self, numbers: Sequence[int]) -> Sequence[Archive]:
        raise AssertionError(numbers)

    def versions(self, architecture: str) -> Mapping[str, AbstractSet[str | None]]:
        raise AssertionError(architecture)


def _code_of_this_machine(size: int) -> bytes:
    """Real code, over and over again."""
    content = b""
    for path in (sys.executable, "/usr/bin/gdb", "/usr/bin/perl", "/usr/bin/git", "/bin/bash"):
        if os.path.exists(path):
            with opened(os.path.realpath(path)) as (reader, image):
                for start, end in matcher.executable_ranges(image):
                    content += reader.read(start, end - start)
    return (content * (size // len(content) + 1))[:size]


def test_twenty_megabytes_a_second_are_searched_for_200000_signatures(tmp_path: Path) -> None:
    program = with_constants(tmp_path / "large", _code_of_this_machine(40 << 20), _EXECUTABLE)
    pack = _Synthetic(200_000)
    with opened(program) as (reader, image):
        before = time.process_time()
        assert matcher.matches(reader, image, [pack]) == []
        taken = time.process_time() - before
    assert 40 * 1.048576 / taken >= 20, taken


def test_what_is_made_of_the_packs_for_one_file_serves_the_next(tmp_path: Path) -> None:
    """To sort 400,000 signatures takes longer than to look for them in a small file."""
    packs, taken = matcher.Packs([_Synthetic(400_000)]), []
    for number in range(6):
        with opened(with_constants(tmp_path / str(number), b"\x90" * 5000, _EXECUTABLE)) as (reader, image):
            before = time.process_time()
            assert matcher.matches(reader, image, packs) == []
            taken.append(time.process_time() - before)
    assert min(taken[1:]) < taken[0] / 4, taken


def test_what_is_made_of_packs_is_not_there_without_them(tmp_path: Path) -> None:
    """Who searches for other ones each time has no more in memory for it."""
    with opened(with_constants(tmp_path / "file", b"\x90" * 5000, _EXECUTABLE)) as (reader, image):
        packs = matcher.Packs([_Synthetic(1000)])
        kept = weakref.ref(packs[0])
        assert matcher.matches(reader, image, packs) == matcher.matches(reader, image, [packs[0]]) == []
        del packs
    assert kept() is None


def test_a_store_that_changed_is_searched_for_as_it_is_now(fixture_file: FixtureFile, tmp_path: Path) -> None:
    archive = fixture_file("inside/libinside.a")
    program, _ = _program(archive, tmp_path)
    learnt = [Learnt(str(archive), one) for one in read(archive)]
    store = Store(str(tmp_path / "store"))
    packs = matcher.Packs([store])
    store.add(
        [Learnt("part", msgspec.structs.replace(one.archive, signatures=one.archive.signatures[:1])) for one in learnt]
    )
    before = _found(program, packs)
    store.add(learnt)
    assert _found(program, packs) == _found(program, [Store(store.path)]) > before
    store.remove(one.identity.hex() for one in learnt)
    assert _found(program, packs) == before


def test_what_one_file_has_says_nothing_of_the_next(
    fixture_file: FixtureFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How often a code was found, or was compared in vain, is counted for each file by itself."""
    archive = fixture_file("inside/libinside.a")
    program, _ = _program(archive, tmp_path)
    monkeypatch.setattr(matcher, "_MOST_COPIES", 1)
    pack = MemoryPack(read(archive))
    first = _found(program, [pack])
    assert first
    assert _found(program, [pack]) == first


class _Alike(_Synthetic):
    """COUNT signatures of a mebibyte with one anchor, and one check behind it; they differ in what has no anchor."""

    ANCHOR, CHECK = b"\x01\x23\x45\x67\x89\xab\xcd\xef", b"\x12\x34\x56\x78"

    def __init__(self, count: int) -> None:
        numbers = int.from_bytes(self.ANCHOR, "little"), 0, int.from_bytes(self.CHECK, "little"), 8, 1 << 20
        columns = zip(numbers, ("<u8", "<u4", "<u4", "<u4", "<u4"), strict=True)
        self._codes = known.Codes(*(np.full(count, number, kind) for number, kind in columns))

    def proofs(self, architecture: str, codes: Sequence[int]) -> Sequence[tuple[bytes, bytes]]:
        return [(b"%012d" % code, architecture.encode()[:0]) for code in codes]


def test_a_file_that_is_made_of_anchors_does_not_take_hours(tmp_path: Path) -> None:
    """At every twelfth byte a mebibyte would be compared, sixty gigabytes in all."""
    data = (_Alike.ANCHOR + _Alike.CHECK) * (1 << 15)
    with opened(with_constants(tmp_path / "anchors", data, _EXECUTABLE)) as (reader, image):
        before = time.process_time()
        assert matcher.matches(reader, image, [_Alike(2)]) == []
        assert time.process_time() - before < 5


_MEASURED = """
import sys, time
sys.path.insert(0, {folder!r})
from tests.contents.test_matcher import _Alike, _Synthetic
from tests.elf.samples import opened
from linkscope.contents import matcher
from linkscope.contents.packs import SHIPPED, Store
with opened({path!r}) as (reader, image):
    matcher.matches(reader, image, [{pack}])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1], time.process_time())
"""
_SHIPPED = "Store(SHIPPED, fixed=True)"


def _cost(path: Path, pack: str) -> tuple[int, float]:
    """The most bytes that a process has in memory that searches a file for PACK, as the kernel says; its seconds."""
    folder = str(Path(__file__).parents[2])
    text = _MEASURED.format(folder=folder, path=str(path), pack=pack)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    memory, seconds = done.stdout.split()
    return int(memory) * 1024, float(seconds)


def test_a_hundred_megabytes_take_less_than_300_of_memory(tmp_path: Path) -> None:
    program = with_constants(tmp_path / "large", _code_of_this_machine(100 << 20), _EXECUTABLE)
    assert _cost(program, "_Synthetic(200_000)")[0] < 300_000_000


def test_an_anchor_that_many_signatures_have_takes_no_more(tmp_path: Path) -> None:
    """In the shipped pack, 1,500 of arm64 begin alike. The file has nothing else, and no check behind it."""
    program = with_constants(tmp_path / "anchors", _Alike.ANCHOR * (1 << 15), _EXECUTABLE)
    assert _cost(program, "_Alike(1500)")[0] < 300_000_000


def _columns(architecture: str) -> list[tuple[bytes, int, bytes]]:
    """(anchor, how far behind it the check is, check) of all codes of the shipped pack."""
    codes = Store(SHIPPED, fixed=True).codes(architecture)
    assert codes is not None
    columns = (codes.anchors, codes.anchors_at, codes.checks, codes.checks_at)
    return [
        (anchor.to_bytes(8, "little"), check_at - anchor_at, check.to_bytes(4, "little"))
        for anchor, anchor_at, check, check_at in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _unit(anchor: bytes, distance: int, check: bytes) -> bytes:
    """The least bytes that have an anchor and its check."""
    start = max(-distance, 0)
    unit = bytearray(max(start + 8, start + distance + 4))
    unit[start : start + 8], unit[start + distance : start + distance + 4] = anchor, check
    return bytes(unit) + bytes(-len(unit) % 4)


def _commonest_check(architecture: str) -> bytes:
    """3 MB of the anchor and check that most codes have: 117 of x86-64, 75 of arm64."""
    unit = _unit(*Counter(_columns(architecture)).most_common(1)[0][0])
    return unit * (3_000_000 // len(unit))


def _commonest_anchor(architecture: str) -> bytes:
    """2 MB of the anchor that most codes have: 180 of x86-64, 1,548 of arm64."""
    return Counter(anchor for anchor, _, _ in _columns(architecture)).most_common(1)[0][0] * 250_000


def _all_anchors(architecture: str) -> bytes:
    """Of nearly all codes, the anchor and its check: a megabyte, and a mebibyte in which the longest may end."""
    return b"".join(_unit(*one) for one in _columns(architecture) if -64 < one[1] < 64) + bytes(1 << 20)


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("make", [_commonest_check, _commonest_anchor, _all_anchors])
def test_no_file_of_the_anchors_of_the_shipped_pack_takes_more(
    make: Callable[[str], bytes], architecture: str, tmp_path: Path
) -> None:
    program = with_constants(tmp_path / "anchors", make(architecture), _EXECUTABLE)
    if architecture == "aarch64":
        content = bytearray(program.read_bytes())
        content[18:20] = (183).to_bytes(2, "little")  # e_machine
        program.write_bytes(content)
    memory, seconds = _cost(program, _SHIPPED)
    assert memory < 300_000_000
    assert seconds < 12


class _Short(_Synthetic):
    """COUNT signatures of sixteen bytes that are all fixed."""

    def __init__(self, count: int) -> None:
        columns: list[list[int]] = [[], [], [], [], []]
        for code in map(self.code, range(count)):
            numbers = int.from_bytes(code[:8], "little"), 0, int.from_bytes(code[8:12], "little"), 8, 16
            for column, number in zip(columns, numbers, strict=True):
                column.append(number)
        kinds = ("<u8", "<u4", "<u4", "<u4", "<u4")
        self._codes = known.Codes(*(np.array(one, kind) for one, kind in zip(columns, kinds, strict=True)))

    @staticmethod
    def code(number: int) -> bytes:
        return b"%08x%08x" % (number, number)

    def proofs(self, architecture: str, codes: Sequence[int]) -> Sequence[tuple[bytes, bytes]]:
        return [(digest(b"", self.code(code), []), architecture.encode()[:0]) for code in codes]


def test_a_file_of_nothing_but_known_code_is_told_of(tmp_path: Path) -> None:
    """Each of 200 codes may stand there 1,024 times, but all of them together 131,072 times and once more."""
    data = b"".join(map(_Short.code, range(200))) * 1024
    codes: list[str] = []
    with opened(with_constants(tmp_path / "short", data, _EXECUTABLE)) as (reader, image):
        assert len(matcher.matches(reader, image, [_Short(200)], codes.append)) == 131_073
    assert set(codes) == {"code"}


def test_segments_that_overlap_are_searched_once(tmp_path: Path) -> None:
    program = with_constants(tmp_path / "program", b"\x90" * 5000, _EXECUTABLE)
    with opened(program) as (_, image):
        (segment,) = image.segments
        beside = msgspec.structs.replace(segment, offset=segment.offset - 100, filesz=200)
        both = msgspec.structs.replace(image, segments=(segment, beside, segment))
        assert matcher.executable_ranges(both) == [(segment.offset - 100, segment.offset + 5000)]
