"""The policy file, `linkscope.toml`: what is read from it, and everything that is wrong with it, at once."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec

from linkscope.errors import FileUnreadable, LinkScopeError
from linkscope.policy import globs
from linkscope.policy.catalogue import rules, settings_type
from linkscope.policy.positions import Path, line_of, positions
from linkscope.policy.terms import Group, Policy, RuleLevel, Waiver
from linkscope.policy.values import near, objections, shown

NAME = "linkscope.toml"
"""What a policy's file is called where nothing else is said."""

_LARGEST = 4 << 20  # bytes; a policy of some thousand waivers has half a megabyte
_LEVELS: tuple[str, ...] = get_args(RuleLevel)
_SECTIONS = ("files", "waivers")
_AT = re.compile(r" \(at line (\d+), column \d+\)$|\(at end of document\)$")
_WHOLE = ("**",)


class Mistake(msgspec.Struct, frozen=True):
    """One thing that is wrong with a policy's file. line: from 1; None where it is about the whole file."""

    line: int | None
    what: str


class PolicyInvalid(LinkScopeError):
    """The policy's file is none: all `mistakes`, in the order of the file."""

    def __init__(self, path: str, mistakes: list[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda mistake: mistake.line or 0)
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        super().__init__(path, self._told(self.mistakes[0]) + more)

    @property
    def lines(self) -> list[str]:
        """One line for each mistake, `file:line: what`."""
        return [
            f"{self.path}:{mistake.line}: {mistake.what}" if mistake.line else f"{self.path}: {mistake.what}"
            for mistake in self.mistakes
        ]

    @staticmethod
    def _told(mistake: Mistake) -> str:
        return f"line {mistake.line}: {mistake.what}" if mistake.line else mistake.what


def read(path: str, today: dt.date | None = None) -> Policy:
    """The policy in the file PATH. Raises FileUnreadable and PolicyInvalid.

    today: the day against which the ends of waivers are held; today's by UTC where it is not given.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise FileUnreadable.from_os_error(path, error) from error
    return parse(content, path, today)


def parse(content: bytes, path: str = NAME, today: dt.date | None = None) -> Policy:
    """The policy that CONTENT says; path: how the file is called where something is wrong. Raises PolicyInvalid."""
    if len(content) > _LARGEST:
        raise PolicyInvalid(path, [Mistake(None, f"is larger than {_LARGEST >> 20} MiB, as no policy is")])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyInvalid(path, [Mistake(line, "is not UTF-8 text")]) from error
    document, lines = _document(text, path)
    reading = _Reading(lines)
    groups, waivers = reading.sections(document)
    if reading.mistakes:
        raise PolicyInvalid(path, reading.mistakes)
    return Policy(groups=groups, waivers=waivers, today=today or dt.datetime.now(dt.UTC).date())


def _document(text: str, path: str) -> tuple[dict[str, Any], Mapping[Path, int]]:
    try:
        document = tomllib.loads(text)
        return document, positions(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT.search(str(error))
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        what = str(error)[: at.start()].rstrip() if at else str(error)
        raise PolicyInvalid(path, [Mistake(line, f"is not TOML: {what[:1].lower()}{what[1:]}")]) from error
    except RecursionError as error:
        raise PolicyInvalid(path, [Mistake(None, "is nested too deeply")]) from error
    except ValueError as error:  # a number of more than 4300 digits (sys.set_int_max_str_digits)
        raise PolicyInvalid(path, [Mistake(None, "has a number that is too long")]) from error


class _Reading:
    """One file on its way to a policy; what is wrong is gathered, and the rest is read on."""

    def __init__(self, lines: Mapping[Path, int]) -> None:
        self.mistakes: list[Mistake] = []
        self._lines = lines
        self._settings: dict[str, msgspec.structs.FieldInfo] = {
            field.name.replace("_", "-"): field for field in msgspec.structs.fields(settings_type())
        }

    def sections(self, document: dict[str, Any]) -> tuple[tuple[Group, ...], tuple[Waiver, ...]]:
        """The groups and waivers of the whole file."""
        for key in document:
            if key not in _SECTIONS:
                self._wrong((key,), self._misplaced(key))
        groups = [self._group(table, ("files", i)) for i, table in self._tables(document, "files")]
        waivers = [self._waiver(table, ("waivers", i)) for i, table in self._tables(document, "waivers")]
        return tuple(groups), tuple([waiver for waiver in waivers if waiver is not None])

    def _wrong(self, path: Path, what: str) -> None:
        self.mistakes.append(Mistake(line_of(path, self._lines), what))

    def _misplaced(self, key: str) -> str:
        """What is said of a KEY at the top of the file, where there are only sections."""
        if key in self._settings or key in ("paths", "rules"):
            return f"{shown(key)} belongs into a section [[files]]"
        if key in rules():
            return f"{shown(key)} is a rule, whose level belongs into [files.rules]"
        return f"there is no section {shown(key)}, only [[files]] and [[waivers]]{near(key, _SECTIONS)}"

    def _tables(self, document: dict[str, Any], section: str) -> list[tuple[int, dict[str, Any]]]:
        found = document.get(section, [])
        if isinstance(found, list) and all(isinstance(one, dict) for one in found):
            return list(enumerate(found))
        self._wrong((section,), f"a section is written with two brackets: [[{section}]]")
        return []

    def _group(self, table: dict[str, Any], place: Path) -> Group:
        settings: dict[str, object] = {}
        levels: dict[str, RuleLevel] = {}
        for key, value in table.items():
            if key == "rules":
                levels = self._levels(value, (*place, key))
            elif key in self._settings:
                field = self._settings[key]
                if self._fine(field.name, value, field.type, (*place, key)):
                    settings[field.name] = msgspec.convert(value, field.type)
            elif key != "paths":
                self._wrong((*place, key), self._unknown(key))
        globs_ = self._globs(table.get("paths", list(_WHOLE)), place)
        return Group(paths=globs_, settings=settings, levels=levels, line=line_of(place, self._lines) or 0)

    def _fine(self, name: str, value: object, wanted: object, place: Path) -> bool:
        wrong = list(objections(name, value, wanted))
        for path, what in wrong:
            self._wrong((*place, *path), f"{place[-1]}: {what}")
        return not wrong

    def _unknown(self, key: str) -> str:
        if key in rules():
            return f"{shown(key)} is a rule, whose level belongs into [files.rules]"
        known = ["paths", "rules", *self._settings]
        return _no_key("[[files]]", key, known if near(key, known) or not near(key, rules()) else list(rules()))

    def _globs(self, value: object, place: Path) -> tuple[str, ...]:
        where = (*place, "paths")
        if not self._fine("paths", value, tuple[str, ...], where):
            return _WHOLE
        found = msgspec.convert(value, tuple[str, ...])
        if not found:
            self._wrong(where, "paths: an empty list means no file; without the key all files are meant")
        for i, glob in enumerate(found):
            objection = _is_glob(glob)
            if objection is not None:
                self._wrong((*where, i), f"paths: {objection}")
        return found

    def _levels(self, value: object, place: Path) -> dict[str, RuleLevel]:
        if not isinstance(value, dict):
            self._wrong(place, f'rules: {shown(value)} is not a table of levels, as in [files.rules] RULE = "error"')
            return {}
        for name, level in value.items():
            where = (*place, name)
            if name in self._settings and name not in rules():
                self._wrong(where, f"{shown(name)} is not a rule but a setting, which belongs into [[files]] itself")
            elif name not in rules():
                self._wrong(where, f"there is no rule {shown(name)}{_or_list(near(name, rules()))}")
            elif level not in _LEVELS:
                self._wrong(
                    where,
                    f"{name}: {shown(level)} is no level; the levels are {', '.join(_LEVELS)}{near(level, _LEVELS)}",
                )
        return {name: level for name, level in value.items() if level in _LEVELS}

    def _waiver(self, table: dict[str, Any], place: Path) -> Waiver | None:
        before = len(self.mistakes)
        for key in table:
            if key not in _WAIVER:
                self._wrong((*place, key), _no_key("[[waivers]]", key, list(_WAIVER)))
        for key in ("rule", "path", "reason"):
            if key not in table:
                self._wrong(place, f"the waiver has no {key}")
        for key, check in _WAIVER.items():
            objection = check(table[key]) if key in table else None
            if objection is not None:
                self._wrong((*place, key), f"{key}: {objection}")
        if len(self.mistakes) > before:
            return None
        return Waiver(**{key: table[key] for key in _WAIVER if key in table}, line=line_of(place, self._lines) or 0)


def _no_key(section: str, key: str, known: list[str]) -> str:
    return f"{section} has no key {shown(key)}" + (near(key, known) or f"; it has {', '.join(known)}")


def _or_list(guess: str) -> str:
    return guess or "; `linkscope explain` lists them"


def _is_text(value: object) -> str | None:
    return None if isinstance(value, str) else f"{shown(value)} is not text in quotes"


def _is_rule(value: object) -> str | None:
    if isinstance(value, str) and value not in rules():
        return f"there is no rule {shown(value)}{_or_list(near(value, rules()))}"
    return _is_text(value)


def _is_glob(value: object) -> str | None:
    if not isinstance(value, str):
        return _is_text(value)
    objection = globs.objection(value)
    return None if objection is None else f"{shown(value)} can match no file: {objection}"


def _is_reason(value: object) -> str | None:
    if isinstance(value, str) and not value.strip():
        return "it is empty; say why the finding is accepted"
    return _is_text(value)


def _is_day(value: object) -> str | None:
    if type(value) is dt.date:
        return None
    if isinstance(value, dt.datetime):
        return f"{shown(value)} has a time; write the last day alone: {value.date().isoformat()}"
    if isinstance(value, str):
        try:
            return f"write the day without quotes: {dt.date.fromisoformat(value).isoformat()}"
        except ValueError:
            pass
    return f"{shown(value)} is no day, as 2026-12-31 is one"


_WAIVER: Mapping[str, Callable[[object], str | None]] = {
    "rule": _is_rule,
    "path": _is_glob,
    "subject": _is_text,
    "reason": _is_reason,
    "until": _is_day,
}
