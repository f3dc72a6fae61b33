"""A comparison as Markdown: a CommonMark parser reads back what was meant, and nothing else, whatever the names are."""

import re

import msgspec
from hypothesis import given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token

from linkscope.model.compare import CompareDocument
from linkscope.model.document import AnalysisError
from linkscope.report.compare.markdown import render
from tests.report.checks import hostile_text
from tests.report.comparisons import LIBC, document, five, hostile, program

_ROOM = 65_536  # what GitHub takes of a comment
_PARSER = MarkdownIt("commonmark").enable("table")
_FOLDS = re.compile(r"<details><summary>[A-Z][a-z ]+</summary>\n|</details>\n?")


def _markdown(compared: CompareDocument) -> str:
    return "".join(render(compared))


def _tokens(text: str) -> list[Token]:
    tokens = _PARSER.parse(text)
    return tokens + [child for token in tokens for child in token.children or ()]


def _is_ours(tokens: list[Token]) -> bool:
    """Whether there is no HTML but ours, and no link, image or emphasis at all."""
    html = all(token.content in ("<code>", "</code>") for token in tokens if token.type == "html_inline")
    blocks = all(_FOLDS.fullmatch(token.content) for token in tokens if token.type == "html_block")
    return html and blocks and not {"link_open", "image", "em_open", "code_inline"} & {token.type for token in tokens}


def test_the_verdict_and_what_it_suggests_stand_before_everything_that_is_folded() -> None:
    shown, _, folded = _markdown(five()).partition("<details>")
    assert shown.count("\n| size |") == shown.count("\n| start |") == shown.count("\n| memory |") == 1
    assert "Link it statically with musl" in shown
    assert folded.count("<summary>") == 6
    assert re.search(r"\| size \| 16 KiB \| \*\*16 KiB\*\* ★ \| 762 KiB \| 791 KiB \| 35 KiB \|", folded)
    assert re.search(r"\| exec to exit \| 1.00 x \| 0.99 x \| 0.52 x \| 0.59 x \| \*\*0.34 x\*\* ★ \|", folded)


def test_a_table_of_figures_has_a_cell_for_each_program_in_every_row() -> None:
    tokens = [token.type for token in _PARSER.parse(_markdown(five()))]
    rows = "".join({"tr_open": "\n", "td_open": "d", "th_open": "h"}.get(token, "") for token in tokens).split()
    assert {row for row in rows if len(row) > 5} == {"hhhhhh", "dddddd"}


@settings(max_examples=30)
@given(hostile_text)
def test_no_name_is_more_than_text(text: str) -> None:
    plain = [token.type for token in _PARSER.parse(_markdown(hostile("name")))]
    tokens = _tokens(_markdown(hostile(text)))
    assert _is_ours(tokens)
    assert [token.type for token in tokens].count("tr_open") == plain.count("tr_open")
    assert [token.type for token in tokens].count("td_open") == plain.count("td_open")


def test_what_finds_no_room_in_a_comment_is_named() -> None:
    many = [msgspec.structs.replace(LIBC, path=f"/opt/{'long/' * 20}lib{number}.so") for number in range(900)]
    markdown = _markdown(document([program("a", files=many), program("b", files=many)]))
    assert len(markdown) < _ROOM
    assert markdown.endswith("Left out, for a comment has no room for it: other files.\n")
    assert _is_ours(_tokens(markdown))


def test_what_could_not_be_compared_is_told() -> None:
    failed = AnalysisError(path="build/app", error="ended with exit code 3")
    assert "<code>build/app</code> could not be compared: ended with exit code 3" in _markdown(
        document([program("a")], errors=[failed])
    )
