"""Whatever ends the program, nothing that it has unpacked stays on the disk."""

import io
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, environment
from tests.oracle.elfwriter import encode, program

_MEMBERS = 4000
_DEADLINE = 60.0
COMMANDS = {
    "check": ("check", "{elf}"),
    "check of a folder": ("check", "{folder}"),
    "diff": ("diff", "{elf}", "{elf}"),
    "targets": ("targets", "{elf}"),
    "policy init": ("policy", "init", "--file", "-", "{elf}"),
    "who": ("who", "zlib", "{elf}"),
    "sigs add": ("sigs", "add", "--store", "{store}", "{archives}"),
    "sigs add, in processes": ("sigs", "add", "--store", "{store}", *("{archives}",) * 8),
}


def _tar(target: Path, name: str, content: bytes) -> None:
    with tarfile.open(target, "w") as archive:
        for number in range(_MEMBERS):
            info = tarfile.TarInfo(f"{number}{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Packages that it takes a while to answer for: of programs, and of static libraries."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "release").mkdir()
    _tar(folder / "release/programs.tar", ".elf", encode(program()))
    _tar(folder / "archives.tar", ".a", b"!<arch>\n")
    return {
        "elf": str(folder / "release/programs.tar"),
        "folder": str(folder / "release"),
        "archives": str(folder / "archives.tar"),
        "store": str(folder / "store.db"),
    }


def _started(arguments: tuple[str, ...], packages: dict[str, str], place: Path) -> subprocess.Popen[bytes]:
    """The program, once something of a package lies in PLACE."""
    place.mkdir()
    process = subprocess.Popen(
        # Whoever started the tests may ignore some.
        ["env", "--default-signal=INT,TERM,HUP", *COMMAND, *(word.format_map(packages) for word in arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(TMPDIR=str(place)),
    )
    deadline = time.monotonic() + _DEADLINE
    while not any(names for folder, _, names in os.walk(place) if folder != str(place)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("label", COMMANDS)
def test_a_signal_leaves_nothing_unpacked(
    label: str, number: signal.Signals, packages: dict[str, str], tmp_path: Path
) -> None:
    """Also where it comes twice, as timeout(1) sends it: to the process, and to its group."""
    place = tmp_path / "tmp"
    process = _started(COMMANDS[label], packages, place)
    try:
        process.send_signal(number)
        process.send_signal(number)
        _, said = process.communicate(timeout=_DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert b"Traceback" not in said
    assert list(place.iterdir()) == []


def test_a_signal_that_the_caller_ignores_stays_ignored(packages: dict[str, str], tmp_path: Path) -> None:
    """As nohup(1) has it."""
    place = tmp_path / "tmp"
    place.mkdir()
    process = subprocess.Popen(
        ["env", "--ignore-signal=HUP", *COMMAND, "targets", "--target", "debian:12", packages["elf"]],
        stdout=subprocess.PIPE,
        env=environment(TMPDIR=str(place)),
    )
    try:
        while process.poll() is None and not list(place.iterdir()):
            time.sleep(0.005)
        process.send_signal(signal.SIGHUP)
        written, _ = process.communicate(timeout=_DEADLINE)
    finally:
        process.kill()
    assert process.returncode == 0
    assert b"debian" in written
