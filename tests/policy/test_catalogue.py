"""The rules as a whole: each is one file, says what it must say, and has a file that fails it and one that passes."""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from linkscope.model.check import Level
from linkscope.model.inspect import Problem, ProblemCode
from linkscope.policy import verdicts
from linkscope.policy.catalogue import rules, settings_for, settings_type
from linkscope.policy.evaluate import Evaluation
from linkscope.policy.rule import Rule
from linkscope.policy.targets.reason import Code, Reason, Verdict
from linkscope.policy.terms import Group, Policy
from tests.analysis.test_subject import subject_of
from tests.policy.cases import tables

FixtureFile = Callable[[str], Path]
RULES = list(rules().values())
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_is_named_as_its_file(rule: Rule) -> None:
    """One rule a file."""
    assert import_module(f"linkscope.policy.rules.{rule.id.replace('-', '_')}").RULE is rule
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", rule.id)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_says_what_is_wrong_why_and_how_to_mend_it(rule: Rule) -> None:
    """In whole sentences, the summary in one line."""
    assert rule.level in LEVELS
    for sentence in (rule.summary, rule.why, rule.remedy):
        assert re.match(r"[A-Z`]|glibc|musl", sentence), sentence
        assert sentence.endswith("."), sentence
        assert "\n" not in sentence
    assert len(rule.summary) <= 120


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_rule_has_a_file_that_fails_it_and_one_that_passes(rule: Rule) -> None:
    table = tables()[rule.id]
    assert table.fails
    assert table.passes


def test_there_is_no_table_without_a_rule() -> None:
    assert set(tables()) == set(rules())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_setting_of_a_rule_stands_for_nothing_asked(rule: Rule) -> None:
    """A rule's settings can be left out, and are the same key with the same type in every rule that obeys it."""
    settings_for(rule, settings_type()())
    types = {field.name: field.type for field in msgspec.structs.fields(settings_type())}
    for field in msgspec.structs.fields(rule.settings):
        assert field.type == types[field.name]
    assert set(rule.asked) <= {field.name for field in msgspec.structs.fields(rule.settings)}


# Codes of problems that no rule reads, and why.
NOT_READ = {
    "disagreement": "comes of --cross-check alone, which check does not make",
    "unresolved-symbol": "the rule reads `unresolved`, which has the version as well",
    "unsafe-search-path": "the rules on search paths go through the elements themselves",
}


@pytest.mark.parametrize("code", [code for code in get_args(ProblemCode) if code not in NOT_READ])
def test_every_kind_of_problem_is_told_by_exactly_one_rule(code: ProblemCode, fixture_file: FixtureFile) -> None:
    """Of a program without any fault, to whose document one problem is added."""
    subject = subject_of(fixture_file("hello/hello-dynamic-pie"))
    problem = Problem(code=code, fatal=True, subject="it", needed_by=None, message="so it is")
    subject.file = msgspec.structs.replace(subject.file, problems=[problem])
    told = {one.rule for one in Evaluation(Policy(), frozenset()).findings(subject) if problem.message in one.message}
    assert len(told) == 1


@pytest.mark.parametrize("code", get_args(Code))
def test_every_kind_of_reason_of_a_verdict_is_told_by_exactly_one_rule(
    code: Code, fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the level that its weight stands for."""
    subject = subject_of(fixture_file("hello/hello-dynamic-pie"))
    version = subject.wanted[0].name
    for weight, level in (("fatal", "error"), ("doubtful", "warning"), ("note", "note")):
        reason = Reason(code=code, weight=weight, subject=version, message="so it is")  # type: ignore[arg-type]
        told = Verdict(target="debian:12", starts=None, because=None, reasons=(reason,), notes=())
        monkeypatch.setattr(verdicts, "_verdict", lambda *_, told=told: told)
        policy = Policy(groups=(Group(paths=("**",), settings={"target": ("debian:12",)}),))
        found = [one for one in Evaluation(policy, frozenset()).findings(subject) if one.subject == version]
        assert [one.level for one in found] == [level], found
