"""Fingerprints of many archives of one architecture in a few megabytes: arrays, each compressed by itself.

The same code stands in many archives, so that each code is kept once, and every place where it stands refers to it.
numpy and zstandard are imported only where such arrays are made or read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from linkscope.contents.fingerprints import DIGEST, Archive, Signature
from linkscope.contents.known import Codes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST = 1 << 30  # bytes that one array may be unpacked to: fifty times those of the shipped pack
_NUMBERS = {
    "lengths": "<u4",
    "fixed": "<u4",
    "anchors": "<u8",
    "anchors_at": "<u4",
    "checks": "<u4",
    "checks_at": "<u4",
    "changeable_sizes": "<u4",
}
# Of every place: the code, as the difference to the place before, the archive by its number in the block, the numbers
# of two names, and whether the code is shared.
_PLACES = {
    "place_codes": "<i4",
    "place_archives": "<u4",
    "place_members": "<u4",
    "place_sections": "<u4",
    "place_shared": "|u1",
}
_TYPES = _NUMBERS | _PLACES
COLUMNS = (*_NUMBERS, "digests", "changeable", *_PLACES, "names")


class BlockDamaged(Exception):
    """The arrays contradict one another, or cannot be decompressed."""


class Block:
    """The fingerprints of some archives, read as far as they are asked for. Everything may raise BlockDamaged.

    data: the compressed arrays by the names in COLUMNS.
    """

    def __init__(self, data: dict[str, bytes]) -> None:
        self._data = data

    @cached_property
    def codes(self) -> Codes:
        """Every distinct code, in the block's order."""
        columns = {name: self._numbers(name) for name in Codes.__struct_fields__}
        if len({len(column) for column in columns.values()}) > 1:
            raise BlockDamaged
        return Codes(**columns)

    def proof(self, code: int) -> tuple[bytes, bytes]:
        """`digest` and `changeable` of a code."""
        at = self._changeable_at
        return self._digests[code * DIGEST : (code + 1) * DIGEST], self._changeable[int(at[code]) : int(at[code + 1])]

    def places(self, codes: Iterable[int]) -> Iterator[tuple[int, int, str, str, bool]]:
        """Where the codes stand: code, number of the archive in the block, member, section, whether it is shared."""
        owners, members, sections, shared = self._places
        starts, order = self._by_code
        names = self._names
        for code in codes:
            for at in order[starts[code] : starts[code + 1]].tolist():
                yield code, int(owners[at]), names[members[at]], names[sections[at]], bool(shared[at])

    def signatures(self) -> dict[int, list[Signature]]:
        """All signatures, by the number of their archive in the block."""
        fixed = self._numbers("fixed").tolist()
        columns = [column.tolist() for column in (getattr(self.codes, name) for name in Codes.__struct_fields__)]
        found: dict[int, list[Signature]] = {}
        places = [self._place_codes.tolist(), *(column.tolist() for column in self._places)]
        for code, owner, member, section, shared in zip(*places, strict=True):
            anchor, anchor_at, check, check_at, length = (column[code] for column in columns)
            digest, changeable = self.proof(code)
            found.setdefault(owner, []).append(
                Signature(
                    member=self._names[member],
                    section=self._names[section],
                    length=length,
                    fixed=fixed[code],
                    digest=digest,
                    changeable=changeable,
                    anchor=anchor,
                    anchor_at=anchor_at,
                    check=check,
                    check_at=check_at,
                    shared=bool(shared),
                )
            )
        return found

    @cached_property
    def _place_codes(self) -> NDArray[np.int64]:
        import numpy as np

        codes = np.cumsum(self._numbers("place_codes"), dtype=np.int64)
        if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < len(self.codes.lengths):
            raise BlockDamaged
        return codes

    @cached_property
    def _places(self) -> tuple[NDArray[Any], ...]:
        """Of every place the archive, the numbers of the names of member and section, and whether it is shared."""
        owners, members, sections, shared = (self._numbers(name) for name in tuple(_PLACES)[1:])
        if {len(column) for column in (owners, members, sections, shared)} != {len(self._place_codes)}:
            raise BlockDamaged
        if len(owners) and max(int(members.max()), int(sections.max())) + 1 != len(self._names):  # each is somewhere
            raise BlockDamaged
        return owners, members, sections, shared

    @cached_property
    def _by_code(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each code's places begin in the second array, which has the places in the order of their codes."""
        import numpy as np

        order = np.argsort(self._place_codes, kind="stable")
        starts = np.searchsorted(self._place_codes[order], np.arange(len(self.codes.lengths) + 1))
        return starts, order

    @cached_property
    def _names(self) -> list[str]:
        return [name.decode("utf-8", "surrogateescape") for name in self._bytes("names").split(b"\0")]

    @cached_property
    def _digests(self) -> bytes:
        digests = self._bytes("digests")
        if len(digests) != DIGEST * len(self.codes.lengths):
            raise BlockDamaged
        return digests

    @cached_property
    def _changeable(self) -> bytes:
        return self._bytes("changeable")

    @cached_property
    def _changeable_at(self) -> NDArray[np.int64]:
        import numpy as np

        at = np.concatenate(([0], np.cumsum(self._numbers("changeable_sizes"), dtype=np.int64)))
        if len(at) != len(self.codes.lengths) + 1 or int(at[-1]) != len(self._changeable):
            raise BlockDamaged
        return at

    def _numbers(self, name: str) -> NDArray[Any]:
        import numpy as np

        known = self.__dict__.get(f"column {name}")
        if known is None:
            data = np.frombuffer(self._bytes(name), dtype=np.uint8)
            kind = np.dtype(_TYPES[name])
            if len(data) % kind.itemsize:
                raise BlockDamaged
            known = np.ascontiguousarray(data.reshape(kind.itemsize, -1).T).view(kind).reshape(-1)
            self.__dict__[f"column {name}"] = known
        array: NDArray[Any] = known
        return array

    def _bytes(self, name: str) -> bytes:
        import zstandard

        data = self._data.get(name, b"")
        try:
            size = zstandard.get_frame_parameters(data).content_size
            if size > _LARGEST:
                raise BlockDamaged
            return zstandard.ZstdDecompressor().decompress(data) if size else b""
        except (zstandard.ZstdError, MemoryError) as error:
            raise BlockDamaged from error


def block(archives: Sequence[Archive], level: int) -> dict[str, bytes]:
    """The compressed arrays for archives of one architecture, which are numbered in their order.

    level: how hard to compress, zstd's 1 to 22. Raises ValueError for a name with a NUL byte, which ends it here.
    """
    import numpy as np

    codes: dict[bytes, int] = {}
    distinct: list[Signature] = []
    names: dict[str, int] = {}
    rows: list[tuple[int, ...]] = []
    for number, archive in enumerate(archives):
        for signature in archive.signatures:
            code = codes.setdefault(signature.digest, len(distinct))
            if code == len(distinct):
                distinct.append(signature)
            member, section = (names.setdefault(name, len(names)) for name in (signature.member, signature.section))
            rows.append((code, number, member, section, signature.shared))
    if any("\0" in name for name in names):
        raise ValueError("a member's or section's name has a NUL byte")
    columns = dict(zip(_NUMBERS, zip(*map(_numbers_of, distinct), strict=True), strict=False)) if distinct else {}
    places = np.array(rows, dtype=np.int64).reshape(-1, len(_PLACES))
    places[1:, 0] -= places[:-1, 0].copy()
    made = {name: _planes(columns.get(name, ()), kind) for name, kind in _NUMBERS.items()}
    made |= {name: _planes(places[:, at], kind) for at, (name, kind) in enumerate(_PLACES.items())}
    made["digests"] = b"".join(codes)
    made["changeable"] = b"".join(signature.changeable for signature in distinct)
    made["names"] = b"\0".join(name.encode("utf-8", "surrogateescape") for name in names)
    return {name: _compressed(made[name], level) for name in COLUMNS}


def _numbers_of(one: Signature) -> tuple[int, ...]:
    """The numbers of a signature, in the order of _NUMBERS."""
    ends = one.anchor, one.anchor_at, one.check, one.check_at
    return (one.length, one.fixed, *ends, len(one.changeable))


def _planes(values: Any, kind: str) -> bytes:
    """The first byte of every number, then the second ones …: those of one plane are alike, and compress better."""
    import numpy as np

    array = np.ascontiguousarray(np.asarray(values, dtype=kind))
    return array.view(np.uint8).reshape(-1, array.itemsize).T.tobytes()


def _compressed(data: bytes, level: int) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True).compress(data)
