"""`linkscope explain`: one rule, or all of them."""

import json

import jsonschema
import pytest

from linkscope.policy.catalogue import rules
from tests.cli.conftest import Linkscope


def test_without_a_rule_all_are_listed_with_level_and_summary(linkscope: Linkscope) -> None:
    ran = linkscope("explain")
    assert (ran.returncode, ran.stderr) == (0, b"")
    text = ran.stdout.decode()
    words = " ".join(text.split())
    for rule in rules().values():
        assert f"\n{rule.id} " in f"\n{text}"
        assert rule.summary.split(" ", 1)[0] in words
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("columns", [30, 60, 80, 200])
def test_a_rule_is_told_whole_at_any_width(linkscope: Linkscope, columns: int) -> None:
    rule = rules()["wrong-linkage"]
    text = linkscope("explain", rule.id, env={"COLUMNS": str(columns)}).stdout.decode()
    words = " ".join(text.split())
    for part in (rule.summary, rule.why, rule.remedy, 'linkage = "static"'):
        assert " ".join(part.split()) in words
    assert max(map(len, text.splitlines())) <= max(columns, 48) if columns < 80 else 80


def test_json_is_the_published_document(linkscope: Linkscope) -> None:
    schema = json.loads(linkscope("schema", "explain").stdout)
    document = json.loads(linkscope("explain", "--format", "json").stdout)
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [rule["id"] for rule in document["rules"]] == list(rules())
    (alone,) = json.loads(linkscope("explain", "packed", "--format", "json").stdout)["rules"]
    assert alone in document["rules"]


def test_markdown_of_one_rule_is_its_section_of_the_page(linkscope: Linkscope) -> None:
    page = linkscope("explain", "--format", "markdown").stdout
    section = linkscope("explain", "--format", "markdown", "packed").stdout
    assert section.startswith(b"## packed\n")
    assert section in page


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mising-library", "did you mean missing-library?"),
        ("nope", "no rule nope; `linkscope explain` lists"),  # nothing but letters of not-pie
        ("\x1b[31m", "`linkscope explain` lists"),
    ],
)
def test_an_unknown_rule_is_told_with_the_one_that_may_be_meant(linkscope: Linkscope, name: str, words: str) -> None:
    ran = linkscope("explain", name)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert words in ran.stderr.decode()
    assert b"\x1b" not in ran.stderr
