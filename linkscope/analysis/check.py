"""`linkscope check`: files, folders and packages against the rules of a policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import msgspec

from linkscope.analysis.division import divided
from linkscope.analysis.inspect import error_of
from linkscope.analysis.release import Member, answer, parts_of
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.subject import FileSubject
from linkscope.model.check import CheckDocument, Checked, summary_of
from linkscope.model.document import AnalysisError
from linkscope.policy.archive import Archive
from linkscope.policy.baseline import Accepted, Entry, Settling
from linkscope.policy.evaluate import Evaluation, applied, wants
from linkscope.policy.idle import Remark, Watch
from linkscope.policy.rule import Need
from linkscope.policy.terms import Policy


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """What is accepted of what is found, besides what the policy waives.

    baseline: `policy.baseline.read` gives one. folder: that to which paths in it and in fingerprints are relative.
    policy_folder: that of the policy's file, from which its paths may lead too.
    """

    baseline: Accepted = Accepted()
    folder: str = "."
    policy_folder: str = "."


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """idle: what of the policy has no effect (any more). gone: what the baseline accepts and is not there any more."""

    document: CheckDocument
    idle: list[Remark]
    gone: list[Entry]


_NOTHING_ASKED, _AS_IT_IS, _NOTHING_ACCEPTED = Policy(), Assumptions(), Acceptance()


def check(
    paths: Sequence[str],
    policy: Policy = _NOTHING_ASKED,
    assumptions: Assumptions = _AS_IT_IS,
    *,
    symbols: bool = False,
    unpack: bool = False,
    acceptance: Acceptance = _NOTHING_ACCEPTED,
) -> CheckDocument:
    """All findings about PATHS under POLICY in one document. Raises RootUnusable and BadAssumption.

    unpack: what is inside of a packed file is that of what was packed, for the rules that ask what is inside.
    """
    return outcome(paths, policy, assumptions, symbols=symbols, unpack=unpack, acceptance=acceptance).document


def outcome(
    paths: Sequence[str],
    policy: Policy = _NOTHING_ASKED,
    assumptions: Assumptions = _AS_IT_IS,
    *,
    symbols: bool = False,
    unpack: bool = False,
    acceptance: Acceptance = _NOTHING_ACCEPTED,
) -> Outcome:
    """The same document, with what is to be said of policy and baseline. Raises RootUnusable and BadAssumption."""
    needs = needs_of(policy, assumptions, symbols=symbols)
    results = list(check_each(paths, policy, assumptions, needs, unpack=unpack))
    return settled(results, paths, policy, assumptions, needs, acceptance)


def settled(
    results: Sequence[Checked | AnalysisError],
    paths: Sequence[str],
    policy: Policy,
    assumptions: Assumptions,
    needs: frozenset[Need],
    acceptance: Acceptance,
) -> Outcome:
    """RESULTS of one run over PATHS (`check_each` with the same arguments) with what is accepted of them."""
    settling = Settling(acceptance.baseline, acceptance.folder, assumptions.root)
    watch = Watch(policy, acceptance.policy_folder, assumptions.root)
    told: list[Checked | AnalysisError] = []
    for result in results:
        if isinstance(result, Checked):
            watch.see(result)
        told.append(settling.settled(result) if isinstance(result, Checked) else result)
    document = _document(told, policy, needs)
    rules = [rule.id for rule in document.rules]
    return Outcome(document=document, idle=[*watch.remarks(rules, paths)], gone=settling.gone(rules))


def _document(results: Sequence[Checked | AnalysisError], policy: Policy, needs: frozenset[Need]) -> CheckDocument:
    checked = [result for result in results if isinstance(result, Checked)]
    findings = [finding for result in checked for finding in result.findings]
    return CheckDocument(
        findings=findings,
        rules=[rule.text for rule in applied(policy) if rule.needs <= needs],
        summary=summary_of(findings, sum(not one.archive for one in checked)),
        errors=[result for result in results if isinstance(result, AnalysisError)],
    )


def needs_of(policy: Policy, assumptions: Assumptions, *, symbols: bool = False) -> frozenset[Need]:
    """What is worked out: symbols for a root or target, or where asked for; contents where POLICY speaks of them."""
    targeted = any(group.settings.get("target") for group in policy.groups)
    needs: set[Need] = set()
    if symbols or targeted or assumptions.root != "/" or wants(policy, "symbols"):
        needs.add("symbols")
    if wants(policy, "contents"):
        needs.add("contents")
    return frozenset(needs)


def check_each(
    paths: Sequence[str],
    policy: Policy,
    assumptions: Assumptions,
    needs: frozenset[Need],
    workers: int = 1,
    *,
    unpack: bool = False,
) -> Iterator[Checked | AnalysisError]:
    """One result a file, in the order of PATHS and below a folder in that of the names; a package's own come first.

    workers: processes among which many files are divided, for a caller without other threads. unpack: as for `check`.
    """
    depth = Depth(symbols="symbols" in needs, contents="contents" in needs, unpack=unpack)
    question = _Question(policy, needs, rooted=assumptions.root != "/")
    with ExitStack() as opened:
        for part in parts_of(paths, assumptions, depth, opened):
            yield from map(question.of_archive, part.archives)
            yield from divided(question, part.files, workers)


class _Question:
    """What is asked of each file."""

    kinds: tuple[type[Checked | AnalysisError], ...] = (Checked, AnalysisError)

    def __init__(self, policy: Policy, needs: frozenset[Need], *, rooted: bool) -> None:
        self._evaluation = Evaluation(policy, needs)
        self._rooted = rooted

    def answer(self, item: Member | AnalysisError) -> Checked | AnalysisError:
        """The findings about one file, or why there are none."""
        return answer(item, self._checked, rooted=self._rooted)

    def of_archive(self, archive: Archive) -> Checked:
        """The findings about a package itself."""
        findings = self._evaluation.findings(archive)
        return Checked(path=archive.path, path_bytes=archive.path_bytes, findings=findings, archive=True)

    def _checked(self, subject: FileSubject) -> Checked:
        file = subject.file
        return Checked(path=file.path, path_bytes=file.path_bytes, findings=self._evaluation.findings(subject))

    def share(self, item: Member | AnalysisError) -> int:
        """Equal for the names of one file."""
        return 0 if isinstance(item, AnalysisError) else item.run.share_of(item.where)

    def lost(self, item: Member | AnalysisError, reason: str) -> AnalysisError:
        """What is said of a file whose process ended."""
        return item if isinstance(item, AnalysisError) else error_of(item.where.shown, reason)
