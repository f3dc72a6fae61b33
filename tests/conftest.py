"""What every test may ask for: the built fixtures, the machine's tools, and one rule for what is missing.

A test that meets `Unavailable` is skipped, with the reason in sight; in CI (the variable CI is set) it fails instead,
so that nothing goes untested there unnoticed.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.oracle.availability import Unavailable, outcome

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
PACKAGES = Path(__file__).with_name("debian-packages.txt")
# Administrators' commands (setcap, ldconfig) are not on every user's PATH.
COMMAND_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

# A shared machine is slow at times, which is no fault of the code; in CI the same examples run every time.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def _package_of() -> dict[str, str]:
    """The Debian package that brings each command or file that tests ask for, from the one list of them."""
    rows = (line.split("#")[0].split() for line in PACKAGES.read_text().splitlines())
    return {row[1]: row[0] for row in rows if row}


def _find(tool: str) -> str | None:
    """Where a command (or a file, given with its folder) stands on this machine; None where it does not."""
    if "/" in tool:
        return tool if os.path.exists(tool) else None
    return shutil.which(tool, path=COMMAND_PATH)


def pytest_report_header() -> str:
    """What this machine lacks, at the head of a test run."""
    missing = [f"{tool} ({package})" for tool, package in _package_of().items() if not _find(tool)]
    return f"missing here (Debian package): {', '.join(missing) or 'nothing'}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Where a fixture that the test asks for is unavailable."""
    return (yield from _unavailable_is_a_skip_or_a_failure())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Where the test finds that out itself."""
    return (yield from _unavailable_is_a_skip_or_a_failure())


def _unavailable_is_a_skip_or_a_failure() -> Generator[None, object, object]:
    try:
        return (yield)
    except Unavailable as unavailable:
        reason = str(unavailable)
    if outcome(os.environ) == "fail":
        pytest.fail(f"cannot run in CI: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Call it with a command's name, or a file's path: its path; raises Unavailable where it is not here."""
    packages = _package_of()

    def find(tool: str) -> str:
        found = _find(tool)
        if found is None:
            raise Unavailable(f"{tool} is not here (Debian package {packages.get(tool, 'unknown')})")
        return found

    return find


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The folder of the built fixtures, built now where they are not; one worker builds, the others wait."""
    output = FIXTURES / "build"
    output.mkdir(exist_ok=True)
    # An outer make's own flags (its job server) are not for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    with open(output / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(["make", "-C", FIXTURES, "-j2"], env=environment, capture_output=True, text=True)
    if made.returncode:
        pytest.fail(f"the fixtures do not build:\n{made.stdout[-2000:]}{made.stderr[-4000:]}", pytrace=False)
    return output


@pytest.fixture(scope="session")
def fixture_file(fixtures_dir: Path) -> Callable[[str], Path]:
    """Call it with a fixture's name (`hello/hello-static`): its path; raises Unavailable where it was left out."""

    def find(name: str) -> Path:
        path = fixtures_dir / name
        if not path.exists():
            raise Unavailable(f"the fixture {name} was left out on this machine (`make -C fixtures` says why)")
        return path

    return find
