"""Where in a file's executable bytes the code of known archives stands.

One pass over the bytes, whatever the number of signatures: the 8 bytes at each offset are looked up among all anchors
at once, first in a table of bits by their hash, which discards nearly all of them, then in the sorted anchors. What is
left is compared with four more bytes of the signature, and the little that passes is proven by its digest. The tables
of anchors are made once for `Packs`, and serve all files that are searched for these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import is_not
from typing import TYPE_CHECKING, TypeVar, overload

import msgspec

from linkscope.contents import changeable
from linkscope.contents.fingerprints import STEP, digest
from linkscope.contents.known import Pack
from linkscope.contents.limits import Met, unheard
from linkscope.elf import constants as c
from linkscope.elf.machines import machine_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from linkscope.contents.changeable import Range
    from linkscope.contents.known import Codes
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_P = TypeVar("_P", bound=Pack, covariant=True)
_PIECE = 1 << 24  # bytes that are in memory at once, beside the longest signature
_BLOCK = 1 << 19  # bytes whose windows are looked up together, so that all stays in the processor's cache
_TOGETHER = 1 << 18  # signatures that are compared at once: some anchors are those of a thousand
_AT_ONCE = 1 << 15  # places that are proven one by one, and are objects of Python for that
_MOST_UNPACKED = 1 << 18  # bytes of what may change in code, packed, that is kept unpacked: a hundred times as large
_WINDOW = 8
_SPREAD = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio: Knuth's multiplicative hash
_FEWEST_BITS, _MOST_BITS = 16, 24  # of the table's index
_SPARSE = 5  # the table has 2^5 places a signature, so that one window in 32 passes by chance
_MOST_COPIES = 1024  # of one code in a file; what stands there more often is filling
_MOST_MATCHES = 1 << 17  # in a file: more than twice the codes of the shipped pack
# A file may be made of anchors, so that all of it would be compared with long code at every few bytes, or with a
# hundred short ones. In real ones, what is compared in vain is less than twice what the file has (libc.so.6, measured);
# a code that then failed so often is given up.
_IN_VAIN = 8  # bytes for each one of the file
_BESIDE = 32  # bytes that each comparison counts for, beside those that it compares
_MOST_FAILURES = 16
# Or of an anchor that a thousand codes have. Of real files, there is one check for every six bytes at most (libc.so.6,
# measured); an anchor that then stood there so often is given up.
_MOST_CHECKS = 4  # for each byte of the file
_MOST_STANDING = 256


class Match(msgspec.Struct, frozen=True):
    """Code found: at byte `start` of the file stands what signature `code` of the pack number `pack` describes.

    length: of the section. fixed: how many of its bytes were compared.
    """

    start: int
    length: int
    fixed: int
    pack: int
    code: int


def executable_ranges(image: Image) -> list[Range]:
    """Where the file's executable bytes are: those of the PT_LOAD segments with PF_X, each byte once."""
    ranges: list[Range] = []
    for start, end in sorted(
        (s.offset, min(s.offset + s.filesz, image.size))
        for s in image.segments
        if s.type == c.PT_LOAD and s.flags & c.PF_X
    ):
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(ranges[-1][1], end)
        elif start < end:
            ranges.append((start, end))
    return ranges


def matches(reader: Reader, image: Image, packs: Sequence[Pack], met: Met = unheard) -> list[Match]:
    """All places in the file's executable bytes where known code stands, by their start.

    The same bytes may be the code of several signatures. Nothing for a machine of which no pack has signatures.
    packs: where these are `Packs`, what is made of them serves the next file. met: is told of bounds.
    Raises MalformedElf and FileUnreadable.
    """
    architecture = machine_name(image.machine)
    signatures = (packs if isinstance(packs, Packs) else Packs(packs)).signatures(architecture)
    if signatures is None:
        return []
    search = _Search(signatures)
    found: list[Match] = []
    for start, end in executable_ranges(image):
        for at in range(start, end, _PIECE):
            first, behind = max(at - signatures.before, start), min(at + _PIECE + signatures.longest, end)
            content = reader.read(first, behind - first)
            found += search.within(content, first, (at - first, min(_PIECE, end - at)))
            if search.gives_up:
                met("code")
    return sorted(found, key=lambda match: (match.start, match.length, match.pack, match.code))


class Packs(Sequence[_P]):
    """Packs in their order, with the tables that a search made of them: these live as long as this, and serve any file.

    A pack that changed, and has other codes, is searched for with new tables.
    """

    def __init__(self, packs: Iterable[_P]) -> None:
        self._packs = tuple(packs)
        self._made: dict[str, tuple[list[Codes], _Signatures]] = {}

    @overload
    def __getitem__(self, at: int) -> _P: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[_P]: ...
    def __getitem__(self, at: int | slice) -> _P | Sequence[_P]:
        return self._packs[at]

    def __len__(self) -> int:
        return len(self._packs)

    def signatures(self, architecture: str) -> _Signatures | None:
        """What a search for the packs' code of ARCHITECTURE compares with; None where they have none."""
        if architecture not in STEP:
            return None
        numbered = enumerate(self._packs)
        known = [(number, codes) for number, pack in numbered if (codes := pack.codes(architecture)) is not None]
        columns = [codes for _, codes in known]
        before, made = self._made.get(architecture, ([], None))
        if made is None or len(before) != len(columns) or any(map(is_not, before, columns)):
            self._made.pop(architecture, None)
            if not any(len(codes.anchors) for codes in columns):
                return None
            made = _Signatures(architecture, columns, [(number, self._packs[number]) for number, _ in known])
            self._made[architecture] = columns, made
        return made


class _Signatures:
    """The signatures of all packs, ready to be looked for in any file.

    before: how far behind a section's start an anchor may stand. longest: of the sections; count: of them all. counts:
    how many have each anchor.
    """

    def __init__(self, architecture: str, codes: Sequence[Codes], packs: Sequence[tuple[int, Pack]]) -> None:
        import numpy as np

        self._architecture = architecture
        self._packs = packs
        self._firsts = list(np.cumsum([0, *(len(one.anchors) for one in codes)]))
        anchors = np.concatenate([one.anchors for one in codes])
        order = np.argsort(anchors, kind="stable")
        self._code = order
        self._anchor_at = np.concatenate([one.anchors_at for one in codes])[order].astype(np.int64)
        self._check = np.concatenate([one.checks for one in codes])[order]
        self._check_at = np.concatenate([one.checks_at for one in codes])[order].astype(np.int64)
        self.length = np.concatenate([one.lengths for one in codes])[order].astype(np.int64)
        self._values, self._first = np.unique(anchors[order], return_index=True)
        self.counts = np.diff(np.append(self._first, len(order)))
        bits = min(max(len(self._values).bit_length() + _SPARSE, _FEWEST_BITS), _MOST_BITS)
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, bool)
        self._table[self._hashes(self._values)] = True
        self.before = int(self._anchor_at.max())
        self.longest = int(self.length.max())
        self.count = len(order)

    def _hashes(self, windows: NDArray[np.uint64]) -> NDArray[np.int64]:
        import numpy as np

        return ((windows * np.uint64(_SPREAD)) >> self._shift).view(np.int64)

    def checked(
        self, content: bytes, places: NDArray[np.int64], values: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What passes the check of the codes that have the anchors VALUES, which stand at PLACES in CONTENT.

        Where each would start, and its place in the order of anchors.
        """
        import numpy as np

        counts = self.counts[values]
        codes = np.repeat(self._first[values], counts) + _within_groups(counts)
        starts = np.repeat(places, counts) - self._anchor_at[codes]
        inside = (starts >= 0) & (starts + self.length[codes] <= len(content))
        codes, starts = codes[inside], starts[inside]
        bytes_ = np.frombuffer(content, np.uint8)
        checked = starts + self._check_at[codes]
        there = np.zeros(len(codes), np.uint32)
        for byte in range(4):
            there |= bytes_[checked + byte].astype(np.uint32) << np.uint32(8 * byte)
        passed = there == self._check[codes]
        return starts[passed], codes[passed]

    def anchors(self, content: bytes, origin: int, at: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where anchors stand that begin in the SIZE bytes from AT on, and each one's number among the values."""
        import numpy as np

        step = STEP[self._architecture]
        places: list[NDArray[np.int64]] = []
        windows: list[NDArray[np.uint64]] = []
        for first in range(at + -(origin + at) % step, at + min(_WINDOW, size), step):
            count = min((at + size - first + _WINDOW - 1) // _WINDOW, (len(content) - first) // _WINDOW)
            if count <= 0:
                continue
            all_here = np.frombuffer(content, "<u8", count, first)
            passed = np.flatnonzero(self._table[self._hashes(all_here)])
            places.append(passed * _WINDOW + first)
            windows.append(all_here[passed])
        if not places:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        place, window = np.concatenate(places), np.concatenate(windows)
        value = np.searchsorted(self._values, window)
        equal = self._values[np.minimum(value, len(self._values) - 1)] == window
        return place[equal], value[equal]

    def named(self, code: int) -> tuple[int, int]:
        """The number of the pack that has CODE (a place in the order of anchors), and the code's number there."""
        number, code = self._placed(code)
        return self._packs[number][0], code

    def _placed(self, code: int) -> tuple[int, int]:
        """The same, with the pack's number among those that are searched."""
        whole = int(self._code[code])
        number = next(at for at, behind in enumerate(self._firsts[1:]) if whole < behind)
        return number, whole - int(self._firsts[number])

    def proofs(self, codes: Iterable[int]) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
        """Each of CODES with its digest, and with what may change in it, packed."""
        wanted: dict[int, list[tuple[int, int]]] = {}
        for code in codes:
            pack, number = self._placed(code)
            wanted.setdefault(pack, []).append((number, code))
        for pack, asked in wanted.items():
            proofs = self._packs[pack][1].proofs(self._architecture, [number for number, _ in asked])
            yield from zip((code for _, code in asked), proofs, strict=True)


class _Search:
    """What is found of the SIGNATURES in one file, and what was compared for that in vain."""

    def __init__(self, signatures: _Signatures) -> None:
        import numpy as np

        self._signatures = signatures
        self._copies = np.zeros(signatures.count, np.int64)
        self._failures = np.zeros(signatures.count, np.int64)
        self._standing = np.zeros(len(signatures.counts), np.int64)
        self._left = self._checks_left = 0
        self._matches_left = _MOST_MATCHES
        self._proofs: dict[int, tuple[bytes, bytes]] = {}
        self._ranges: dict[int, list[Range]] = {}
        self._unpacked = 0

    @property
    def gives_up(self) -> bool:
        """Whether so much was compared in vain that what failed often is compared no more, or too much was found."""
        return min(self._left, self._checks_left, self._matches_left) < 0

    def within(self, content: bytes, origin: int, own: tuple[int, int]) -> Iterator[Match]:
        """The matches in CONTENT, which is at byte ORIGIN of the file, whose anchors are in the part OWN of it.

        own: the offset of its first byte, and its size.
        """
        self._left += _IN_VAIN * own[1]
        self._checks_left += _MOST_CHECKS * own[1]
        for at in range(own[0], own[0] + own[1], _BLOCK):
            places, values = self._signatures.anchors(content, origin, at, min(_BLOCK, own[0] + own[1] - at))
            for some in self._portions(values):
                starts, codes = self._checked(content, places[some], values[some])
                for first in range(0, len(codes), _AT_ONCE):
                    yield from self._proven(
                        content, origin, starts[first : first + _AT_ONCE], codes[first : first + _AT_ONCE]
                    )

    def _portions(self, values: NDArray[np.int64]) -> Iterator[slice]:
        """Parts of VALUES, whose signatures are few enough to be compared at once."""
        import numpy as np

        if not len(values):
            return
        behind = np.cumsum(self._signatures.counts[values])
        ends = np.searchsorted(behind, np.arange(_TOGETHER, int(behind[-1]), _TOGETHER))
        yield from (slice(*pair) for pair in pairwise([0, *ends.tolist(), len(values)]))

    def _checked(
        self, content: bytes, places: NDArray[np.int64], values: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What passes the check, without that of the anchors that are given up."""
        import numpy as np

        if self._checks_left < 0:
            left = self._standing[values] < _MOST_STANDING
            places, values = places[left], values[left]
        self._standing += np.bincount(values, minlength=len(self._standing))
        self._checks_left -= int(self._signatures.counts[values].sum())
        return self._signatures.checked(content, places, values)

    def _proven(
        self, content: bytes, origin: int, starts: NDArray[np.int64], codes: NDArray[np.int64]
    ) -> Iterator[Match]:
        wanted = self._copies[codes] < _MOST_COPIES
        if self._left < 0:
            wanted &= self._failures[codes] < _MOST_FAILURES
        starts, codes = starts[wanted], codes[wanted]
        self._proofs.update(self._signatures.proofs(set(codes.tolist()).difference(self._proofs)))
        view = memoryview(content)
        for start, code in zip(starts.tolist(), codes.tolist(), strict=True):
            if self._matches_left < 0 or self._copies[code] >= _MOST_COPIES:
                continue
            if self._left < 0 and self._failures[code] >= _MOST_FAILURES:
                continue
            length = int(self._signatures.length[code])
            (expected, packed), ranges = self._proofs[code], self._changeable(code)
            if ranges and ranges[-1][1] > length:
                continue
            if digest(packed, view[start : start + length], ranges) != expected:
                self._failures[code] += 1
                self._left -= length + _BESIDE
            else:
                self._copies[code] += 1
                self._matches_left -= 1
                fixed = length - sum(end - first for first, end in ranges)
                pack, number = self._signatures.named(code)
                yield Match(origin + start, length, fixed, pack, number)

    def _changeable(self, code: int) -> list[Range]:
        """What may change in CODE, unpacked when it is asked for the first time, or again."""
        ranges = self._ranges.get(code)
        if ranges is None:
            packed = self._proofs[code][1]
            self._unpacked += len(packed)
            if self._unpacked > _MOST_UNPACKED:
                self._ranges.clear()
                self._unpacked = len(packed)
            ranges = self._ranges[code] = changeable.unpack(packed)
        return ranges


def _within_groups(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1 … for each of the groups of these sizes, one after the other."""
    import numpy as np

    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(starts, counts)
