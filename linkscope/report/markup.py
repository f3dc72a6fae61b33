"""Text out of files inside of Markdown, as code hosts show it: it stays text, and calls nobody."""

from __future__ import annotations

import re

from linkscope.report.escape import escape

# Words and numbers that cannot be a mention, a reference, emphasis or a link, and look like no name out of a file.
_PLAIN = re.compile(r"[^\W_]+([-'’][^\W_]+)*|[0-9]+(\.[0-9]+)+", re.ASCII)
# What stands around a word without being a part of it, and means nothing to Markdown there.
_WORD = re.compile(r"(?P<before>[(\"']*)(?P<word>.*?)(?P<after>[).,;:\"'?!]*)", re.DOTALL)
_KEPT = frozenset(" -,./")
# GFM makes links of what begins so, anywhere (GitHub Flavored Markdown, 6.9).
_WWW = re.compile(r"\b(www)\.", re.IGNORECASE)


def inert(text: str) -> str:
    """TEXT in which every ASCII punctuation mark that Markdown or HTML could act on is a character reference.

    A reference is text wherever it stands, also inside of a table's row (CommonMark, 6.2), where the parsers do not
    agree about backslashes before a pipe.
    """
    shown = [c if c.isalnum() or c in _KEPT or not c.isascii() else f"&#{ord(c)};" for c in escape(text)]
    return _WWW.sub(r"\1&#46;", "".join(shown))


def code(text: str) -> str:
    """TEXT as it stands, in the font for code, in which code hosts look for neither mentions nor references."""
    return f"<code>{inert(text)}</code>"


def sentence(text: str) -> str:
    """TEXT whose plain words are plain, while names (`libfoo.so.1`, `GLIBC_2.34`, `@somebody`) are set as code."""
    return " ".join(map(_word, text.split(" ")))


def _word(word: str) -> str:
    parts = _WORD.fullmatch(word)
    if parts is None:
        return code(word)
    inner = parts["word"]
    shown = inner if not inner or _PLAIN.fullmatch(inner) else code(inner)
    return f"{parts['before']}{shown}{parts['after']}"


def prose(text: str) -> str:
    """TEXT of a rule, in which backticks mark what is to be set as code."""
    parts = text.split("`")
    return "".join([code(part) if place % 2 else sentence(part) for place, part in enumerate(parts)])


def block(lines: list[str]) -> str:
    """LINES as a block of code, whose fence is longer than any in them (CommonMark, 4.5)."""
    text = "\n".join(map(escape, lines))
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}\n"
