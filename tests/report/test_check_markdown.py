"""Markdown for a comment: a CommonMark parser reads back what was meant, and nothing else, whatever the names are."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token

from linkscope.model.check import CheckDocument
from linkscope.model.document import AnalysisError
from linkscope.report.check.markdown import render
from linkscope.report.escape import escape
from linkscope.report.markup import block, code, prose, sentence
from tests.report.checks import document, finding, hostile, hostile_text, several

_ROOM = 65_536  # what GitHub takes of a comment
_PARSER = MarkdownIt("commonmark").enable("table")
_OURS = {"<code>", "</code>"}
_FOLDS = re.compile(r"<details><summary>(<code>[^<]*</code>: )?\d+ \w+( waived)?</summary>\n|</details>\n?")
# What a code host calls somebody or links to, outside of code.
_CALL = re.compile(r"(?<!\w)@\w|(?<!\w)#\d|www\.|://|:\w+:|\$")

# GitHub Flavored Markdown, 6.9: what becomes a link of itself, also between tags.
_AUTOLINK = re.compile(r"(?i)\bwww\.|://|@")


class _Texts(HTMLParser):
    """The texts of a page, apart for those inside of an element for code and those outside."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.outside: list[str] = []
        self._depth = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag == "code":
            self.inside.append("")
        self._depth += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "code"

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.inside[-1] += data
        else:
            self.outside.append(data)


def _markdown(checked: CheckDocument) -> str:
    return "".join(render(checked))


def _tokens(text: str) -> list[Token]:
    tokens = _PARSER.parse(text)
    return tokens + [child for token in tokens for child in token.children or ()]


def _texts(text: str) -> _Texts:
    return _Texts(_PARSER.render(text))


def _is_ours(tokens: list[Token]) -> bool:
    """Whether there is no HTML but ours, and no link, image or emphasis at all."""
    html = all(token.content in _OURS for token in tokens if token.type == "html_inline")
    blocks = all(_FOLDS.fullmatch(token.content) for token in tokens if token.type == "html_block")
    return html and blocks and not {"link_open", "image", "em_open", "code_inline"} & {token.type for token in tokens}


@settings(max_examples=30)
@given(hostile_text)
def test_no_name_is_more_than_text_in_a_whole_comment(text: str) -> None:
    markdown = _markdown(hostile(text))
    tokens = _tokens(markdown)
    assert _is_ours(tokens)
    kinds = [token.type for token in tokens]
    assert kinds.count("tr_open") == 1 + 2 * 2
    assert kinds.count("td_open") == 4 * 2 * 2
    assert kinds.count("fence") == 2
    assert kinds.count("strong_open") == 2
    assert not any(map(_CALL.search, _texts(markdown).outside))
    assert escape(text) in _texts(markdown).inside


@given(hostile_text)
def test_a_name_set_as_code_comes_back_as_it_was(text: str) -> None:
    for around in ("{}", "| {} |\n| --- |\n| {} |"):
        shown = code(text)
        inside = _texts(around.replace("{}", shown)).inside
        assert set(inside) == {escape(text)}
    assert not _AUTOLINK.search(code(text))


@given(hostile_text)
def test_a_sentence_says_what_it_said(text: str) -> None:
    shown = _texts(f"x {sentence(text)}\n")
    assert _is_ours(_tokens(f"x {sentence(text)}\n"))
    assert not any(map(_CALL.search, shown.outside))
    page = re.sub("<[^>]*>", "", _PARSER.render(f"x {sentence(text)} x"))
    said = page.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert said.split() == f"x {escape(text)} x".split()


@given(hostile_text)
def test_a_block_holds_its_lines_only(text: str) -> None:
    tokens = _PARSER.parse(block([text, text]) + "after\n")
    assert [token.type for token in tokens][:2] == ["fence", "paragraph_open"]
    assert tokens[0].content == f"{escape(text)}\n{escape(text)}\n"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("is found nowhere", "is found nowhere"),
        ("libfoo.so.1, which", "<code>libfoo.so.1</code>, which"),
        ("needs GLIBC_2.34", "needs <code>GLIBC&#95;2.34</code>"),
        ("(by dist/app)", "(by <code>dist/app</code>)"),
        ("1 error: none.", "1 error: none."),
        ("from glibc 2.41 on", "from glibc 2.41 on"),
    ],
)
def test_names_in_a_sentence_are_set_as_code(said: str, shown: str) -> None:
    assert sentence(said) == shown


def test_backticks_of_a_rule_mark_code() -> None:
    assert prose("Link with `-z now`.") == "Link with <code>-z now</code>."


def test_the_table_has_errors_and_warnings_and_the_rest_is_folded() -> None:
    markdown = _markdown(several())
    table, _, folded = markdown.partition("<details>")
    assert table.count("\n| ❌ error |") == 1
    assert table.count("\n| ⚠️ warning |") == 2
    assert "canary" not in table
    assert "<summary>13 notes</summary>" in folded
    assert "<code>dist/README</code> could not be analysed: not an ELF file" in table
    assert folded.count("**What mends it:**") == 2


def test_files_of_which_the_same_is_said_share_their_evidence() -> None:
    paths = ["a", "b", "c", "d"]
    found = [finding("executable-stack", path, message="asks for one", evidence=["PF_X"]) for path in paths]
    shown = _markdown(document(found))
    assert shown.count("```text\nPF_X\n```") == 1
    assert "<code>a</code>, <code>b</code>, <code>c</code> and 1 more: asks for one\n" in shown


def test_nothing_found_is_one_line() -> None:
    assert _markdown(document([])) == "### LinkScope: 3 files: ok\n\n"


@pytest.mark.parametrize("number", [20, 700])
def test_a_comment_keeps_to_its_room_and_says_what_it_leaves_out(number: int) -> None:
    long = "x/" * 100
    found = [
        finding(rule, f"{long}{place}", message=f"{long} <&> {long}", evidence=[long] * 40)
        for place in range(number)
        for rule in ("missing-library", "executable-stack", "no-canary")
    ]
    failed = [AnalysisError(path=f"{long}{place}", error=long) for place in range(number)]
    markdown = _markdown(document(found, files=number, errors=failed))
    assert len(markdown) <= _ROOM
    last = markdown.splitlines()[-1]
    left = re.search(r"errors and warnings \((\d+)\)", last)
    told = markdown.count("\n| ❌") + markdown.count("\n| ⚠️")
    assert told + (int(left[1]) if left else 0) == 2 * number
    assert _is_ours(_tokens(markdown))
    assert markdown.count("<details>") == markdown.count("</details>")
