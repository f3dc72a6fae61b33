"""Run-time systems of languages that a program has inside, and the compilers that left their name in it.

They are one table, `languages.toml`: whoever adds a language adds an entry there. A mark counts where it stands in the
file itself; where the file takes the run-time system from a shared library, it is not inside.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from linkscope.contents import spans, symbols, texts
from linkscope.contents.limits import Met, unheard
from linkscope.model.inspect import Content, Evidence

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_TABLE = os.path.join(os.path.dirname(__file__), "languages.toml")
_REACH = 256  # bytes of a text before its anchor, and from there on
_LONGEST_DEBUG = 1 << 26  # bytes of .debug_str that are searched
_MOST_TRIES = 1 << 14  # places of one anchor that are looked at
_LONGEST_SHOWN = 120
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing by which a run-time system is known, which is one of these.

    comment: an expression for an entry of .comment. debug: one for a string of .debug_str. data: one for a text in the
    read-only data or, where it is `written`, in that which the program may write. The last two are searched for by
    their anchor, which never changes. texts: all of them stand in the read-only data. symbols: the file defines
    functions of all these names. section: it has one of this name. whole: beside `texts`, a text from NUL to NUL that
    tells the version, where there is but one such. source: where it comes from.
    """

    comment: _Text | None = None
    debug: _Text | None = None
    data: _Text | None = None
    anchor: _Text | None = None
    written: bool = False
    texts: tuple[_Text, ...] = ()
    symbols: tuple[_Text, ...] = ()
    section: _Text | None = None
    whole: _Text | None = None
    source: _Text


class Runtime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run-time system or compiler. needed: how the sonames begin that hold it instead of the file."""

    name: _Text
    needed: tuple[_Text, ...] = ()
    mark: Annotated[tuple[Mark, ...], msgspec.Meta(min_length=1)]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    runtime: tuple[Runtime, ...]


@cache
def runtimes(path: str = _TABLE) -> tuple[Runtime, ...]:
    """The run-time systems of the table. Raises msgspec.ValidationError for what is not of their type."""
    with open(path, "rb") as file:
        return msgspec.toml.decode(file.read(), type=_File).runtime


class _Facts:
    """What the marks are held against, read once for all of them."""

    def __init__(self, reader: Reader, image: Image, met: Met) -> None:
        self._reader, self._image, self._met = reader, image, met
        marks = [mark for runtime in runtimes() for mark in runtime.mark]
        self._areas = texts.areas(reader, image)
        self.comments = spans.comments(reader, image)
        self.places = {False: self._areas, True: texts.written_areas(reader, image)}
        anchors = {
            written: {(mark.anchor or "").encode() for mark in marks if _is_in(mark, written)}
            for written in self.places
        }
        wanted = {text.encode() for mark in marks for text in mark.texts}
        self.present = texts.present(reader, self._areas, wanted | anchors[False])
        written_to = texts.present(reader, self.places[True], anchors[True])
        self.anchored = {(anchor, False) for anchor in anchors[False] & self.present}
        self.anchored |= {(anchor, True) for anchor in written_to}
        names = frozenset(name.encode() for mark in marks for name in mark.symbols)
        self.defined = {
            name for table in symbols.tables(reader, image) for name in symbols.defined_functions(table, names)
        }

    def debug_strings(self) -> bytes:
        """The strings of the debugging information, with NUL before the first."""
        return b"\0" + (spans.section_bytes(self._reader, self._image, b".debug_str", _LONGEST_DEBUG) or b"")

    def has_section(self, name: str) -> bool:
        """Whether the file has a section of this NAME."""
        return spans.section_bytes(self._reader, self._image, name.encode(), 0) is not None

    def in_data(self, anchor: bytes, written: bool, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """The first text that fits PATTERN, around an ANCHOR in the data that is WRITTEN, or only read."""
        tries = 0
        for _, data, size in spans.pieces(self._reader, self.places[written], _REACH):
            at = data.find(anchor, 0, size)
            while at >= 0:
                if tries == _MOST_TRIES:
                    self._met("marks")
                    return None
                tries += 1
                start = max(data.rfind(b"\0", max(at - _REACH, 0), at) + 1, at - _REACH)
                match = pattern.search(data, max(start, 0), at + _REACH)
                if match is not None:
                    return match
                at = data.find(anchor, at + 1, size)
        return None

    def alone(self, pattern: str) -> list[bytes]:
        """The different texts from NUL to NUL that fit PATTERN as a whole; texts have a digit, a dot and a digit."""
        whole = re.compile(b"\\0?" + pattern.encode() + b"\\0?")
        found = {text.strip(b"\0") for text in texts.dotted(self._reader, self._areas) if whole.fullmatch(text)}
        return sorted(found)


def contents(reader: Reader, image: Image, met: Met = unheard) -> list[Content]:
    """The run-time systems of which the file has a mark, each with all its marks.

    met: is told of bounds. Raises MalformedElf and FileUnreadable.
    """
    facts = _Facts(reader, image, met)
    found = []
    for runtime in runtimes():
        outside = any(name.rpartition("/")[2].startswith(runtime.needed) for name in image.needed)
        told = [] if outside else [proof for mark in runtime.mark if (proof := _held(mark, facts)) is not None]
        if told:
            version = next((version for _, version in told if version), None)
            evidence = [proof for proof, _ in told]
            found.append(Content(name=runtime.name, ecosystem="generic", version=version, evidence=evidence))
    return found


def _held(mark: Mark, facts: _Facts) -> tuple[Evidence, str | None] | None:
    """What a mark proves in the file, with the version that it tells; None where it is not there."""
    if mark.comment is not None:
        expression = re.compile(mark.comment)
        fits = (match for comment in facts.comments if (match := expression.match(comment)) is not None)
        match = next(fits, None)
        return None if match is None else (_proof("comment", match.string), match.groupdict().get("version"))
    if mark.section is not None:
        return (_proof("comment", f"section {mark.section}"), None) if facts.has_section(mark.section) else None
    if mark.symbols:
        there = facts.defined.issuperset(name.encode() for name in mark.symbols)
        return (_proof("symbol", ", ".join(mark.symbols)), None) if there else None
    if mark.texts:
        return _by_texts(mark, facts)
    return _by_expression(mark, facts)


def _by_texts(mark: Mark, facts: _Facts) -> tuple[Evidence, str | None] | None:
    if not facts.present.issuperset(text.encode() for text in mark.texts):
        return None
    alone = facts.alone(mark.whole) if mark.whole else []
    return _proof("banner", " ".join(mark.texts[0].split())), alone[0].decode() if len(alone) == 1 else None


def _by_expression(mark: Mark, facts: _Facts) -> tuple[Evidence, str | None] | None:
    anchor = (mark.anchor or "").encode()
    match: re.Match[bytes] | None = None
    if mark.data is not None and (anchor, mark.written) in facts.anchored:
        match = facts.in_data(anchor, mark.written, re.compile(mark.data.encode()))
    elif mark.debug is not None:
        strings = facts.debug_strings()
        if b"\0" + anchor in strings:
            match = re.search(b"(?<=\\0)" + mark.debug.encode() + b"(?=\\0)", strings)
    if match is None:
        return None
    version = match.groupdict().get("version")
    return _proof("banner", match[0].decode("utf-8", "replace")), version.decode() if version else None


def _proof(kind: str, text: str) -> Evidence:
    shown = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
    return msgspec.convert({"kind": kind, "text": shown}, Evidence)


def _is_in(mark: Mark, written: bool) -> bool:
    return mark.data is not None and mark.written == written
