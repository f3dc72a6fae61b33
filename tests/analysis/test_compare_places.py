"""Programs are told apart by their places, from the files to the last sentence: names that are no UTF-8 look alike."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.compare import compare
from linkscope.analysis.comparing.measured import measured
from linkscope.analysis.comparing.verdict import verdict
from linkscope.analysis.request import Running

FixtureFile = Callable[[str], Path]
_NAMES = ("caf\udce8", "caf\udce9")


@pytest.fixture(params=[("dynamic-pie", "static"), ("static", "dynamic-pie")], ids="-then-".join, name="alike")
def _alike(request: pytest.FixtureRequest, fixture_file: FixtureFile, tmp_path: Path) -> tuple[list[str], int]:
    """Two paths that are one text, and the place of the static program."""
    hows: tuple[str, str] = request.param
    made = [tmp_path / name for name in _NAMES]
    for how, path in zip(hows, made, strict=True):
        shutil.copy(fixture_file(f"hello/hello-{how}"), path)
    return [str(path) for path in made], hows.index("static")


def test_what_the_files_say_is_said_of_the_right_one(alike: tuple[list[str], int]) -> None:
    """stat(2) judges sizes."""
    paths, static = alike
    document = compare(paths)
    found = {one.criterion: one for one in document.verdict}
    assert len({program.path for program in document.programs}) == 1
    sizes = [os.stat(path).st_size for path in paths]
    assert [(value.program, value.value) for value in found["size"].values] == list(enumerate(sizes))
    assert found["size"].best == sizes.index(min(sizes)) == 1 - static
    assert found["independence"].best == found["portability"].best == static
    small, large = (rf"caf\xe{8 + place}" for place in (1 - static, static))
    assert found["size"].message.startswith(f"{small} is the smallest file: ")
    assert f" of {large} " in found["size"].message
    assert any(f"systems: {large} starts on" in said for said in document.suggestions)
    assert not any("Nothing speaks" in said for said in document.suggestions)


def test_what_was_measured_is_said_of_the_right_one(alike: tuple[list[str], int]) -> None:
    """Of the C library, which others have mapped too, the dynamic one is charged with a small part only."""
    paths, static = alike
    running = Running(rounds=5, copies=(1,))
    found = measured(compare(paths).programs, paths, running, os.environ, lambda _work: None)
    figures = [program.run.copies[0].pss for program in found.programs if program.run]
    memory = next(one for one in verdict(found.programs, found) if one.criterion == "memory")
    assert figures.index(min(figures)) == 1 - static
    assert memory.best == 1 - static
    assert memory.message.startswith(rf"caf\xe{9 - static} takes the least memory (PSS) when one copy runs: ")
