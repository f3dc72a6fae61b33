"""Processes that end, become another program or change while they are looked at: one moment is told, or an error."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.process import each_process, processes
from linkscope.analysis.request import Looking
from linkscope.model.pid import PidDocument, Process, ProcessError
from tests.analysis.observed import called, codes, objects, observed, origins, smaps
from tests.oracle.elfwriter import shared_object
from tests.process.started import Argument, started, state, until

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

NOT_THERE = "no such process"


def _compiled(require_tool: RequireTool, folder: Path, source: str, *flags: str) -> Path:
    (folder / "program.c").write_text(source)
    command: list[Argument] = [require_tool("gcc"), folder / "program.c", "-o", folder / "program", *flags]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "program"


def test_a_process_that_has_ended_is_an_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    document = processes([process.pid])
    assert document == PidDocument(processes=[], errors=[ProcessError(pid=process.pid, error=NOT_THERE)])


@pytest.mark.parametrize("pid", [0, -1, 1 << 22, 1 << 40])
def test_a_number_that_no_process_has_is_an_error(pid: int) -> None:
    assert processes([pid]).errors == [ProcessError(pid=pid, error=NOT_THERE)]


def test_processes_that_come_and_go_meanwhile_make_no_trouble() -> None:
    """Asked for by number, each gives an answer or an error; of all processes, those that end are left out."""
    with started(["sh", "-c", "while :; do /bin/true; /bin/sleep 0.001; done"]):
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            for result in each_process(None, Looking(memory=False)):
                assert isinstance(result, Process | ProcessError)
    for _ in range(40):
        process = subprocess.Popen(["true"], stdin=subprocess.DEVNULL)
        document = processes([process.pid])
        process.wait()
        assert len(document.processes) + len(document.errors) == 1


BECOMES = """
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    static char line[4096];
    if (count < 3)
        return 1;
    execl(arguments[1], arguments[1], arguments[0], arguments[2], line, (char *)0);
    return 1;
}
"""


def test_a_process_in_the_midst_of_execve_is_the_one_or_the_other_and_never_a_mixture(
    require_tool: RequireTool, folder: Path
) -> None:
    """Two programs become each other, over and over: what is told of the process belongs to one of them."""
    library = shared_object(folder / "liba.so", soname="liba.so")
    dynamic = _compiled(require_tool, folder, BECOMES, os.fspath(library), "-Wl,--no-as-needed,-rpath,$ORIGIN")
    dynamic = dynamic.rename(folder / "dynamic")
    static = _compiled(require_tool, folder, BECOMES, "-static").rename(folder / "static")
    own = {
        "dynamic": {"dynamic", "liba.so", "libc.so.6", "ld-linux-x86-64.so.2", "[vdso]"},
        "static": {"static", "[vdso]"},
    }
    seen = {"dynamic": 0, "static": 0}
    with started([dynamic, static, "x"], env={}) as running:
        deadline = time.monotonic() + 20
        while min(seen.values()) < 40 and time.monotonic() < deadline:
            document = processes([running.pid], Looking(memory=False))
            assert not document.errors or "changes" in document.errors[0].error or not document.processes, document
            for process in document.processes:
                assert process.executable is not None
                name = os.path.basename(process.executable.path)
                seen[name] += 1
                assert process.name == name
                assert process.executable.linkage == name
                assert {os.path.basename(one.path) for one in objects(process)} <= own[name]
                assert {one.origin for one in objects(process)} <= {"executable", "interpreter", "needed", "vdso"}
                assert process.absent == []
                assert set(codes(process)) <= {"link-map-unknown", "orphan-unknown"}
        assert state(running.pid) != "Z"
    assert min(seen.values()) > 0, seen


def test_a_program_whose_loader_has_not_begun_misses_nothing(
    require_tool: RequireTool, fixture_file: FixtureFile
) -> None:
    """The kernel stops a traced process at its execve: what it needs is not mapped yet, and not absent either."""
    commands = [f"exec-file {fixture_file('process/dlopen')}", "starti", "info inferiors"]
    gdb = [require_tool("gdb"), "-nx", "-q", *(word for command in commands for word in ("-ex", command))]
    with started([*gdb, "-ex", "echo ready\\n"]) as debugger:
        debugger.expect("ready")
        pid = next(int(line.split("process ")[1].split()[0]) for line in debugger.lines if "process " in line)
        process = observed(pid)
    assert process.state == "tracing-stop"
    found = {"dlopen": "executable", "ld-linux-x86-64.so.2": "interpreter", "[vdso]": "vdso"}
    assert origins(process) == found
    assert process.absent == []
    assert [code for code in codes(process) if code != "orphan-unknown"] == ["link-map-unknown"]


OPENS_AND_CLOSES = """
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **arguments)
{
    puts("ready");
    fflush(stdout);
    for (;;)
        dlclose(dlopen(arguments[count - 1], RTLD_NOW));
}
"""


def test_a_process_that_opens_and_closes_libraries_is_told_as_it_was_at_one_moment(
    require_tool: RequireTool, fixture_file: FixtureFile, folder: Path
) -> None:
    """Or it is said that it does not keep still."""
    library = fixture_file("process/plugins/libneedy.so")
    answers = 0
    with started([_compiled(require_tool, folder, OPENS_AND_CLOSES), library]) as running:
        running.expect("ready")
        for _ in range(60):
            document = processes([running.pid], Looking(memory=False))
            for process in document.processes:
                answers += 1
                found = origins(process)
                assert found["libc.so.6"] == "needed"
                assert found.pop("libneedy.so", "dlopen") == "dlopen"
                assert found.pop("libneeded.so", "dlopen-needed").startswith("dlopen")
                assert set(found) == {"program", "[vdso]", "libc.so.6", "ld-linux-x86-64.so.2"}
                assert process.absent == []
                assert set(codes(process)) <= {"link-map-unknown", "orphan-unknown"}
            assert len(document.processes) + len(document.errors) == 1
    assert answers


MAIN_ENDS = """
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *stay(void *nothing)
{
    puts("ready");
    fflush(stdout);
    alarm(600);
    for (;;)
        pause();
    return nothing;
}
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, stay, 0);
    pthread_exit(0);
}
"""


def test_a_process_whose_main_thread_has_ended_is_no_zombie(require_tool: RequireTool, folder: Path) -> None:
    """The kernel shows it as one; another thread has its memory, and is asked instead."""
    with started([_compiled(require_tool, folder, MAIN_ENDS, "-pthread")]) as running:
        running.expect("ready")
        until(lambda: state(running.pid) == "Z", "the end of the main thread")
        process = observed(running.pid)
        mapped = {row.name for row in smaps(int(max(os.listdir(f"/proc/{running.pid}/task"), key=int))) if row.is_code}
    assert process.threads == 2
    assert process.executable is not None
    assert process.executable.path == f"{folder}/program"
    assert {one.path for one in objects(process)} == {*mapped, "[vdso]"}
    assert called(process, "libc.so.6").origin == "needed"
    assert process.memory is not None
    assert process.memory.rss > 0
    assert "zombie" not in codes(process)
