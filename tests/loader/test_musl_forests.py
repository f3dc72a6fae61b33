"""Random forests of libraries under musl: the prediction is what its --list answers, and what a real start maps."""

import os
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.loader.agreement import prediction
from tests.loader.musl_agreement import MUSL_FILE, disagreement
from tests.oracle.forest import MUSL_X86_64, Forest, Node
from tests.oracle.forest_strategies import FOLDERS, SYSTEM_FOLDERS, forests, rooted_forests, sometimes, weighted
from tests.oracle.recipe import Recipe, Symbol

_EXAMPLES = int(os.environ.get("LINKSCOPE_FOREST_EXAMPLES", "150"))
_SETTINGS = settings(
    max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False, database=None
)
_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="setuid files need root")
# Names with a meaning of their own, for musl or for nobody.
_NAMES = ("libc.so", "libm.so.6", "libpthread.so.0", "libutil.", "libcrypt.so", "ld-musl-x86_64.so.1", MUSL_X86_64, "")
_LIBC = (Symbol("__libc_start_main"), Symbol("stdin", kind="object"))


@pytest.fixture(autouse=True)
def _musl_is_here(require_tool: Callable[[str], str]) -> None:
    require_tool(MUSL_FILE)


@st.composite
def _recipes(draw: st.DrawFn, recipe: Recipe) -> Recipe:
    """A recipe with what matters to musl: names that it reserves, newlines in search paths, symbols of a C library."""
    needed = list(recipe.needed)
    name = draw(sometimes(st.sampled_from(_NAMES), 4))
    if name is not None:
        needed.insert(draw(st.integers(0, len(needed))), name)
    separator = draw(weighted((4, st.just(":")), (1, st.just("\n"))))
    return msgspec.structs.replace(
        recipe,
        needed=tuple(needed),
        rpath=recipe.rpath and recipe.rpath.replace(":", separator),
        runpath=recipe.runpath and recipe.runpath.replace(":", separator),
        symbols=() if recipe.entry else draw(weighted((15, st.just(())), (1, st.just(_LIBC)))),
    )


@st.composite
def _nodes(draw: st.DrawFn, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    return tuple(
        node if node.recipe is None else msgspec.structs.replace(node, recipe=draw(_recipes(node.recipe)))
        for node in nodes
    )


@st.composite
def _musl_forests(draw: st.DrawFn, *, rooted: bool = False, setuid: bool = False) -> Forest:
    forest = draw((rooted_forests if rooted else forests)(libc=MUSL_X86_64, setuid=setuid))
    nodes, late = draw(_nodes(forest.nodes)), draw(_nodes(forest.late))
    if rooted and draw(st.booleans()):
        folders = draw(st.lists(st.sampled_from((*SYSTEM_FOLDERS, *FOLDERS, "")), max_size=6))
        text = draw(st.sampled_from(":\n")).join(folder and f"/{folder}" for folder in folders)
        nodes += (Node("etc/ld-musl-x86_64.path", content=os.fsencode(text)),)
    return msgspec.structs.replace(forest, nodes=nodes, late=late, conf=None)


def _agrees(forest: Forest) -> None:
    with forest.planted(MUSL_FILE) as planted:
        difference = disagreement(planted, prediction(planted))
        assert difference is None, f"{difference}\n{forest}"


@_SETTINGS
@given(_musl_forests())
def test_prediction_equals_musls_answer_in_any_forest(forest: Forest) -> None:
    """Folders, RPATH, RUNPATH, links, candidates of every kind, reserved names, the environment."""
    _agrees(forest)


@_SETTINGS
@given(_musl_forests(rooted=True))
def test_prediction_equals_musls_answer_in_any_root(forest: Forest) -> None:
    """The same in a root of its own, with musl's default folders or its path file."""
    _agrees(forest)


@_AS_ROOT
@_SETTINGS
@given(_musl_forests(rooted=True, setuid=True))
def test_prediction_equals_a_real_start_of_musl_in_secure_execution(forest: Forest) -> None:
    """A setuid program started by an ordinary user."""
    _agrees(forest)
