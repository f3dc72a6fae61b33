"""The floor of a release: the symbol versions beyond what a policy or a target has, and the very symbols that force it.

Shared by the rules `glibc-floor` and `version-floor`, which part the families between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from linkscope.elf.versions import RELR_VERSION, version_number
from linkscope.model.check import LEVELS, Level
from linkscope.policy.rule import Fault
from linkscope.policy.subject import Carrier, Subject, Wanted
from linkscope.policy.targets.catalogue import left_behind
from linkscope.policy.verdicts import lacking_versions

_SHOWN = 20


class FloorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """floors: the highest version that may be asked for, by family (`{GLIBC = "2.28"}`). target: names of targets."""

    floors: dict[str, str] = {}
    target: tuple[str, ...] = ()


class _Bound(msgspec.Struct, frozen=True):
    """What one side has. told: in words. over: what is asked for beyond it. level: how grave that is."""

    told: str
    over: tuple[Wanted, ...]
    level: Level


def floor_faults(subject: Subject, settings: FloorSettings, counts: Callable[[str | None], bool]) -> Iterator[Fault]:
    """For each family that COUNTS one fault about its highest version, with all bounds that it exceeds.

    Of a version that is marked weak (VER_FLG_WEAK) glibc only warns: where no other is too high, this is a note.
    """
    bounds: dict[str, list[_Bound]] = {}
    for family, bound in (*_of_policy(subject, settings.floors), *_of_targets(subject, settings.target)):
        bounds.setdefault(family, []).append(bound)
    for family, exceeded in bounds.items():
        over = tuple(dict.fromkeys(wanted for bound in exceeded for wanted in bound.over))
        if counts(over[0].family):
            yield _fault(subject, family, exceeded, over)


def _of_policy(subject: Subject, floors: Mapping[str, str]) -> Iterator[tuple[str, _Bound]]:
    for family, text in floors.items():
        floor = version_number(f"{family}_{text}")
        over = [one for one in subject.wanted if one.family == family and floor is not None and one.number > floor[1]]
        if over:
            weak = all(one.weak for one in over)
            yield family, _Bound(f"the floor is {text}", tuple(over), "note" if weak else "error")


def _of_targets(subject: Subject, targets: tuple[str, ...]) -> Iterator[tuple[str, _Bound]]:
    """What the verdicts say of versions; a name that is no family's number stands for itself."""
    for name in targets:
        for lacking in lacking_versions(subject, name):
            yield lacking.family, _Bound(lacking.offer, lacking.versions, lacking.level)


def _fault(subject: Subject, family: str, exceeded: list[_Bound], over: tuple[Wanted, ...]) -> Fault:
    strong = [one for one in over if not one.weak]
    highest = highest_of(strong or over)
    told = " and ".join(dict.fromkeys(bound.told for bound in exceeded if highest in bound.over))
    level: Level = min((bound.level for bound in exceeded), key=LEVELS.index)
    evidence = forced_by(subject, over, highest)
    behind = left_behind(family, ".".join(map(str, highest.number))) if highest.number else []
    if behind:
        evidence.append(f"leaves behind {', '.join(target.name for target in behind)}, and all that is older")
    name = f"{highest.name} (as of 2.36)" if highest.name == RELR_VERSION else highest.name
    only = "" if strong else "; it is marked weak, so that glibc only warns"
    return Fault(highest.name, f"needs {name}, but {told}{only}", tuple(evidence), level=level)


def highest_of(wanted: Iterable[Wanted]) -> Wanted:
    """The highest version of one family, by a name that is written with its number where there is one."""
    return max(wanted, key=lambda one: (one.number, one.name != RELR_VERSION))


def forced_by(subject: Subject, over: tuple[Wanted, ...], highest: Wanted) -> list[str]:
    """The symbols that carry versions which are not there: of the highest version first, and weak references last."""
    carriers = subject.carriers(over)
    ordered = sorted(over, key=lambda one: (one.name != highest.name, one.weak, [-part for part in one.number]))
    lines = [line for one in ordered for line in _lines(one, carriers[one], one.name != highest.name)]
    lines = list(dict.fromkeys(lines))
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more symbols"]


def _lines(wanted: Wanted, carriers: tuple[Carrier, ...], with_version: bool) -> Iterator[str]:
    mark = "; the version is marked weak" if wanted.weak else ""
    if not carriers:
        why = "compact relocations (DT_RELR) ask for it" if wanted.name == RELR_VERSION else "no symbol carries it"
        yield f"{wanted.name} (from {wanted.asker}; {why}{mark})"
    for carrier in sorted(carriers, key=lambda one: one.weak):
        name = f"{carrier.symbol}@{wanted.name}" if with_version else carrier.symbol
        weak = "; a weak reference, whose version counts all the same" if carrier.weak and not wanted.weak else ""
        yield f"{name} (from {carrier.asker}{weak}{mark})"
