"""musl's rules: what a case says is what musl's loader does, and what LinkScope predicts."""

import os
from collections.abc import Callable

import pytest

from tests.loader.agreement import prediction
from tests.loader.musl_agreement import MUSL_FILE, disagreement, listed, loaded
from tests.loader.musl_cases import CASES, DEFAULT_ONLY, PRIVILEGED, UNREADABLE_PATH_FILES
from tests.oracle.forest import Forest, Node

_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="setuid files, and files that one may not read, need root")


@pytest.fixture(autouse=True)
def _musl_is_here(require_tool: Callable[[str], str]) -> None:
    require_tool(MUSL_FILE)


def _check(forest: Forest, expected: tuple[str | None, ...]) -> None:
    with forest.planted(MUSL_FILE) as planted:
        base = "" if planted.root else planted.base
        paths = [path and (path[1:] if path.startswith("=") else f"{base}/{path}") for path in expected]
        file = prediction(planted)
        assert [entry.path for entry in file.closure] == paths
        difference = disagreement(planted, file)
        assert difference is None, difference
        if not forest.setuid:
            assert set(loaded(listed(planted).entries)) <= set(paths)


@pytest.mark.parametrize(("forest", "expected"), CASES.values(), ids=CASES)
def test_rule(forest: Forest, expected: tuple[str | None, ...]) -> None:
    _check(forest, expected)


@pytest.mark.parametrize("node", UNREADABLE_PATH_FILES.values(), ids=UNREADABLE_PATH_FILES)
def test_a_path_file_that_is_there_and_cannot_be_read_is_an_empty_path(node: Node) -> None:
    """The reason that the loader gives is then that of the file, and the name is missing all the same."""
    forest = Forest(nodes=(*DEFAULT_ONLY, node), rooted=True)
    with forest.planted(MUSL_FILE) as planted:
        assert loaded(listed(planted).entries) == []
        assert planted.start().link_map == ()
        assert prediction(planted).missing == ["liba.so"]


@_AS_ROOT
@pytest.mark.parametrize(("forest", "expected"), PRIVILEGED.values(), ids=PRIVILEGED)
def test_rule_for_an_ordinary_user(forest: Forest, expected: tuple[str | None, ...]) -> None:
    _check(forest, expected)
