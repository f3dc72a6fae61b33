"""What is known of one mount namespace is not taken for another's, however many there are and whenever they end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis import objects
from linkscope.analysis.process import each_process, processes
from linkscope.analysis.request import Looking
from linkscope.model.pid import PidDocument, Process
from linkscope.process import procfs
from linkscope.process.views import Views
from tests.process.places import privileged
from tests.process.started import started, until

FixtureFile = Callable[[str], Path]
_FEW_FILES = """
import resource, sys
from linkscope.cli.invocation import run
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture(autouse=True)
def _as_root() -> None:
    privileged()


def _apart(fixture_file: FixtureFile) -> list[str]:
    return ["unshare", "-m", str(fixture_file("process/states")), "sleeping"]


def _runs(programs: "list[subprocess.Popen[bytes]]") -> bool:
    return all(os.readlink(f"/proc/{program.pid}/exe").endswith("states") for program in programs)


def test_a_namespace_that_was_seen_keeps_its_number_after_its_last_process_has_ended(
    fixture_file: FixtureFile,
) -> None:
    """The kernel gives such numbers again at once (Linux fs/nsfs.c), and with them what was looked up would be."""
    views = Views()
    seen = set()
    for _ in range(4):
        with started(_apart(fixture_file)) as process:
            process.expect("pid")
            views.of(process.pid)
            seen.add(procfs.identity(process.pid, "ns/mnt"))
    assert len(seen) == 4


def test_more_namespaces_than_files_may_be_open_are_all_judged(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """The descriptors of those that were seen first are given back."""
    count, room = 40, 48
    programs = [subprocess.Popen(_apart(fixture_file), stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        until(lambda: _runs(programs), "the programs run")
        output = tmp_path / "answer"
        command = [sys.executable, "-c", _FEW_FILES, str(room), "ps", "--format", "json"]
        with open(output, "wb") as file:
            ran = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, check=False)
        document = msgspec.json.decode(output.read_bytes(), type=PidDocument)
    finally:
        for program in programs:
            program.kill()
            program.wait()
    assert ran.returncode == 0, ran.stderr
    told = {process.pid: process.executable for process in document.processes}
    assert {told[program.pid].disk for program in programs if told[program.pid]} == {"same"}  # type: ignore[union-attr]


def test_too_few_open_files_are_a_failure_and_not_an_answer(fixture_file: FixtureFile) -> None:
    with started(_apart(fixture_file)) as process:
        process.expect("pid")
        command = [sys.executable, "-c", _FEW_FILES, "4", "ps", "--stale"]
        ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ran.returncode == 2
    assert "ulimit -n" in ran.stderr
    assert "nothing has to be restarted" not in ran.stdout


def test_a_process_that_becomes_another_program_while_it_is_judged_is_judged_again(
    fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the snapshot and the close look at the files nothing is held open."""
    second = fixture_file("process/holder")
    code = f"import os; input(); os.execv({str(second)!r}, ['holder'])"
    with started([sys.executable, "-c", code]) as program:
        until(lambda: os.readlink(f"/proc/{program.pid}/exe") == os.path.realpath(sys.executable), "python runs")
        made = objects.Objects

        def late(*given: object) -> object:
            if os.readlink(f"/proc/{program.pid}/exe") != str(second):
                program.send("")
                until(lambda: os.readlink(f"/proc/{program.pid}/exe") == str(second), "the other program runs")
            return made(*given)  # type: ignore[arg-type]

        monkeypatch.setattr("linkscope.analysis.closelook.Objects", late)
        (process,) = [one for one in each_process([program.pid]) if isinstance(one, Process)]
    assert process.executable is not None
    assert process.executable.path == str(second)


def test_the_number_of_a_thread_is_said_to_be_one() -> None:
    code = (
        "import threading, time; t = threading.Thread(target=time.sleep, args=(60,), daemon=True); t.start(); "
        "print('ready', t.native_id, flush=True); time.sleep(60)"
    )
    with started([sys.executable, "-c", code]) as program:
        thread = program.number("ready")
        document = processes([thread], Looking(memory=False))
    assert document.processes == []
    assert [(error.pid, error.error) for error in document.errors] == [
        (thread, f"is a thread of process {program.pid}; name that one")
    ]


def test_names_that_are_no_text_make_a_document_all_the_same() -> None:
    """A root whose name is no UTF-8."""
    folder = os.fsencode(time.strftime("/tmp/linkscope-%s-")) + b"r\xff"
    os.mkdir(folder)
    try:
        code = "import os, sys, time; os.chroot(os.fsencode(sys.argv[1])); print('ready', flush=True); time.sleep(60)"
        with started([sys.executable, "-c", code, os.fsdecode(folder)]) as program:
            program.expect("ready")
            document = processes([program.pid])
    finally:
        os.rmdir(folder)
    decoded = msgspec.json.decode(msgspec.json.encode(document), type=PidDocument)
    assert (decoded.processes[0].root or "").endswith("r\ufffd")
