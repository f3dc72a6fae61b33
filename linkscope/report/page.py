"""What a line of text is made of, and the page that it is laid out for: its width, its colours, its characters.

Laid out by hand rather than by rich: a library's row takes some microseconds here and 70 there, which counts when
a thousand programs are listed, and rich has no way to shorten a path in its middle.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from linkscope.report.escape import escape

# Styles are named after what they say; SGR parameters as in ECMA-48, 8.3.117.
_SGR = {"title": "1", "name": "1", "good": "32", "bad": "1;31", "warn": "33", "how": "36", "faint": "2"}
# What the reports are drawn with, and how it looks where only ASCII can be shown.
_ASCII = {"├": "|", "└": "`", "│": "|", "─": "-", "·": "-", "→": "->", "≥": ">=", "…": "~", "✗": "x"}
_TO_ASCII = str.maketrans(_ASCII)
LINE_ART = "".join(_ASCII)
"""Characters that an encoding must have, or the page is one without line art."""

INDENT = 2
"""Columns by which everything below a headline is moved in."""
LABEL = 13
"""Columns of the name of a fact, before the fact."""

Span = tuple[str, str]
"""A piece of text and the name of its style ("" is plain)."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Where text goes. width: columns, None where there is no edge (a pipe); unicode: whether line art can be shown.

    given: the options of the command line that a command shown on the page has to repeat, to speak of the same start.
    """

    width: int | None = None
    colour: bool = False
    unicode: bool = True
    given: tuple[str, ...] = ()


def paint(spans: Iterable[Span], page: Page) -> str:
    """One line without its newline: every text escaped, styled where the page has colour."""
    line = ""
    for text, style in spans:
        shown = escape(text) if page.unicode else escape(text).translate(_TO_ASCII)
        line += f"\x1b[{_SGR[style]}m{shown}\x1b[0m" if style and page.colour and shown else shown
    return line if page.colour else line.rstrip(" ")


def cells(text: str) -> int:
    """How many columns TEXT takes: two for wide characters, none for combining ones (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """TEXT, escaped, in at most WIDTH columns: a path loses its middle, for its ends say most."""
    text = escape(text)
    if cells(text) <= width:
        return text
    tail = fitting(reversed(text), (width - 1) * 2 // 3)[::-1]
    return f"{fitting(text, width - 1 - cells(tail))}…{tail}"


def fitting(characters: Iterable[str], width: int) -> str:
    """As many of the first CHARACTERS as WIDTH columns hold."""
    taken = ""
    for character in characters:
        width -= _cell(character)
        if width < 0:
            break
        taken += character
    return taken


def padded(text: str, style: str, width: int) -> Span:
    """TEXT with spaces up to WIDTH columns."""
    text = escape(text)
    return text + " " * (width - cells(text)), style


def flow(
    items: Iterable[Span], page: Page, first: Sequence[Span], later: Sequence[Span], separator: str
) -> Iterator[list[Span]]:
    """Lines of ITEMS, none of them broken; the first line begins with FIRST, the others with LATER.

    Where LATER is narrower than FIRST, spaces put the items below one another.
    """
    indent = sum(cells(text) for text, _ in first)
    short = indent - sum(cells(text) for text, _ in later)
    mark = separator.rstrip()
    line, used, begun = list(first), indent, False
    for text, style in items:
        text = escape(text)
        width = cells(text)
        if begun and page.width is not None and used + len(separator) + width + len(mark) > page.width:
            yield [*line, (mark, "")]
            line, used = [*later, (" " * short, "")], max(indent, indent - short)
        elif begun:
            line.append((separator, ""))
            used += len(separator)
        line.append((text, style))
        used += width
        begun = True
    yield line


def words(text: str, style: str, page: Page, first: Sequence[Span]) -> Iterator[list[Span]]:
    """Lines of running TEXT, broken at its spaces, all beginning in the column where FIRST ends."""
    return flow([(word, style) for word in text.split(" ")], page, first, [], " ")
