"""What a file has too much of is told by its name: of no more memory where only calls are nested too deeply."""

import pytest

from linkscope.analysis.inspect import Run, inspect


@pytest.mark.parametrize(
    ("error", "told"),
    [(MemoryError, "takes more memory than there is"), (RecursionError, "is nested too deeply to be analysed")],
)
def test_memory_and_depth_are_told_apart(monkeypatch: pytest.MonkeyPatch, error: type[Exception], told: str) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Run, "inspect", fails)
    document = inspect(["/bin/true"])
    assert [one.error for one in document.errors] == [told]
