"""What of a policy has no effect (any more): so that a slip in a path is seen, and nothing old stays unnoticed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from linkscope.model.check import Checked
from linkscope.model.document import WITHIN
from linkscope.policy.baseline import exists
from linkscope.policy.globs import Sieve, folder_of, sole_path
from linkscope.policy.terms import Policy, Waiver

Remark = tuple[int, str]
"""A line of the policy's file, and what is said of it."""


class Watch:
    """Looks at what was found, and tells afterwards which sections and waivers had nothing to do with it.

    folder: that of the policy's file. root: where the files lie, whose paths are as seen from inside it.
    """

    def __init__(self, policy: Policy, folder: str = ".", root: str = "/") -> None:
        self._policy = policy
        self._folder = folder
        self._root = root
        self._met: set[int] = set()  # the groups that some file was in
        self._about = Sieve([(waiver.path,) for waiver in policy.waivers])
        self._seen: set[int] = set()  # the waivers about whose files some was checked
        self._used: set[int] = set()  # those that accept something that was found

    def see(self, checked: Checked) -> None:
        """Takes note of one file that was checked."""
        self._met.update(self._policy.groups_of(checked.path))
        about = self._about.hits(checked.path)
        self._seen.update(about)
        found = {(finding.rule, finding.subject) for finding in checked.findings}
        rules = {finding.rule for finding in checked.findings}
        for number in about:
            waiver = self._policy.waivers[number]
            if waiver.rule in rules if waiver.subject is None else (waiver.rule, waiver.subject) in found:
                self._used.add(number)

    def remarks(self, rules: Iterable[str], paths: Iterable[str] = ()) -> Iterator[Remark]:
        """Sections that are about no file, waivers that have ended, and those that accept nothing, as far as is known.

        What this run could not know is not said: of waivers whose files or RULES it left out, and of files that may
        well be elsewhere. paths: those that were checked, with all that lies in them.
        """
        checked = tuple(paths)
        for number, group in enumerate(self._policy.groups):
            if number not in self._met and all(self._is_nowhere(glob, checked) for glob in group.paths):
                yield group.line, f"no file that was checked is called {' or '.join(group.paths)}"
        applied = set(rules)
        for number, waiver in enumerate(self._policy.waivers):
            said = self._of(number, waiver, applied, checked)
            if said is not None:
                yield waiver.line, f"the waiver of {waiver.rule} for {waiver.path} {said}"

    def _of(self, number: int, waiver: Waiver, rules: set[str], checked: tuple[str, ...]) -> str | None:
        if waiver.until is not None and waiver.until < self._policy.today:
            return f"ended on {waiver.until.isoformat()}"
        if number in self._used or waiver.rule not in rules:
            return None
        if number in self._seen:
            return "accepts nothing that was found: it can go"
        path = sole_path(waiver.path)
        if path and "/" in path and not self._is_there(path):
            return "is about a file that does not exist"
        return "is about no file that was checked" if self._is_nowhere(waiver.path, checked) else None

    def _is_nowhere(self, glob: str, checked: tuple[str, ...]) -> bool:
        """Whether no file is called so, as none of those CHECKED is: its folder is not there, or all in it was seen.

        A name without a folder may be anywhere. It is said to be nowhere once a whole folder was seen.
        """
        folder = folder_of(glob)
        if not folder:
            return any(map(os.path.isdir, checked))
        return not self._is_there(folder) or any(self._lies_in(folder, path) for path in checked)

    def _lies_in(self, folder: str, path: str) -> bool:
        """Whether FOLDER of the policy is PATH, which was checked, or below it, also where that is a package."""
        try:
            around = os.path.abspath(path).rstrip("/")
            places = [os.path.abspath(one) for one in (folder, os.path.join(self._folder, folder))]
        except FileNotFoundError:  # the working directory was removed
            return False
        return any(f"{place}/".startswith((f"{around}/", f"{around}{WITHIN}")) for place in places)

    def _is_there(self, path: str) -> bool:
        """Whether a path of the policy leads anywhere: from its folder, from the working directory, in the root."""
        if os.path.isabs(path):
            return exists(os.path.join(self._root, path.lstrip("/")))
        return not path or exists(path) or exists(os.path.join(self._folder, path))
