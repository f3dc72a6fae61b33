"""The tree shows each library once, below who asked for it first."""

import pytest

from linkscope.model.inspect import ClosureEntry
from linkscope.report.tree import rows
from tests.report.documents import library, program


def _drawn(closure: list[ClosureEntry]) -> list[str]:
    return [row.guide + row.name + (f" < {' '.join(row.also)}" if row.also else "") for row in rows(program(closure))]


@pytest.mark.parametrize(
    ("closure", "drawn"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [library("a", ["app"]), library("b", ["app"]), library("c", ["/lib/a"]), library("d", ["/lib/b"])],
            ["├─ a", "│  └─ c", "└─ b", "   └─ d"],
            id="children below their parent",
        ),
        pytest.param(
            [library("a", ["app"]), library("b", ["app", "/lib/a"]), library("c", ["/lib/a", "/lib/b"])],
            ["├─ a", "│  └─ c < b", "└─ b < a"],
            id="once, below its first needer",
        ),
        pytest.param(
            [library("p", [], found_by="preload"), library("a", ["app"])],
            ["├─ p", "└─ a"],
            id="a preload at the top",
        ),
        pytest.param(
            [library("p", ["/lib/a"], found_by="preload"), library("a", ["app"])],
            ["├─ p < a", "└─ a"],
            id="a preload at the top, whoever needs it",
        ),
        pytest.param(
            [library("a", ["app"]), library("ld.so", ["/lib/a"], path="/lib64/ld.so", found_by="interpreter")],
            ["├─ a", "└─ ld.so < a"],
            id="the interpreter at the top",
        ),
        pytest.param(
            [library("g", ["app"], found_by=None), library("a", ["app"]), library("g", ["/lib/a"])],
            ["├─ g", "└─ a", "   └─ g"],
            id="missing for one and found for another",
        ),
        pytest.param(
            [library("filtee", ["/lib/filter"]), library("filter", ["/lib/filtee"])],
            ["└─ filter < filtee", "   └─ filtee"],
            id="a ring is cut",
        ),
        pytest.param([library("a", ["/lib/a"])], ["└─ a < a"], id="needs itself"),
        pytest.param([library("a", ["elsewhere"])], ["└─ a"], id="needed by what is not listed"),
        pytest.param(
            [library("./sub/a.so", ["app"], path="./sub/a.so", found_by="path")], ["└─ a.so"], id="name of a path"
        ),
    ],
)
def test_tree(closure: list[ClosureEntry], drawn: list[str]) -> None:
    assert _drawn(closure) == drawn


def test_a_chain_deeper_than_pythons_stack_is_drawn() -> None:
    chain = [library("l0", ["app"]), *(library(f"l{depth}", [f"/lib/l{depth - 1}"]) for depth in range(1, 3000))]
    assert [row.name for row in rows(program(chain))] == [entry.requested for entry in chain]
