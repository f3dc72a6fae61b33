"""Which release of musl brought which symbols: musl has no symbol versions, so its floor is told by them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec

from linkscope.policy.targets.data import FOLDER, DataFault, Row, Source


class _Added(Row, frozen=True):
    version: str
    source: str
    symbols: tuple[str, ...]


class _File(Row, frozen=True):
    sources: dict[str, Source]
    added: tuple[_Added, ...]


def added_after(version: tuple[int, ...], symbols: frozenset[str]) -> list[tuple[str, str]]:
    """Those of SYMBOLS that a musl of VERSION does not have yet, with the release that brought each; latest first."""
    known = _since() if symbols else {}
    late = [(symbol, known[symbol]) for symbol in symbols & known.keys() if number(known[symbol]) > version]
    return sorted(late, key=lambda row: (tuple([-part for part in number(row[1])]), row[0]))


def is_known(symbol: str) -> bool:
    """Whether SYMBOL is one that a release of musl brought after the first of those that are listed."""
    return symbol in _since()


def number(version: str) -> tuple[int, ...]:
    """`1.2.4` as numbers."""
    return tuple(map(int, version.split(".")))


@cache
def _since() -> Mapping[str, str]:
    path = FOLDER / "symbols" / "musl.toml"
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise DataFault(str(path), str(error)) from error
    for row in file.added:
        if row.source not in file.sources:
            raise DataFault(str(path), f"{row.version}: no source is called {row.source}")
    return {symbol: row.version for row in file.added for symbol in row.symbols}
