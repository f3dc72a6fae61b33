"""From one file to its findings: the rules that apply, their levels under a policy, and what is accepted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from linkscope.model.check import LEVELS, Finding, Level, Waived
from linkscope.model.document import text
from linkscope.model.inspect import File
from linkscope.policy.archive import Archive
from linkscope.policy.catalogue import rules, settings_for, settings_type
from linkscope.policy.globs import matches
from linkscope.policy.rule import Fault, Need, Rule, Scope
from linkscope.policy.subject import Subject
from linkscope.policy.terms import Policy, RuleLevel, Terms, Waiver


def applied(policy: Policy) -> list[Rule]:
    """The rules that some group of POLICY lets have their say, by id."""
    off = [
        {name for name, level in group.levels.items() if level == "off"}
        for group in policy.groups
        if "**" in group.paths
    ]
    silenced = set[str]().union(*off) - {
        name for group in policy.groups for name, level in group.levels.items() if level != "off"
    }
    return [rule for rule in rules().values() if rule.id not in silenced]


def wants(policy: Policy, need: Need) -> bool:
    """Whether POLICY itself asks for what only rules with this NEED can say: by a setting, or by naming one's level."""
    wanting = [rule for rule in rules().values() if need in rule.needs]
    named = {name for group in policy.groups for name, level in group.levels.items() if level != "off"}
    given = {key for group in policy.groups for key in group.settings}
    return any(rule.id in named or given & set(rule.asked) for rule in wanting)


class _Step(msgspec.Struct, frozen=True):
    """One rule as it is applied to a file. level: as the policy has it; named: whether it is the policy's."""

    rule: Rule
    settings: msgspec.Struct
    level: RuleLevel
    named: bool


class Evaluation:
    """The rules of one run. needs: what was worked out for it; rules that want more are left out."""

    def __init__(self, policy: Policy, needs: frozenset[Need]) -> None:
        self._policy = policy
        self._needs = needs
        self._steps: dict[tuple[int, ...], tuple[Terms, list[_Step]]] = {}

    def findings(self, subject: Subject | Archive) -> list[Finding]:
        """All findings about one file or package, the graver first, else in the order of the rules."""
        named = subject if isinstance(subject, Archive) else subject.file
        terms, steps = self._for(named.path)
        scopes = _scopes(subject, terms)
        found = [
            _finding(named, step, fault, self._policy)
            for step in steps
            if step.rule.scope in scopes
            for fault in step.rule.check(subject, step.settings)
        ]
        return sorted(found, key=lambda finding: LEVELS.index(finding.level))

    def _for(self, path: str) -> tuple[Terms, list[_Step]]:
        groups = self._policy.groups_of(path)
        known = self._steps.get(groups)
        if known is None:
            terms = self._policy.terms(groups)
            known = self._steps[groups] = terms, list(self._applied(terms))
        return known

    def _applied(self, terms: Terms) -> Iterator[_Step]:
        nothing = settings_type()()
        for rule in rules().values():
            level = terms.level(rule.id, rule.level)
            asked = not rule.asked or any(getattr(terms.settings, k) != getattr(nothing, k) for k in rule.asked)
            if level != "off" and asked and rule.needs <= self._needs:
                yield _Step(rule, settings_for(rule, terms.settings), level, rule.id in terms.levels)


def _scopes(subject: Subject | Archive, terms: Terms) -> tuple[Scope, ...]:
    """The scopes of the rules that have to do with SUBJECT."""
    if isinstance(subject, Archive):
        return ("archive",)
    targeted = bool(getattr(terms.settings, "target", ())) and not subject.rooted
    return ("file",) if targeted else ("file", "started")


def _finding(named: File | Archive, step: _Step, fault: Fault, policy: Policy) -> Finding:
    rule = step.rule
    path = named.path
    waiver = next(_waivers(policy, rule.id, path, fault.subject), None)
    return Finding(
        rule=rule.id,
        level=_level(rule, fault, step.level, step.named),
        path=path,
        path_bytes=named.path_bytes,
        subject=text(fault.subject),
        status="waived" if waiver else "new",
        message=text(fault.message),
        evidence=[text(line) for line in fault.evidence],
        fingerprint=fingerprint(rule.id, path, fault.subject),
        waived=None if waiver is None else _waived(waiver),
    )


def _level(rule: Rule, fault: Fault, level: RuleLevel, named: bool) -> Level:
    """The level of one finding. A graver fault counts one more, but is no error where nobody asked for the rule."""
    base: Level = fault.level or rule.level if level == "off" or not named else level
    if fault.level and named:
        base = max(base, fault.level, key=LEVELS.index)
    if not fault.graver or base == "error":
        return base
    raised = LEVELS[LEVELS.index(base) - 1]
    return raised if named or raised != "error" else base


def _waivers(policy: Policy, rule: str, path: str, subject: str) -> Iterator[Waiver]:
    for waiver in policy.waivers:
        valid = waiver.until is None or policy.today <= waiver.until
        if valid and waiver.rule == rule and waiver.subject in (None, subject) and matches(path, waiver.path):
            yield waiver


def _waived(waiver: Waiver) -> Waived:
    return Waived(reason=waiver.reason, until=None if waiver.until is None else waiver.until.isoformat())


def fingerprint(rule: str, path: str, subject: str) -> str:
    """What stays the same of a finding from one build to the next: SHA-256 over rule, path and subject, in hex."""
    return hashlib.sha256("\0".join((rule, path.removeprefix("./"), subject)).encode("utf-8", "replace")).hexdigest()


def counted(finding: Finding) -> bool:
    """Whether a finding makes the exit code 1: a new error."""
    return finding.level == "error" and finding.status == "new"
