"""`linkscope targets`: the systems that are known, and the oldest of each distribution on which a file starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

import msgspec

from linkscope.analysis.release import answer, members_of
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.subject import FileSubject
from linkscope.elf.versions import version_number
from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.targets import TargetFile, TargetReason, TargetRow, TargetsDocument, TargetVerdict
from linkscope.policy.targets.catalogue import target as called
from linkscope.policy.targets.catalogue import targets as catalogue
from linkscope.policy.targets.offer import Target
from linkscope.policy.targets.reason import Reason, Verdict
from linkscope.policy.targets.requirements import Requirements, requirements
from linkscope.policy.targets.verdict import verdict

_AS_IT_IS = Assumptions()
_BOUND = Depth(symbols=True)  # what a release lacks itself shows only then
_CARRIERS = 12  # symbols that are named for one version

_Evidence = dict[tuple[str, str], list[str]]


class _Part(msgspec.Struct, frozen=True):
    """One file of what was named. name: its own; brought: the names of the libraries that come along with it.

    evidence: by provider and version, the symbols that carry it.
    """

    name: str
    soname: str | None
    wanted: Requirements
    brought: frozenset[str]
    evidence: _Evidence


def targets(
    paths: Sequence[str] = (), names: Sequence[str] = (), assumptions: Assumptions = _AS_IT_IS
) -> TargetsDocument:
    """The targets called NAMES (all without any), and for each of PATHS on which of them it starts.

    Raises UnknownTarget, RootUnusable and BadAssumption.
    """
    chosen = [called(name) for name in names] if names else catalogue()
    files: list[TargetFile] = []
    errors: list[AnalysisError] = []
    for path in paths:
        with ExitStack() as opened:
            examined = [answer(member, _part) for member in members_of((path,), assumptions, _BOUND, opened)]
            errors += [one for one in examined if isinstance(one, AnalysisError)]
            parts = [one for one in examined if not isinstance(one, AnalysisError)]
        if parts:
            files.append(_file(path, parts, chosen))
    return TargetsDocument(targets=[row(one) for one in chosen], files=files, errors=errors)


def row(target: Target) -> TargetRow:
    """A target as it stands in the document."""
    return TargetRow(
        name=target.name,
        libc=target.libc,
        version=target.version,
        source=target.evidence.source,
        confidence=target.confidence,
        distribution=target.distribution,
        release=target.release,
        names=list(target.names),
        kind=target.kind,
        loader={machine.name: machine.interpreter for machine in target.machines},
        highest=_highest(target),
    )


def _highest(target: Target) -> dict[str, str]:
    """Over all architectures; `FAMILY_N` names alone have a number."""
    names = [name for known in target.libraries.values() for library in known.values() for name in library.versions]
    for families in target.wheels.versions.values() if target.wheels else ():
        names += [f"{family}_{number}" for family, numbers in families.items() for number in numbers]
    found: dict[str, tuple[int, ...]] = {}
    for known in map(version_number, dict.fromkeys(names)):
        if known is not None:
            found[known[0]] = max(found.get(known[0], ()), known[1])
    return {family: ".".join(map(str, number)) for family, number in sorted(found.items())}


def _part(subject: FileSubject) -> _Part:
    """What one file asks for, and the symbols that carry the versions it asks for."""
    wanted = requirements(subject, subject.undefined)
    evidence: _Evidence = {}
    for version, carriers in subject.carriers(wanted.versions).items():
        told = evidence.setdefault((version.provider, version.name), [])
        told += [f"{carrier.symbol} (from {carrier.asker})" for carrier in carriers]
    return _Part(os.path.basename(subject.file.path), subject.image.soname, wanted, subject.brought, evidence)


def _started(parts: Sequence[_Part]) -> Sequence[_Part]:
    """Those that no other brings along: a library that another file loads is judged as a part of that one.

    It may well find its own needs only because that one has loaded them. (auditwheel's get_wheel_elfdata does alike.)
    """
    loaded = [one.brought - {one.name, one.soname} for one in parts]
    brought = frozenset[str]().union(*loaded)
    return [one for one in parts if one.name not in brought and one.soname not in brought] or parts


def _file(path: str, parts: Sequence[_Part], chosen: Iterable[Target]) -> TargetFile:
    started = _started(parts)
    verdicts = [_together(target, started) for target in chosen]
    oldest: dict[str, str | None] = {}
    for target, said in zip(chosen, verdicts, strict=True):
        if said.starts and oldest.get(target.distribution) is None:
            oldest[target.distribution] = target.release
        oldest.setdefault(target.distribution, None)
    return TargetFile(path=text(path), path_bytes=exact_bytes(path), oldest=oldest, verdicts=verdicts, files=len(parts))


def _together(target: Target, parts: Sequence[_Part]) -> TargetVerdict:
    """The verdict over all files of a release: it starts where each of them does."""
    said = [(verdict(target, part.wanted), part.evidence) for part in parts]
    reasons = list(_reasons(said))
    fatal = [reason for reason in reasons if reason.weight == "fatal"]
    doubtful = [reason for reason in reasons if reason.weight == "doubtful"]
    decides = [*fatal, *doubtful]
    return TargetVerdict(
        target=target.name,
        starts=False if fatal else None if doubtful else True,
        because=decides[0].subject if decides else None,
        reasons=[*decides, *(reason for reason in reasons if reason.weight == "note")],
    )


def _reasons(said: Iterable[tuple[Verdict, _Evidence]]) -> Iterator[TargetReason]:
    merged: dict[tuple[str, str, str], tuple[Reason, list[str]]] = {}
    for one, evidence in said:
        for reason in (*one.reasons, *one.notes):
            _, told = merged.setdefault((reason.code, reason.subject, reason.weight), (reason, []))
            told += _told(reason, evidence)
    for reason, told in merged.values():
        yield TargetReason(
            code=reason.code,
            weight=reason.weight,
            subject=text(reason.subject),
            message=text(reason.message),
            evidence=[text(line) for line in dict.fromkeys(told)][:_CARRIERS],
            package=reason.package,
        )


def _told(reason: Reason, evidence: _Evidence) -> list[str]:
    """The symbols that carry a version; else the objects that ask."""
    symbols = [line for (_, name), lines in evidence.items() if name == reason.subject for line in lines]
    if reason.code == "version" and symbols:
        return symbols
    return [f"asked for by {asker}" for asker in reason.askers]
