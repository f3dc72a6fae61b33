"""Where in a TOML document its keys stand, which tomllib does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping

Path = tuple[str | int, ...]
"""The way to a value: keys of tables and indexes of arrays, from the top."""

# Source of the grammar: TOML 1.0.0. An escape takes its next character with it; what closes a multi-line string may
# have up to two quotes of the text before it.
_STRING = r"""\"{3}(?:\\.|[^\\])*?\"{3}(?!\")|'{3}.*?'{3}(?!')|"(?:\\.|[^"\\])*"|'[^']*'"""
_KEY = re.compile(rf"[A-Za-z0-9_-]+|{_STRING}", re.DOTALL)
_SCALAR = re.compile(rf"{_STRING}|[^\s,\]}}#]+(?: \d\d:[^\s,\]}}#]+)?", re.DOTALL)
_BLANK = re.compile(r"[ \t]*")
_SPACE = re.compile(r"(?:\s|#[^\n]*)*")


def positions(text: str) -> Mapping[Path, int]:
    """The line (from 1) of every table, key and element of an array in TEXT, by its way from the top.

    TEXT is a document that tomllib has accepted. A table that is opened several times counts where it stands first.
    """
    return _Scanner(text).scanned()


def line_of(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of PATH, or of the nearest thing around it; None where not even that is written anywhere."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._found: dict[Path, int] = {}
        self._lengths: dict[Path, int] = {}  # how many tables an array of tables has so far

    def scanned(self) -> Mapping[Path, int]:
        table: Path = ()
        self._pass(_SPACE)
        while self._place < len(self._text):
            if self._text.startswith("[", self._place):
                table = self._header()
            else:
                self._pair(table)
            self._pass(_SPACE)
        return self._found

    def _pass(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._place)
        if match is None or (match.end() == self._place and pattern not in (_SPACE, _BLANK)):
            raise ValueError(f"not TOML at character {self._place}")  # which tomllib has accepted
        self._place = match.end()
        return match[0]

    def _takes(self, mark: str) -> bool:
        taken = self._text.startswith(mark, self._place)
        self._place += len(mark) if taken else 0
        return taken

    def _note(self, path: Path) -> None:
        self._found.setdefault(path, bisect_left(self._newlines, self._place) + 1)

    def _header(self) -> Path:
        start = self._place
        double = self._takes("[[")
        if not double:
            self._place += 1
        keys = self._keys()
        self._place += 2 if double else 1
        end, self._place = self._place, start
        path: Path = ()
        for i, key in enumerate(keys):
            path = (*path, key)
            self._note(path)
            if double and i == len(keys) - 1:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
                self._note(path)
        self._place = end
        return path

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._pass(_BLANK)
            keys.append(_plain(self._pass(_KEY)))
            self._pass(_BLANK)
            if not self._takes("."):
                return keys

    def _pair(self, table: Path) -> None:
        start = self._place
        keys = self._keys()
        end, self._place = self._place, start
        path = table
        for key in keys:
            path = (*path, key)
            self._note(path)
        self._place = end + 1  # the sign of equality
        self._pass(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._takes("["):
            self._elements(path)
        elif self._takes("{"):
            self._members(path)
        else:
            self._pass(_SCALAR)

    def _elements(self, path: Path) -> None:
        index = 0
        self._pass(_SPACE)
        while not self._takes("]"):
            self._note((*path, index))
            self._value((*path, index))
            index += 1
            self._pass(_SPACE)
            self._takes(",")
            self._pass(_SPACE)

    def _members(self, path: Path) -> None:
        self._pass(_SPACE)
        while not self._takes("}"):
            self._pair(path)
            self._pass(_SPACE)
            self._takes(",")
            self._pass(_SPACE)


def _plain(key: str) -> str:
    if key[0] not in "\"'":
        return key
    value: str = tomllib.loads(f"key = {key}")["key"]
    return value
