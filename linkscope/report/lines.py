"""Lines as one text, and words that keep to the room that a line has."""

from __future__ import annotations

from collections.abc import Iterable

from linkscope.report.escape import escape
from linkscope.report.page import Page, Span, cells, paint


def painted(lines: Iterable[list[Span]], page: Page) -> str:
    """LINES as text, each with its newline."""
    return "".join([paint(line, page) + "\n" for line in lines])


def clipped(text: str, width: int | None) -> str:
    """TEXT, escaped, in at most WIDTH columns (None: all of it): a title or a sentence loses its end."""
    text = escape(text)
    if width is None or cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text.rstrip()}…" if width > 0 else ""
