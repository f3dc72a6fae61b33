"""Fixtures for the tests of what stands on the disk: what a place is furnished with, where, and who looks."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.process import places
from tests.process.places import Kit
from tests.process.verdicts import ordinary_user

FixtureFile = Callable[[str], Path]


@pytest.fixture(scope="session")
def kit(fixture_file: FixtureFile) -> Kit:
    """The fixtures that a place is furnished with."""
    return Kit(fixture_file)


@pytest.fixture
def room() -> Iterator[Path]:
    """An empty folder that every user may enter, gone with what was mounted in it."""
    with places.room() as folder:
        yield folder


@pytest.fixture(params=["root", "user"])
def look(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[None]]:
    """Who looks: root, or the ordinary user whose process it is."""
    return ordinary_user if request.param == "user" else contextlib.nullcontext
