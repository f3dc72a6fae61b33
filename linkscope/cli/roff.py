"""Text as a manual page has it: the language of man(7), which groff and mandoc read alike."""

from __future__ import annotations

import re
import textwrap

_WIDTH = 78
# What would be shown as another character (groff_char(7): a hyphen, an accent, a quotation mark) or acted on.
_ESCAPES = str.maketrans({"\\": r"\e", "-": r"\-", "~": r"\(ti", "^": r"\(ha", "`": r"\(ga", "'": r"\(aq"})
_SENTENCE = re.compile(r"(?<=[.?!:]) (?=[A-Z])")
_CODE = re.compile(r"`([^`]+)`")
_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z0-9][\w-]*")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_BOLD, _ITALIC, _PLAIN = "\x01", "\x02", "\x03"  # what marks a font until the text around it is escaped
_FONTS = {_BOLD: r"\fB", _ITALIC: r"\fI", _PLAIN: r"\fR"}


def escaped(text: str) -> str:
    """TEXT as it is: what roff would act on, or change into another character, is escaped."""
    ascii_ = text.translate(_ESCAPES)
    return _NOT_ASCII.sub(lambda found: rf"\[u{ord(found[0]):04X}]", ascii_)


def paragraph(text: str) -> list[str]:
    """TEXT as lines to be filled, a sentence beginning a new one; options and what stands in backquotes are bold."""
    marked = _CODE.sub(rf"{_BOLD}\1{_PLAIN}", " ".join(text.split()))
    bold_options = "".join(
        part if part.startswith(_BOLD) else _OPTION.sub(rf"{_BOLD}\g<0>{_PLAIN}", part)
        for part in re.split(f"({_BOLD}[^{_PLAIN}]*{_PLAIN})", marked)
    )
    return [_guarded(line) for sentence in _SENTENCE.split(bold_options) for line in wrapped(_with_fonts(sentence))]


def wrapped(text: str) -> list[str]:
    """TEXT, which is roff already, as lines of a length that every reader takes."""
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def verbatim(lines: list[str]) -> list[str]:
    """LINES as they are, indented."""
    return [".RS 4", ".EX", *(_guarded(escaped(line)) for line in lines), ".EE", ".RE"]


def declared(option: str) -> str:
    """The line that declares an option, as the help has it (`-0, --null`, `--root DIR`, `--format [text|json]`)."""
    marked = re.sub(r"(?<![\w\x01-])[A-Z][\w:.=]*", rf"{_ITALIC}\g<0>{_PLAIN}", option)
    return _guarded(_with_fonts(_OPTION.sub(rf"{_BOLD}\g<0>{_PLAIN}", marked)))


def term(word: str, lines: list[str]) -> list[str]:
    """An entry of a list: WORD, which is roff already, and what LINES say of it."""
    return [".TP", word, *lines]


def bold(word: str) -> str:
    """WORD in bold letters."""
    return rf"\fB{escaped(word)}\fR"


def _with_fonts(marked: str) -> str:
    text = escaped(marked)
    for mark, font in _FONTS.items():
        text = text.replace(mark, font)
    return text


def _guarded(line: str) -> str:
    """LINE, which begins no request: those begin with a full stop or an apostrophe."""
    return rf"\&{line}" if line.startswith((".", "'")) else line
