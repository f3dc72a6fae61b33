"""Lines as one text, and words that keep to the room that a line has."""

from __future__ import annotations

from collections.abc import Iterable

from linkscope.report.escape import escape
from linkscope.report.page import Page, Span, cells, fitting, paint

_LONGEST = 8  # characters to a column: combining ones take none


def painted(lines: Iterable[list[Span]], page: Page) -> str:
    """LINES as text, each with its newline."""
    return "".join([paint(line, page) + "\n" for line in lines])


def clipped(text: str, width: int | None) -> str:
    """TEXT, escaped, in at most WIDTH columns (None: all of it): a title or a sentence loses its end."""
    if width is None:
        return escape(text)
    shown = escape(text[: _LONGEST * max(width, 1)])  # a command line may have megabytes
    if cells(shown) <= width:
        return shown
    return f"{fitting(shown, width - 1).rstrip()}…" if width > 0 else ""
