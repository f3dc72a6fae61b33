"""From a policy to the level and status of findings, on real files."""

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check, needs_of
from linkscope.analysis.request import Assumptions
from linkscope.model.check import Finding
from linkscope.policy.evaluate import applied, counted, fingerprint
from linkscope.policy.terms import Group, Policy, RuleLevel, Waiver

FixtureFile = Callable[[str], Path]
TODAY = dt.date(2026, 6, 1)


@pytest.fixture
def weak(fixture_file: FixtureFile) -> str:
    """A program that asks for an executable stack, a warning by itself."""
    return str(fixture_file("hardening/none"))


@pytest.fixture
def lacking(fixture_file: FixtureFile) -> str:
    """A program that lacks libleaf.so, an error by itself, and has a relative search path, a warning."""
    return str(fixture_file("chain/runpath-relative/app"))


def _group(*paths: str, **levels: RuleLevel) -> Group:
    return Group(paths=paths, levels={rule.replace("_", "-"): level for rule, level in levels.items()})


def _of(rule: str, path: str, *groups: Group, waivers: tuple[Waiver, ...] = (), symbols: bool = False) -> list[Finding]:
    policy = Policy(groups=groups, waivers=waivers, today=TODAY)
    return [finding for finding in check([path], policy, symbols=symbols).findings if finding.rule == rule]


def test_without_a_policy_the_rules_own_level_counts(weak: str, lacking: str) -> None:
    (stack,) = _of("executable-stack", weak)
    (library,) = _of("missing-library", lacking)
    assert (stack.level, counted(stack)) == ("warning", False)
    assert (library.level, counted(library)) == ("error", True)


@pytest.mark.parametrize("level", ["error", "warning", "note"])
def test_a_policy_sets_the_level_of_a_rule(weak: str, level: RuleLevel) -> None:
    (found,) = _of("executable-stack", weak, _group("**", executable_stack=level))
    assert found.level == level


def test_a_rule_that_is_off_says_nothing(weak: str) -> None:
    assert _of("executable-stack", weak, _group("**", executable_stack="off")) == []


def test_a_later_section_refines_an_earlier_one_for_its_paths_only(weak: str) -> None:
    general = _group("**", executable_stack="error")
    assert not _of("executable-stack", weak, general, _group("hardening/*", executable_stack="off"))
    assert _of("executable-stack", weak, general, _group("hello/*", executable_stack="off"))
    assert _of("executable-stack", weak, _group("hardening/*", executable_stack="off"), general)


def test_a_rule_off_everywhere_is_not_among_those_applied(weak: str) -> None:
    off = _group("**", executable_stack="off")
    assert "executable-stack" not in [rule.id for rule in applied(Policy(groups=(off,)))]
    back = _group("hardening/*", executable_stack="note")
    assert "executable-stack" in [rule.id for rule in applied(Policy(groups=(off, back)))]
    assert "executable-stack" not in [rule.id for rule in check([weak], Policy(groups=(off,))).rules]


def test_a_rule_that_waits_for_a_setting_is_silent_without_it(fixture_file: FixtureFile) -> None:
    path = str(fixture_file("hello/hello-dynamic-pie"))
    assert not _of("wrong-linkage", path, _group("**", wrong_linkage="error"))
    (found,) = _of("wrong-linkage", path, Group(paths=("**",), settings={"linkage": "static"}))
    assert found.level == "error"


def test_a_floor_of_one_family_leaves_those_of_the_others(fixture_file: FixtureFile) -> None:
    path = str(fixture_file("hello/hello-cpp"))
    low = Group(paths=("**",), settings={"floors": {"GLIBC": "2.0", "GLIBCXX": "3.0"}})
    refined = Group(paths=("hello-cpp",), settings={"floors": {"GLIBC": "9.0"}})
    assert _of("glibc-floor", path, low)
    assert not _of("glibc-floor", path, low, refined)
    assert _of("version-floor", path, low, refined)


def test_the_graver_come_first(lacking: str) -> None:
    order = ["error", "warning", "note"]
    levels = [order.index(finding.level) for finding in check([lacking]).findings]
    assert levels == sorted(levels)
    assert len(set(levels)) == 3


def test_a_fault_of_a_setuid_file_counts_more_but_is_no_error_unasked(lacking: str, tmp_path: Path) -> None:
    copy = tmp_path / "setuid"
    shutil.copy(lacking, copy)
    (plain,) = _of("relative-search-path", str(copy), _group("**", relative_search_path="note"))
    copy.chmod(0o4755)
    (unasked,) = _of("relative-search-path", str(copy))
    (lowered,) = _of("relative-search-path", str(copy), _group("**", relative_search_path="note"))
    (named,) = _of("relative-search-path", str(copy), _group("**", relative_search_path="warning"))
    assert [plain.level, unasked.level, lowered.level, named.level] == ["note", "warning", "warning", "error"]


def test_symbols_are_bound_where_they_are_asked_for(fixture_file: FixtureFile) -> None:
    path = str(fixture_file("symbols/lost-function"))
    assert not _of("unresolved-symbol", path)
    assert _of("unresolved-symbol", path, symbols=True)
    assert _of("unresolved-symbol", path, _group("**", unresolved_symbol="error"))
    assert needs_of(Policy(), Assumptions(root="/other")) == {"symbols"}
    assert needs_of(Policy(groups=(Group(paths=("x",), settings={"target": ("debian:11",)}),)), Assumptions())


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({}, True),
        ({"until": TODAY}, True),
        ({"until": TODAY - dt.timedelta(days=1)}, False),
        ({"subject": "libleaf.so"}, True),
        ({"subject": "libother.so"}, False),
        ({"path": "**/runpath-relative/*"}, True),
        ({"path": "other"}, False),
        ({"rule": "bad-candidate"}, False),
    ],
    ids=str,
)
def test_a_waiver_accepts_what_it_names_until_its_last_day(
    lacking: str, changes: dict[str, object], accepted: bool
) -> None:
    named: dict[str, object] = {"rule": "missing-library", "path": "app", "reason": "the host brings it", **changes}
    (found,) = _of("missing-library", lacking, waivers=(Waiver(**named),))  # type: ignore[arg-type]
    assert (found.status, counted(found)) == (("waived", False) if accepted else ("new", True))
    assert (found.waived is not None and found.waived.reason == "the host brings it") == accepted


def test_the_counts_tell_new_findings_by_level_and_the_others_by_status(lacking: str) -> None:
    waiver = Waiver(rule="missing-library", path="**", reason="so it is")
    plain, waived = check([lacking]).summary, check([lacking], Policy(waivers=(waiver,), today=TODAY)).summary
    assert (plain.errors - waived.errors, waived.waived, waived.files) == (1, 1, 1)


def test_a_fingerprint_is_of_rule_path_and_subject() -> None:
    marks = {fingerprint(*words) for words in [("r", "p", "s"), ("r", "p", ""), ("rp", "", "s"), ("r", "ps", "")]}
    assert len(marks) == 4
    assert fingerprint("r", "./p", "s") == fingerprint("r", "p", "s")
