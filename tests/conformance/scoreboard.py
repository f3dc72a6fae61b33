"""Every rule put to LinkScope and to the other tools, each answer measured by the real loader's."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from linkscope.cli import exit_codes
from tests.conformance.judge import Verdict, disagreement, verdict
from tests.conformance.peers import PEERS, Answer
from tests.conformance.rules.rule import Rule
from tests.loader.agreement import prediction
from tests.oracle import files
from tests.oracle.availability import Unavailable
from tests.oracle.forest import Planted

Mark = Literal["right", "WRONG", "-"]
Outcome = Literal["starts", "missing", "refuses", "-"]
US: Final = "LinkScope"
TOOLS: Final = (US, *(peer.name for peer in PEERS))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: what the loader does (in one word), and each tool's mark; `-`: it could not be asked."""

    subject: str
    sentence: str
    loader: Outcome
    marks: Mapping[str, Mark]


def rows(subjects: Mapping[str, Mapping[str, Rule]], progress: Callable[[str], None]) -> Iterator[Row]:
    """A row for each rule, in order."""
    for subject, rules in subjects.items():
        for sentence, rule in rules.items():
            progress(sentence)
            loader, marks = _asked(rule)
            yield Row(subject=subject, sentence=sentence, loader=loader, marks=marks)


def _asked(rule: Rule) -> tuple[Outcome, dict[str, Mark]]:
    """What the loader does, and the mark of each tool; none where the loader cannot be asked here."""
    try:
        return _marks(rule)
    except Unavailable:
        return "-", dict.fromkeys(TOOLS, "-")


def _marks(rule: Rule) -> tuple[Outcome, dict[str, Mark]]:
    with rule.forest.planted(*rule.loader_and_ldconfig()) as planted:
        said = verdict(rule, planted)
        marks: dict[str, Mark] = {US: _our_mark(rule, said, planted)}
        for peer in PEERS:
            answer = peer.of_forest(planted, rule.symbols)
            marks[peer.name] = "-" if answer is None else _mark(_is_right(rule, said, answer, planted))
    return "starts" if said.starts else "missing" if said.missing else "refuses", marks


def _mark(right: bool) -> Mark:
    return "right" if right else "WRONG"


def _our_mark(rule: Rule, said: Verdict, planted: Planted) -> Mark:
    """LinkScope's own: the very paths, in the loader's order; the exit code too, where the rule is about that."""
    file = prediction(planted, rule.depth)
    if rule.by_exit_code and (exit_codes.of_result(file) == exit_codes.FINE) is not said.starts:
        return "WRONG"
    return _mark(disagreement(rule, said, file, planted) is None)


def _is_right(rule: Rule, said: Verdict, answer: Answer, planted: Planted) -> bool:
    """Whether another tool names the files that the loader maps, in whatever order, or says that it does not start.

    The loader itself does not count: some tools name it among the libraries, some above them, some not at all.
    """
    if answer.exit_code is None:
        return False
    if rule.by_exit_code:
        return (answer.exit_code == 0) is said.starts
    if said.missing:
        return answer.missing == said.missing
    if not said.starts:
        return bool(answer.exit_code or answer.missing or answer.complains)
    mapped = [entry.path for entry in said.entries or () if entry.path is not None]
    return not answer.missing and same_files(mapped, answer.files, rule.forest.program_recipe.interp, planted)


def same_files(mapped: Sequence[str], named: frozenset[str], loader: str | None, planted: Planted) -> bool:
    """Whether two sets of paths lead to the same files, the loader left out."""
    itself = {_real(loader, planted)} if loader else set()
    return {_real(path, planted) for path in mapped} - itself == {_real(path, planted) for path in named} - itself


def _real(path: str, planted: Planted) -> str:
    """The file of this machine that a path leads to, as the program sees it; lddtree's has the root in front."""
    if planted.root is not None and path.startswith(f"{planted.root}/"):
        path = path[len(planted.root) :]
    try:
        return files.below(planted.root, os.path.join(planted.cwd, path))
    except OSError:
        return path
