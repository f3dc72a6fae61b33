"""The rules as a whole: each is one file, says what it must say, and has a file that fails it and one that passes."""

import re
from importlib import import_module

import msgspec
import pytest

from linkscope.model.check import Level
from linkscope.policy.catalogue import rules, settings_for, settings_type
from linkscope.policy.rule import Rule
from tests.policy.cases import tables

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
