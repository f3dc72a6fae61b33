"""The scoreboard as plain text, at most 100 columns wide."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from tests.conformance.scoreboard import TOOLS, US, Row
from tests.conformance.systems import System

_FIRST: Final = 54  # columns of the first column
_SECOND: Final = 10
_CELL: Final = 9


def _line(first: str, second: str, cells: Sequence[str]) -> str:
    return f"{first:{_FIRST}}{second:{_SECOND}}{''.join(f'{cell:>{_CELL}}' for cell in cells)}".rstrip()


def rules(rows: Sequence[Row]) -> str:
    """Each rule with the tools' marks, below its subject."""
    blocks = []
    for subject, group in groupby(rows, key=lambda row: row.subject):
        lines = [_line(subject, "loader", TOOLS)]
        for row in group:
            *above, last = textwrap.wrap(row.sentence, _FIRST - 4, subsequent_indent="  ")
            lines += [*(f"  {part}" for part in above)]
            lines.append(_line(f"  {last}", row.loader, [row.marks[tool] for tool in TOOLS]))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def summary(rows: Sequence[Row], systems: Sequence[System]) -> str:
    """How often each tool errs, subject by subject and system by system."""
    lines = [_line("rules: wrong answers, of those asked for", "rules", TOOLS), *_counts(rows)]
    lines += ["", _line("real files: wrong lists", "files", TOOLS)]
    for system in systems:
        cells = [str(system.errors[tool]) if tool in system.errors else "-" for tool in TOOLS]
        lines.append(_line(f"  {system.name}", str(system.files), cells))
    return "\n".join(lines) + "\n"


def _counts(rows: Sequence[Row]) -> Iterator[str]:
    for subject, group in groupby(rows, key=lambda row: row.subject):
        yield _count(f"  {subject}", list(group))
    yield _count("  all", rows)


def _count(name: str, rows: Sequence[Row]) -> str:
    cells = []
    for tool in TOOLS:
        asked = [row.marks[tool] for row in rows if row.marks[tool] != "-"]
        cells.append(f"{asked.count('WRONG')}/{len(asked)}" if asked else "-")
    return _line(name, str(len(rows)), cells)


def faults(rows: Sequence[Row], systems: Sequence[System]) -> str:
    """Where LinkScope errs, in full; empty where it does not."""
    lines = [f"{row.subject}: {row.sentence}" for row in rows if row.marks[US] == "WRONG"]
    lines += [f"{system.name}: {path}: {text}" for system in systems for path, text in system.differences.items()]
    return "".join(f"{line}\n" for line in lines)
