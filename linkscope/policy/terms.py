"""What a policy is once it was read: groups of paths with their settings and levels, and what is accepted."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from typing import Literal

import msgspec

from linkscope.model.check import Level
from linkscope.policy.catalogue import settings_type
from linkscope.policy.globs import matches

RuleLevel = Literal["error", "warning", "note", "off"]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the files whose path matches one of `paths` (globs, see `globs`).

    settings: keys of the catalogue's settings with their values, only those that are given. levels: by rule.
    """

    paths: tuple[str, ...]
    settings: Mapping[str, object] = {}
    levels: Mapping[str, RuleLevel] = {}


class Waiver(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that is accepted: of one rule, at the paths that match, of one subject or of all (None).

    until: the last day on which it is accepted; None: for good. line: where it stands in the policy's file; 0: nowhere.
    """

    rule: str
    path: str
    reason: str
    subject: str | None = None
    until: dt.date | None = None
    line: int = 0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Groups in the order of the file, later ones refining earlier ones, and the waivers.

    today: the day against which `until` is held. baseline: fingerprints of findings that were there before.
    """

    groups: tuple[Group, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    today: dt.date = dt.date.min
    baseline: frozenset[str] = frozenset()

    def terms(self, path: str) -> Terms:
        """What holds for the file at PATH, as it is called in the answer."""
        chosen = tuple(i for i, group in enumerate(self.groups) if any(matches(path, glob) for glob in group.paths))
        return _terms(self.groups, chosen) if chosen else _no_terms()

    def __hash__(self) -> int:
        return id(self)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of one file: the settings of all rules, and the levels that differ from the rules' own."""

    settings: msgspec.Struct
    levels: Mapping[str, RuleLevel]

    def level(self, rule: str, default: Level) -> RuleLevel:
        """The level of a rule here."""
        return self.levels.get(rule, default)


def _terms(groups: tuple[Group, ...], chosen: tuple[int, ...]) -> Terms:
    settings: dict[str, object] = {}
    levels: dict[str, RuleLevel] = {}
    for number in chosen:
        for key, value in groups[number].settings.items():
            earlier = settings.get(key)
            # A table (the floors of several families) is refined row by row, anything else is replaced.
            settings[key] = earlier | value if isinstance(earlier, dict) and isinstance(value, dict) else value
        levels |= groups[number].levels
    return Terms(settings=settings_type()(**settings), levels=levels)


@functools.cache
def _no_terms() -> Terms:
    return Terms(settings=settings_type()(), levels={})
