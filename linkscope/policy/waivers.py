"""Waivers that accept nothing (any more), so that they do not stay in the policy's file unnoticed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkscope.model.check import Checked
from linkscope.policy.baseline import exists
from linkscope.policy.globs import matches, sole_path
from linkscope.policy.terms import Policy, Waiver


class Watch:
    """Looks at what was found, and tells afterwards which waivers had nothing to do with it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._idle = list(policy.waivers)  # nothing was found that they accept
        self._unseen = list(policy.waivers)  # no file was checked that they are about

    def see(self, checked: Checked) -> None:
        """Takes note of one file that was checked."""
        self._unseen = [waiver for waiver in self._unseen if not matches(checked.path, waiver.path)]
        for finding in checked.findings:
            self._idle = [
                waiver
                for waiver in self._idle
                if waiver.rule != finding.rule
                or waiver.subject not in (None, finding.subject)
                or not matches(finding.path, waiver.path)
            ]

    def remarks(self, rules: Iterable[str]) -> Iterator[tuple[Waiver, str]]:
        """Waivers that have ended, and those that accept nothing although their files were checked by one of RULES."""
        applied = set(rules)
        for waiver in self._policy.waivers:
            name = f"the waiver of {waiver.rule} for {waiver.path}"
            if waiver.until is not None and waiver.until < self._policy.today:
                yield waiver, f"{name} ended on {waiver.until.isoformat()}"
            elif waiver in self._idle and waiver.rule in applied:
                if waiver not in self._unseen:
                    yield waiver, f"{name} accepts nothing that was found: it can go"
                elif self._is_gone(waiver):
                    yield waiver, f"{name} is about a file that does not exist"

    @staticmethod
    def _is_gone(waiver: Waiver) -> bool:
        """Whether a path with a folder names no file; where the others are is not known, and not asked."""
        path = sole_path(waiver.path)
        return path is not None and "/" in path and not exists(path)
