"""The findings for people: what is wrong comes first, once, and in no more lines than it needs."""

import re

import pytest
from hypothesis import given

from linkscope.model.document import AnalysisError
from linkscope.report.check.text import render
from linkscope.report.page import Page, cells
from tests.report.checks import document, finding, hostile, hostile_text, several

_REPORT = """\
dist/app
  error    libfoo.so.1 is found nowhere [missing-library]
             needed by dist/app
             asked for by object 0
             asked for by object 1
             asked for by object 2
             asked for by object 3
             asked for by object 4
             asked for by object 5
             and 14 more
  warning  asks for an executable stack [executable-stack]
             PT_GNU_STACK has PF_X

dist/app.whl!/pkg/_ext.so
  warning  asks for an executable stack [executable-stack]

Of many files
  no-canary: 13 files  No function of the file has a stack canary.

What mends it (linkscope explain RULE says more)
  missing-library   Install the library, ship it beside the program with RUNPATH
                    $ORIGIN, or link without it.
  executable-stack  Add `.section .note.GNU-stack,"",@progbits` to assembly
                    sources, or link with `-z noexecstack`.

Waived
  missing-library  dist/app.whl!/pkg/_ext.so: until the next release (until
                   2027-01-31)

15 files: 1 error, 2 warnings, 13 notes, 1 waived, 1 in the baseline,
          1 not analysed
"""


def _shown(checked: object, **page: object) -> str:
    return "".join(render(checked, Page(**page)))  # type: ignore[arg-type]  # whatever a test says


def test_a_whole_report() -> None:
    assert _shown(several(), width=80) == _REPORT


def test_colours_change_nothing_but_the_colours() -> None:
    coloured = _shown(several(), width=80, colour=True)
    assert "\x1b[1;31merror" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in plain.splitlines()] == _REPORT.splitlines()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    long = finding("missing-library", message="needs a library " * 20, evidence=["found nowhere " * 30])
    assert max(map(cells, _shown(document([long, *several().findings]), width=width).splitlines())) <= width


def test_into_a_pipe_nothing_is_cut() -> None:
    evidence = "x" * 5000
    assert evidence in _shown(document([finding("missing-library", evidence=[evidence])]))


@pytest.mark.parametrize(
    ("findings", "last"),
    [
        ([], "3 files: ok\n"),
        ([finding("no-canary")], "3 files: ok, 1 note\n"),
        ([finding("missing-library", status="waived")], "3 files: ok, 1 waived\n"),
        ([finding("missing-library", status="baseline")], "3 files: ok, 1 in the baseline\n"),
        ([finding("executable-stack")], "3 files: 1 warning\n"),
        ([finding("missing-library")] * 2, "3 files: 2 errors\n"),
    ],
)
def test_the_last_line_counts_and_says_whether_all_is_well(findings: list[object], last: str) -> None:
    shown = _shown(document(findings))  # type: ignore[arg-type]
    assert shown.splitlines(keepends=True)[-1] == last


def test_what_was_not_analysed_is_not_well() -> None:
    failed = document([], files=0, errors=[AnalysisError(path="x", error="not an ELF file")])
    assert _shown(failed) == "0 files: 1 not analysed\n"


def test_what_the_baseline_accepts_is_counted_only() -> None:
    accepted = [finding("executable-stack", status="baseline")]
    assert _shown(document(accepted)) == "3 files: ok, 1 in the baseline\n"


def test_what_is_waived_stands_with_its_reason() -> None:
    (row,) = _shown(document([finding("missing-library", "a", status="waived")])).splitlines()[1:2]
    assert row == "  missing-library  a: until the next release (until 2027-01-31)"


def test_more_than_a_few_notes_of_a_file_are_told_by_their_rules() -> None:
    notes = [finding(rule, "a", level="note") for rule in ("no-canary", "executable-stack", "missing-library")]
    assert _shown(document(notes)).splitlines()[1] == "  notes    no-canary, executable-stack, missing-library"


def test_a_few_notes_stand_with_their_files_without_evidence_and_remedy() -> None:
    few = [finding("no-canary", path, message="has no stack canary", evidence=["none"]) for path in ("a", "b")]
    shown = _shown(document(few))
    assert shown == (
        "a\n  note     has no stack canary [no-canary]\n\nb\n  note     has no stack canary [no-canary]\n\n"
        "3 files: ok, 2 notes\n"
    )


def test_findings_of_a_file_come_together_wherever_they_stand_in_the_document() -> None:
    mixed = [finding("executable-stack", "a"), finding("missing-library", "b"), finding("missing-library", "a")]
    lines = _shown(document(mixed)).splitlines()
    assert [
        line.split()[0] for line in lines[: lines.index("What mends it (linkscope explain RULE says more)")] if line
    ] == [
        *("a", "error", "warning"),
        *("b", "error"),
    ]


def test_a_path_that_is_no_utf_8_shows_its_bytes() -> None:
    assert _shown(document([finding("missing-library", "caf\ufffd", path_bytes="Y2Fm6Q==")])).startswith("caf\\xe9\n")


@given(hostile_text)
def test_no_name_puts_anything_into_the_report_that_does_not_print(text: str) -> None:
    assert all(line.isprintable() for line in _shown(hostile(text), width=80).split("\n"))
