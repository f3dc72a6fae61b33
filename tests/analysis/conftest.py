"""Fixtures for the tests of whole documents."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="linkscope-process-") as name:
        os.chmod(name, 0o755)
        yield Path(name).resolve()
