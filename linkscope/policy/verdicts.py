"""What stands between a file and the targets of its policy: each reason of a verdict is told by one rule."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import msgspec

from linkscope.elf.versions import version_number
from linkscope.model.check import LEVELS, Level
from linkscope.policy.rule import Fault
from linkscope.policy.subject import Subject, Wanted
from linkscope.policy.targets.catalogue import highest, target
from linkscope.policy.targets.offer import Target
from linkscope.policy.targets.reason import Code, Reason, Verdict, Weight
from linkscope.policy.targets.requirements import requirements
from linkscope.policy.targets.verdict import verdict

_LEVELS: dict[Weight, Level] = {"fatal": "error", "doubtful": "warning", "note": "note"}


class TargetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """target: the systems on which the file has to start, by their names (`debian:11`, `manylinux_2_17`)."""

    target: tuple[str, ...] = ()


def only_everywhere(subject: Subject, settings: TargetSettings) -> bool:
    """Whether a rule about starts has to leave out what may be otherwise on the targets: there is no root."""
    return bool(settings.target) and not subject.rooted


def of_verdict(*codes: Code) -> Callable[[Subject, TargetSettings], Iterator[Fault]]:
    """The check of a rule about reasons of these CODES: one fault for each thing, with all targets that lack it."""

    def check(subject: Subject, settings: TargetSettings) -> Iterator[Fault]:
        found: dict[str, list[tuple[str, Reason]]] = {}
        for name in settings.target:
            for reason in _reasons(subject, name):
                # That a static program opens libraries all the same is told by `loads-at-run-time`.
                other_rules = reason.everywhere or (subject.file.linkage == "static" and reason.weight == "note")
                if reason.code in codes and not other_rules:
                    found.setdefault(reason.subject, []).append((name, reason))
        for thing, reasons in found.items():
            yield _fault(thing, reasons)

    return check


def _fault(thing: str, reasons: list[tuple[str, Reason]]) -> Fault:
    """The gravest reason speaks; the others are evidence where they say something else."""
    gravest = min((reason for _, reason in reasons), key=lambda reason: list(_LEVELS).index(reason.weight))
    messages = dict.fromkeys(reason.message for _, reason in reasons)
    others = [message for message in messages if message != gravest.message]
    askers = dict.fromkeys(f"asked for by {asker}" for _, reason in reasons for asker in reason.askers)
    return Fault(thing, gravest.message, (*askers, *others), level=_LEVELS[gravest.weight])


class Lacking(msgspec.Struct, frozen=True):
    """Versions of one family that a target does not have.

    family: of a version that is no FAMILY_N its whole name. offer: what the target has instead, in words.
    """

    family: str
    offer: str
    versions: tuple[Wanted, ...]
    level: Level


def lacking_versions(subject: Subject, name: str) -> Iterator[Lacking]:
    """What the target NAME lacks of the symbol versions that are asked for, family by family."""
    one = target(name)
    levels: dict[str, Level] = {
        reason.subject: _LEVELS[reason.weight] for reason in _reasons(subject, name) if reason.code == "version"
    }
    if not levels:
        return
    families: dict[str, list[Wanted]] = {}
    for wanted in (*subject.wanted, *requirements(subject).within):
        if wanted.name in levels:
            families.setdefault(wanted.family or wanted.name, []).append(wanted)
    for family, versions in families.items():
        gravest = min((levels[wanted.name] for wanted in versions), key=LEVELS.index)
        told = f"{one.name} {_offer(one, family, versions, subject)}"
        if all(wanted.provider in subject.brought for wanted in versions):
            told = f"{versions[0].provider}, which is brought along, does not define it"
        yield Lacking(family, told, tuple(dict.fromkeys(versions)), gravest)


def _offer(one: Target, family: str, lacking: list[Wanted], subject: Subject) -> str:
    if one.wheels is None:
        offered = highest(one, family)
        top = max(lacking, key=lambda wanted: wanted.number)
        if offered and offered >= top.number:
            return f"has it not in {top.provider}"
        return f"offers {'.'.join(map(str, offered))}" if offered else f"has no {family}"
    elf = subject.file.elf
    machine = one.machine(elf.machine, elf.class_, elf.endian)
    allowed = one.wheels.versions.get(machine.name, {}) if machine else {}
    known = [version for number in allowed.get(family, ()) if (version := version_number(f"{family}_{number}"))]
    best = max((version[1] for version in known), default=())
    return f"allows {'.'.join(map(str, best))}" if best else f"does not allow {family}"


def _reasons(subject: Subject, name: str) -> tuple[Reason, ...]:
    said = _verdict(subject, name)
    return (*said.reasons, *said.notes)


@functools.lru_cache(maxsize=64)  # every rule about targets asks for it; rules go through one file after another
def _verdict(subject: Subject, name: str) -> Verdict:
    one = target(name)
    symbols = subject.undefined if one.libc == "musl" or one.wheels is not None else None
    return verdict(one, requirements(subject, symbols))
