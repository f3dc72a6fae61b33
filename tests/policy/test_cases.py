"""Every row of the rules' tables: what a rule objects to, and what it has nothing to say of."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.request import Assumptions
from linkscope.model.check import CheckDocument, Finding
from linkscope.policy.catalogue import rules
from linkscope.policy.terms import Group, Policy
from tests.oracle import roots
from tests.oracle.availability import Unavailable
from tests.policy.cases import Case, Verdict, every_case
from tests.policy.preparations import PREPARATIONS

CASES = every_case()
IDS = [
    f"{rule}-{verdict}-{case.file.replace('/', '-')}{'-as-' + case.prepared if case.prepared else ''}"
    for rule, verdict, case in CASES
]


@pytest.mark.parametrize(("rule", "verdict", "case"), CASES, ids=IDS)
def test_rule_says_of_a_file_what_its_table_says(
    rule: str, verdict: Verdict, case: Case, fixture_file: Callable[[str], Path], tmp_path: Path
) -> None:
    path, root = _place(case, fixture_file, tmp_path)
    document = _checked(case, path, root)
    assert not document.errors
    found = [finding for finding in document.findings if finding.rule == rule]
    if verdict == "passes":
        assert not found
        return
    assert found
    _holds(case, found, case.level or rules()[rule].level)


def _holds(case: Case, found: list[Finding], level: str) -> None:
    assert {finding.level for finding in found} == {level}
    if case.subjects is not None:
        assert [finding.subject for finding in found] == case.subjects
    told = "\n".join(line for finding in found for line in (finding.message, *finding.evidence))
    for text in case.says:
        assert text in told


def _place(case: Case, fixture_file: Callable[[str], Path], tmp_path: Path) -> tuple[Path, Path]:
    """The file to check, and the root in which it is checked."""
    path = Path(case.file) if case.file.startswith("/") else fixture_file(case.file)
    if case.root is not None:
        return path, roots.root(case.root)
    if not path.exists():
        raise Unavailable(f"{path} is not here")
    if case.prepared is None:
        return path, Path("/")
    for sibling in path.parent.iterdir():
        (tmp_path / sibling.name).symlink_to(sibling)
    copy = tmp_path / path.name
    copy.unlink()
    shutil.copy(path, copy)
    return copy, PREPARATIONS[case.prepared](copy) or Path("/")


def _checked(case: Case, path: Path, root: Path) -> CheckDocument:
    group = Group(paths=("**",), settings=case.settings, levels=case.levels)
    return check([str(path)], Policy(groups=(group,)), Assumptions(root=str(root), **case.assume), symbols=case.symbols)
