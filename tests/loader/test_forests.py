"""Random forests of libraries: the prediction is what the real loader answers, and what a real start maps."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.loader.agreement import disagreement_with_start, disagreement_with_trace, last_words, prediction
from tests.oracle.forest import Forest
from tests.oracle.forest_strategies import forests, rooted_forests

_EXAMPLES = int(os.environ.get("LINKSCOPE_FOREST_EXAMPLES", "150"))
_SETTINGS = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate,),  # a shrink asks the loader thousands of times; the forest that fails is printed whole
    report_multiple_bugs=False,
)
_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="chroot and setuid files need root")


def _agrees(forest: Forest) -> None:
    with forest.planted() as planted:
        file = prediction(planted)
        program = forest.program_recipe
        filtees = tuple(map(planted.text, (*program.auxiliary, *program.filter)))
        if not forest.setuid:
            difference = disagreement_with_trace(file, planted.trace(), filtees)
            assert difference is None, f"{difference}\n{forest}"
        start = planted.start()
        difference = disagreement_with_start(file, start.link_map, last_words(start.answer))
        assert difference is None, f"{difference}\n{forest}"


@_SETTINGS
@given(forests())
def test_prediction_equals_the_loader_in_any_forest(forest: Forest) -> None:
    """Folders, RPATH, RUNPATH, links, sonames, hwcaps, filters, the environment; trace mode and a real start."""
    _agrees(forest)


@_AS_ROOT
@_SETTINGS
@given(rooted_forests())
def test_prediction_equals_the_loader_in_any_root(forest: Forest) -> None:
    """The same in a root of its own: default folders, a cache that may be stale, /etc/ld.so.preload."""
    _agrees(forest)


@_AS_ROOT
@_SETTINGS
@given(rooted_forests(setuid=True))
def test_prediction_equals_a_real_start_in_secure_execution(forest: Forest) -> None:
    """A setuid program started by an ordinary user."""
    _agrees(forest)
