"""Random forests: they can be written and asked about, their answers vary, and a start agrees with a trace."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.answers import Trace
from tests.oracle.elfwriter import program
from tests.oracle.forest import MUSL_X86_64, Forest, Node
from tests.oracle.forest_strategies import FILTEES, forests, rooted_forests
from tests.oracle.recipe import Recipe
from tests.oracle.start import Start

# The same forests every time: these tests are about the strategies, not a hunt.
ASKED = settings(max_examples=40, derandomize=True, database=None, suppress_health_check=list(HealthCheck))

KINDS = {"on this machine": forests(), "in a root": rooted_forests()}


def only_filtees_are_missing(trace: Trace) -> bool:
    """Whether all that is missing are filtees: a start is silent about those of DT_AUXILIARY."""
    return all(name.rpartition("/")[2] in FILTEES for name in trace.missing)


def agree(forest: Forest, trace: Trace, start: Start) -> bool:
    """Whether a start maps what trace mode says, where nothing is missing; the program's own filtees aside."""
    if trace.fatal or not only_filtees_are_missing(trace):
        return bool(start.answer.fatal) or only_filtees_are_missing(trace)
    own = forest.program_recipe
    return bool(start.answer.fatal or own.auxiliary or own.filter) or list(start.link_map) == trace.paths


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_answers_vary_and_a_start_agrees_with_the_trace(kind: st.SearchStrategy[Forest]) -> None:
    seen: Counter[str] = Counter()
    sizes: Counter[int] = Counter()

    @ASKED
    @given(kind)
    def ask(forest: Forest) -> None:
        with forest.planted() as planted:
            trace, start = planted.trace(), planted.start()
        seen["refused" if trace.fatal else "missing" if trace.missing else "resolved"] += 1
        sizes[len(trace.paths)] += 1
        assert agree(forest, trace, start)

    ask()
    assert seen["resolved"] >= 10
    assert seen["missing"] >= 3
    assert max(sizes) >= 4


@ASKED
@given(forests(setuid=True))
def test_a_setuid_program_starts_without_its_callers_library_path(forest: Forest) -> None:
    with forest.planted() as planted:
        if planted.user is None:
            return
        with_path = planted.start()
        without = Forest(**{**{n: getattr(forest, n) for n in Forest.__struct_fields__}, "library_path": None})
    with without.planted() as planted_without:
        shorter = planted_without.start()
    assert [path.removeprefix(planted.base) for path in with_path.link_map] == [
        path.removeprefix(planted_without.base) for path in shorter.link_map
    ]


@ASKED
@given(forests(libc=MUSL_X86_64))
def test_musl_forests_start_as_they_are_listed(forest: Forest) -> None:
    with forest.planted() as planted:
        trace, start = planted.trace(), planted.start()
    # Started, it has the $ORIGIN of its real path; listed, that of the path given (musl 1.2.3, observed).
    if not trace.missing and start.answer.status == 0 and forest.started_as == "@/bin/app":
        assert list(start.link_map) == [path for path in trace.paths if path != MUSL_X86_64]


def test_a_forest_prints_as_the_python_that_makes_it() -> None:
    forest = Forest(
        nodes=(Node("bin/app", program(needed=("liba.so",))), Node("a/liba.so", Recipe(soname="liba.so"), mode=0)),
        library_path="@/a",
    )
    names = {"Forest": Forest, "Node": Node, "Recipe": Recipe}
    assert eval(repr(forest), names) == forest  # noqa: S307  # our own text
    assert "\n" in repr(forest)


def test_an_unreadable_library_is_passed_over_for_an_ordinary_user() -> None:
    forest = Forest(
        nodes=(
            Node("bin/app", program(needed=("liba.so",), rpath="@/a:@/b")),
            Node("a/liba.so", Recipe(), mode=0),
            Node("b/liba.so", Recipe()),
        )
    )
    with forest.planted() as planted:
        assert planted.trace().paths == [f"{planted.base}/b/liba.so"]
        with planted.as_user(), pytest.raises(PermissionError):
            Path(planted.base, "a/liba.so").read_bytes()


def test_what_comes_and_goes_after_ldconfig_makes_its_cache_stale() -> None:
    forest = Forest(
        nodes=(
            Node("bin/app", program(needed=("liba.so", "libb.so"))),
            Node("opt/l/liba.so", Recipe(soname="liba.so")),
        ),
        rooted=True,
        conf=("/opt/l",),
        late=(Node("opt/l/libb.so", Recipe(soname="libb.so")), Node("usr/lib/liba.so", Recipe())),
        removed=("opt/l/liba.so",),
    )
    with forest.planted() as planted:
        found = planted.trace()
    assert (found.paths, found.missing) == (["/usr/lib/liba.so"], ["libb.so"])


def test_a_root_has_its_own_preload_file() -> None:
    forest = Forest(
        nodes=(
            Node("bin/app", program(needed=("liba.so",))),
            Node("lib/liba.so", Recipe()),
            Node("p/pre.so", Recipe()),
        ),
        rooted=True,
        system_preload="@/p/pre.so # a comment",
    )
    with forest.planted() as planted:
        assert planted.trace().paths[:2] == ["/p/pre.so", "/lib/liba.so"]
