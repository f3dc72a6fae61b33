"""The page about the rules is what the rules say of themselves."""

import re
import subprocess

import pytest

from linkscope.policy.catalogue import rules
from linkscope.policy.config import parse
from linkscope.policy.pages import page_of
from linkscope.report import explain
from tests.cli.conftest import COMMAND, REPOSITORY, environment

PAGE = REPOSITORY / "docs/rules.md"


def test_the_page_is_the_one_that_is_made_of_the_rules() -> None:
    """`make docs` makes it anew."""
    command = [*COMMAND, "explain", "--format", "markdown"]
    made = subprocess.run(command, env=environment(PYTHONUTF8="1"), capture_output=True, check=True).stdout
    assert PAGE.read_text() == made.decode()


def test_every_rule_has_a_row_a_section_and_nothing_that_markdown_would_swallow() -> None:
    text = "".join(explain.markdown([page_of(rule) for rule in rules().values()]))
    for rule in rules().values():
        assert f"[`{rule.id}`](#{rule.id})" in text
        assert f"\n## {rule.id}\n" in text
    prose = re.sub(r"`[^`]*`|<!--.*?-->", "", text)
    assert not re.findall(r"<[a-z/]|\$[A-Z]+_|(?<![\\*])\*(?!\*)\w", prose)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


@pytest.mark.parametrize("rule", rules())
def test_every_setting_of_a_rule_is_explained(rule: str) -> None:
    """Under the key that a policy has for it; what it may be is said in words."""
    for setting in page_of(rules()[rule]).settings:
        assert setting.meaning, setting.key
        assert setting.value, setting.key
        assert "(" not in setting.meaning or ")" in setting.meaning
        assert parse(f'[[files]]\n"{setting.key}" = {_example(setting.value)}\n'.encode()).groups[0].settings


def _example(value: str) -> str:
    """A value of a setting as the page words it."""
    plain = {
        "true or false": "false",
        "text in quotes": '"1.0"',
        "a whole number": "1",
        "a list ([...])": '["debian:11"]',
    }
    if value.startswith("a table"):
        return '{ GLIBC = "2.28" }'
    return plain.get(value) or value.partition('", ')[0].partition('" or')[0].rstrip('"') + '"'
