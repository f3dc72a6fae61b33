"""What a policy is once it was read: groups of paths with their settings and levels, and what is accepted."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from typing import Literal

import msgspec

from linkscope.model.check import Level
from linkscope.policy.catalogue import settings_type
from linkscope.policy.globs import Sieve

RuleLevel = Literal["error", "warning", "note", "off"]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the files whose path matches one of `paths` (globs, see `globs`).

    settings: keys of the catalogue's settings with their values, only those that are given. levels: by rule.
    line: where it stands in the policy's file; 0: nowhere.
    """

    paths: tuple[str, ...]
    settings: Mapping[str, object] = {}
    levels: Mapping[str, RuleLevel] = {}
    line: int = 0


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

    today: the day against which `until` is held.
    """

    groups: tuple[Group, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    today: dt.date = dt.date.min

    def groups_of(self, path: str) -> tuple[int, ...]:
        """The places of the groups that the file at PATH, as it is called in the answer, is in."""
        return _sieve(tuple([group.paths for group in self.groups])).hits(path)

    def terms(self, groups: tuple[int, ...]) -> Terms:
        """What holds for a file that is in these GROUPS."""
        return _terms([self.groups[number] for number in groups])


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of one file: the settings of all rules, and the levels that differ from the rules' own."""

    settings: msgspec.Struct
    levels: Mapping[str, RuleLevel]

    def level(self, rule: str, default: Level) -> RuleLevel:
        """The level of a rule here."""
        return self.levels.get(rule, default)


@functools.lru_cache(maxsize=8)
def _sieve(paths: tuple[tuple[str, ...], ...]) -> Sieve:
    return Sieve(paths)


def _terms(groups: list[Group]) -> Terms:
    settings: dict[str, object] = {}
    levels: dict[str, RuleLevel] = {}
    for group in groups:
        for key, value in group.settings.items():
            earlier = settings.get(key)
            # A table (the floors of several families) is refined row by row, anything else is replaced.
            settings[key] = earlier | value if isinstance(earlier, dict) and isinstance(value, dict) else value
        levels |= group.levels
    return Terms(settings=settings_type()(**settings), levels=levels)
