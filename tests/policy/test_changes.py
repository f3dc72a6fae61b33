"""What a change means for whoever takes the new file; `readelf` says what that one asks the system for."""

from collections.abc import Sequence

from linkscope.analysis.diff import diff
from linkscope.model.diff import Change
from tests.elf.samples import FixtureFile, tool


def _of_c_library(changes: Sequence[Change]) -> tuple[str, str]:
    (found,) = [change for change in changes if change.code == "libc"]
    return found.impact, found.message


def test_a_program_that_takes_no_c_library_any_more_is_no_risk(fixture_file: FixtureFile) -> None:
    """A static program of Go has no interpreter and needs nothing; whether glibc is there is all the same to it."""
    glibc, go = (str(fixture_file(name)) for name in ("hello/hello-dynamic-pie", "hello/hello-go"))
    assert "INTERP" not in tool("readelf", "-lW", go)
    assert "NEEDED" not in tool("readelf", "-dW", go)
    changes = diff(glibc, go).changes
    assert _of_c_library(changes) == ("none", "takes no C library any more, was made for glibc")
    assert [change.code for change in changes if change.impact == "deployment-risk"] == []


def test_one_that_takes_a_c_library_now_is_a_risk(fixture_file: FixtureFile) -> None:
    glibc, go = (str(fixture_file(name)) for name in ("hello/hello-dynamic-pie", "hello/hello-go"))
    assert "INTERP" in tool("readelf", "-lW", glibc)
    changes = diff(go, glibc).changes
    assert _of_c_library(changes) == ("deployment-risk", "made for the C library glibc, took none")
