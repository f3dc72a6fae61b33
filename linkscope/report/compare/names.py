"""What the compared programs are called, also where there is little room: never two of them alike."""

from __future__ import annotations

import re
from collections.abc import Sequence

from linkscope.model.compare import Program
from linkscope.model.names import short_names
from linkscope.report.escape import escape
from linkscope.report.page import cells, cut

_SEPARATORS = "-_./"
_LINES = 4  # of a title
_PIECES = re.compile(rf"[^{_SEPARATORS}]*[{_SEPARATORS}]+|[^{_SEPARATORS}]+")


def called(programs: Sequence[Program]) -> list[str]:
    """The name of each of PROGRAMS, as the sentences of the verdict have it, fit to be shown."""
    return [escape(name) for name in short_names(programs)]


def in_common(names: Sequence[str]) -> str:
    """What all NAMES begin with, up to a separator, so that something is left of each; "" for less than two."""
    if len(names) < 2:
        return ""
    first, last = min(names), max(names)  # whatever stands between them in the alphabet begins as both do
    alike = next((place for place, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first))
    begin = first[: max(first.rfind(separator, 0, alike) for separator in _SEPARATORS) + 1]
    return begin if all(len(name) > len(begin) for name in names) else ""


def broken(name: str, width: int) -> list[str]:
    """NAME in lines of at most WIDTH columns, broken behind separators; a piece that is longer loses its middle."""
    lines = [""]
    for piece in _PIECES.findall(name):
        if lines[-1] and cells(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return [cut(line, width) for line in lines]


def narrowed(names: Sequence[str], width: int) -> list[str]:
    """NAMES in at most WIDTH columns each: they lose their middles, and get numbers where that makes some alike."""
    shown = [cut(name, width) for name in names]
    if len(set(shown)) == len(names):
        return shown
    ends = [f"#{place}" for place in range(1, len(names) + 1)]
    return [cut(name, max(1, width - cells(end))) + end for name, end in zip(names, ends, strict=True)]


def titles(names: Sequence[str], width: int) -> list[list[str]]:
    """NAMES in a few lines of at most WIDTH columns, or in one each where that would not tell them all apart."""
    lines = [broken(name, width) for name in names]
    distinct = len({tuple(each) for each in lines}) == len(names)
    return lines if distinct and max(map(len, lines)) <= _LINES else [[name] for name in narrowed(names, width)]
