"""Many texts looked for at once: where each of them stands in a file's data.

The time that it takes grows with the data and hardly with the number of texts: of every text one place of seven bytes
is chosen that few others will have; wherever the text stands, one of the four words there lies at a multiple of four.
So only a fourth of the data's words is looked at, all at once (numpy), and what is left is compared byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_WORD = 4
LEAST = 2 * _WORD - 1  # bytes of a text that has an aligned word wherever it stands; shorter ones take a search each
_BITS = 20
_FACTOR = 2654435761  # Knuth's multiplicative hashing: 2**32 divided by the golden ratio
_COMMON = frozenset(b" aeinorstlducm%s\n\0.")


@lru_cache(maxsize=16)
def needles(texts: frozenset[bytes]) -> Needles:
    """The TEXTS as `Needles`; made once, as the same ones are looked for in many files."""
    return Needles(texts)


class Needles:
    """The texts, ready to be looked for."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        """TEXTS: none is empty."""
        every = set(texts)
        self._short = sorted(text for text in every if len(text) < LEAST)
        self._by_word: dict[int, list[tuple[bytes, int]]] = {}
        for text in sorted(every - set(self._short)):
            place = _rarest(text)
            for at in range(place, place + _WORD):
                word = int.from_bytes(text[at : at + _WORD], "little")
                self._by_word.setdefault(word, []).append((text, at))
        self._words: npt.NDArray[np.uint32] | None = None
        self._table: npt.NDArray[np.bool_] | None = None

    def find(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        """Every text that stands in DATA, and where it begins, in no order."""
        for text in self._short:
            at = data.find(text)
            while at >= 0:
                yield text, at
                at = data.find(text, at + 1)
        for place, word in self._candidates(data):
            for text, offset in self._by_word[word]:
                if place >= offset and data.startswith(text, place - offset):
                    yield text, place - offset

    def _candidates(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where one of the words stands at a multiple of four, and which."""
        if not self._by_word:
            return
        import numpy as np

        if self._words is None or self._table is None:
            self._words = np.array(sorted(self._by_word), dtype=np.uint32)
            self._table = np.zeros(1 << _BITS, dtype=np.bool_)
            self._table[_hashed(self._words)] = True
        words = np.frombuffer(data, dtype="<u4", count=len(data) // _WORD)
        places = np.flatnonzero(self._table[_hashed(words)])
        found = words[places]
        nearest = self._words[np.minimum(np.searchsorted(self._words, found), len(self._words) - 1)]
        for place, word in zip(places[nearest == found].tolist(), found[nearest == found].tolist(), strict=True):
            yield place * _WORD, word


def _hashed(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    import numpy as np

    return (words * np.uint32(_FACTOR)) >> np.uint32(32 - _BITS)


def _rarest(text: bytes) -> int:
    """Where the seven bytes begin whose words are the least likely ones elsewhere: those of few common letters."""

    def rarity(place: int) -> tuple[int, int]:
        rare = [sum(byte not in _COMMON for byte in text[at : at + _WORD]) for at in range(place, place + _WORD)]
        return min(rare), sum(rare)

    return max(range(len(text) - LEAST + 1), key=rarity)
