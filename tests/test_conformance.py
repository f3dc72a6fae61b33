"""The scoreboard itself: that it asks the other tools rightly, and that the page shows what it has."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance import table
from tests.conformance.peers import PEERS, Peer
from tests.conformance.rules import ALL, SUBJECTS
from tests.conformance.scoreboard import TOOLS, Mark, Row, rows
from tests.conformance.systems import System

_PAGE = Path(__file__).resolve().parent.parent / "docs/conformance.md"
_WIDTH = 100

# rule: the marks of ldd, libtree and lddtree, which are known from reading their answers
KNOWN = {
    "RPATH comes before LD_LIBRARY_PATH": ("right", "right", "right"),
    "beside RUNPATH, RPATH is dead": ("right", "right", "right"),
    "a 32-bit file is passed over": ("right", "right", "right"),
    "every missing name is told": ("right", "right", "right"),
    "RUNPATH of the program does not": ("right", "right", "WRONG"),
    "$ORIGIN of a program started by a link is the real folder": ("WRONG", "WRONG", "right"),
    "glibc-hwcaps is looked into below RUNPATH": ("right", "WRONG", "WRONG"),
    "a text file ends the search": ("right", "WRONG", "WRONG"),
    "a version that is not there, though no symbol uses it": ("right", "WRONG", "WRONG"),
    "the exit code tells that a library is missing": ("WRONG", "right", "WRONG"),
    "an interpreter that is not there keeps the program from starting": ("WRONG", "WRONG", "WRONG"),
}


@pytest.fixture(scope="session")
def _peers_are_here(require_tool: Callable[[str], str]) -> None:
    for peer in PEERS:
        require_tool(peer.name)


@pytest.mark.usefixtures("_peers_are_here")
@pytest.mark.parametrize("sentence", KNOWN)
def test_a_mark_is_what_the_tools_answer_deserves(sentence: str) -> None:
    (row,) = rows({"": {sentence: ALL[sentence]}}, print)
    assert row.marks == dict(zip(TOOLS, ("right", *KNOWN[sentence]), strict=True))


@pytest.mark.usefixtures("_peers_are_here")
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_many_files_are_told_apart(peer: Peer, require_tool: Callable[[str], str]) -> None:
    require_tool("gdb")
    said = peer.of_machine(["/usr/bin/env", "/usr/bin/gdb", "/usr/bin/true"])
    assert len(said["/usr/bin/gdb"].files) > len(said["/usr/bin/env"].files) >= 1


def test_no_line_is_too_wide() -> None:
    marks: dict[str, Mark] = dict.fromkeys(TOOLS, "WRONG")
    named = [(subject, sentence) for subject, rules in SUBJECTS.items() for sentence in rules]
    made = [Row(subject=subject, sentence=sentence, loader="starts", marks=marks) for subject, sentence in named]
    system = System(name="this machine, glibc 2.36", files=99999, errors=dict.fromkeys(TOOLS, 9999), differences={})
    text = table.rules(made) + table.summary(made, [system])
    assert max(map(len, text.splitlines())) <= _WIDTH


def test_the_page_has_every_rule() -> None:
    """`python -m tests.conformance --write` renews it."""
    shown = re.sub(r" {2,}(starts|missing|refuses)[ a-zA-Z-]*\n", "\n", _PAGE.read_text())
    words = " ".join(shown.split())
    assert not [sentence for sentence in ALL if sentence not in words]
