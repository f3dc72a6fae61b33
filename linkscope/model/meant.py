"""What may have been meant by a name that there is not, and the question after it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

_LIKENESS = 0.75  # of a slip of the pen; `nope` is like `not-pie` by 0.73, by letters alone
_SHORTEST = 3  # letters of a name's beginning that says which one is meant


def meant(word: str, known: Iterable[str], most: int = 1, likeness: float = _LIKENESS) -> list[str]:
    """The names of KNOWN that WORD nearly is, MOST of them at most, the most alike first; else those that begin so.

    Where more than MOST begin so, none is meant more than the others. likeness: as difflib's SequenceMatcher.ratio has
    it, for a caller who needs to be surer.
    """
    from difflib import get_close_matches  # only a mistake needs it

    names = list(dict.fromkeys(known))
    begun = [name for name in names if len(word) >= _SHORTEST and name.startswith(word)]
    return get_close_matches(word, names, most, likeness) or (begun if len(begun) <= most else [])


def asked(names: Collection[str]) -> str:
    """The end of a sentence that asks whether one of NAMES was meant; "" where there are none."""
    return f"; did you mean {' or '.join(names)}?" if names else ""
