"""What is counted is what perf-stat(1) counts; where the kernel counts nothing, the reason is said in words."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from linkscope.errors import Failed, Hangs, LeavesProcesses
from linkscope.measure.command import Bounds
from linkscope.measure.counters import counts, reason
from linkscope.measure.peak import peak_rss
from tests.measure.nasty import command, runs, script
from tests.oracle.availability import Unavailable
from tests.process.started import NOBODY

BOUNDS = Bounds(timeout=30)
PROGRAMS = ["static", "musl-static", "dynamic-pie", "dynamic-nonpie", "musl-dynamic-pie", "cpp"]

# Touches so many pages, in a child that it waits for where there is a second word, and prints VmHWM.
_TOUCHES = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **words) {
    long size = atol(words[1]) * 4096;
    if (count > 2 && fork()) { wait(NULL); return 0; }
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(memory, size, MADV_NOHUGEPAGE);
    for (long i = 0; i < size; i += 4096) memory[i] = 1;
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    while (fgets(line, sizeof line, status)) if (!strncmp(line, "VmHWM:", 6)) fputs(line, stderr);
    return 0;
}
"""


@pytest.fixture(scope="module")
def touches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("touches")
    (folder / "touches.c").write_text(_TOUCHES)
    subprocess.run(["cc", "-O1", folder / "touches.c", "-o", folder / "touches"], check=True)
    return folder / "touches"


def _perf(perf: str, *argv: str | Path, event: str) -> list[int] | None:
    """What perf-stat counts of one event in five runs; None where it says that this is not supported."""
    found = []
    for _ in range(5):
        asked = [perf, "stat", "-x,", "-e", event, "--", *argv]
        said = subprocess.run(asked, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr
        row = re.search(rf"^(\d+|<[^>]*>),[^,]*,{event}", said, re.MULTILINE)
        if row is None:
            raise Unavailable(f"perf does not count here: {said.strip()[-200:]}")
        if row[1] == "<not supported>":
            return None
        found.append(int(row[1]))
    return found


def _are_alike(one: float, others: list[int] | None) -> bool:
    """Addresses are random, and with them the number of pages: the runs of perf themselves differ by some."""
    assert others is not None
    return min(others) - 4 - min(others) * 0.03 <= one <= max(others) + 4 + max(others) * 0.03


@pytest.mark.parametrize("name", PROGRAMS)
def test_page_faults_are_those_of_perf_stat(
    require_tool: Callable[[str], str], fixture_file: Callable[[str], Path], name: str
) -> None:
    perf, path = require_tool("perf"), fixture_file(f"hello/hello-{name}")
    found = counts(command(path), BOUNDS)
    assert _are_alike(found.minor_faults, _perf(perf, path, event="minor-faults"))
    assert found.major_faults == 0
    assert _perf(perf, path, event="major-faults") == [0] * 5


@pytest.mark.parametrize("child", [(), ("child",)], ids=["the program", "a child of it"])
def test_page_faults_of_the_program_and_of_its_children_are_counted(
    require_tool: Callable[[str], str], touches: Path, child: tuple[str, ...]
) -> None:
    perf = require_tool("perf")
    few, many = (counts(command(touches, pages, *child), BOUNDS).minor_faults for pages in ("100", "2100"))
    assert 1980 <= many - few <= 2020
    assert _are_alike(many, _perf(perf, touches, "2100", *child, event="minor-faults"))


def test_the_faults_of_before_the_program_are_not_counted(fixture_file: Callable[[str], Path]) -> None:
    """However much memory this process has, whose copy the new one never is."""
    found = counts(command(fixture_file("hello/hello-musl-static")), BOUNDS)
    if found.notes and found.notes[0].startswith("page faults are"):
        raise Unavailable("the kernel gives no events for faults here")
    assert found.minor_faults < 20


def test_instructions_are_those_of_perf_stat_or_both_have_none(
    require_tool: Callable[[str], str], touches: Path
) -> None:
    """Virtual machines often have no counter for them; then a note says why."""
    found = counts(command(touches, "1000"), BOUNDS)
    theirs = _perf(require_tool("perf"), touches, "1000", event="instructions:u")
    if theirs is None:
        assert found.instructions is None
        assert any(note.startswith("instructions are not counted: ") for note in found.notes)
    else:
        assert found.instructions == pytest.approx(median(theirs), rel=0.03)
        assert not any("instructions" in note for note in found.notes)


_AS_NOBODY = """
import json, os, sys
from linkscope.measure.command import Bounds, Command
from linkscope.measure.counters import counts
command = Command(sys.argv[1], ("2000",), tuple(os.environ.items()))
counts(command, Bounds(timeout=30))  # modules that are imported late may lie where nobody may read
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
found = counts(command, Bounds(timeout=30))
print(json.dumps([found.minor_faults, found.notes]))
"""


def test_an_ordinary_user_gets_what_perf_gives_to_one(require_tool: Callable[[str], str], touches: Path) -> None:
    """With kernel.perf_event_paranoid at 2, Linux's own setting: faults in user mode, which perf calls `:u`."""
    perf = require_tool("perf")
    faults, notes = _as_nobody(touches, 0o755)
    if any("getrusage" in note for note in notes):
        assert faults >= 2000
        return
    event = "minor-faults:u" if any("own code" in note for note in notes) else "minor-faults"
    assert _are_alike(faults, _perf(perf, touches, "2000", event=event))


def test_a_set_user_id_program_has_the_faults_that_the_kernel_tells_its_parent(
    require_tool: Callable[[str], str], touches: Path
) -> None:
    """To an ordinary user: the events are taken away as it starts, and say that nothing has happened."""
    said = subprocess.run([require_tool("/usr/bin/time"), "-f", "%R", touches, "2000"], capture_output=True, text=True)
    faults, notes = _as_nobody(touches, 0o4755)
    assert faults == pytest.approx(int(said.stderr.split()[-1]), abs=60)
    assert any(note.startswith("page faults are those of getrusage(2)") for note in notes)
    assert not any("own code" in note for note in notes)


def _as_nobody(touches: Path, mode: int) -> tuple[int, list[str]]:
    """Minor faults and notes that an ordinary user gets of a copy that belongs to root, and has this MODE."""
    if os.geteuid():
        raise Unavailable("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        if mode & 0o4000 and os.statvfs(folder).f_flag & os.ST_NOSUID:
            raise Unavailable(f"nobody gets rights from a file in {folder} (nosuid)")
        os.chmod(folder, 0o755)
        program = shutil.copy(touches, folder)
        os.chmod(program, mode)
        argv = [sys.executable, "-c", _AS_NOBODY, program, str(NOBODY)]
        said = subprocess.run(argv, capture_output=True, text=True, check=True)
    faults, notes = json.loads(said.stdout)
    return faults, notes


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "this machine has no counter that its kernel knows"),
        (errno.EOPNOTSUPP, "this machine has no counter that its kernel knows"),
        (errno.EACCES, "perf"),
        (errno.EPERM, "perf"),
        (errno.ENOSYS, "this kernel has no perf events"),
        (errno.EMFILE, "too many open files"),
    ],
)
def test_each_refusal_has_its_words(number: int, words: str) -> None:
    assert words in reason("instructions", OSError(number, ""))
    assert reason("instructions", OSError(number, "")).startswith("instructions are not counted: ")
    assert reason("minor faults", OSError(number, "")).startswith("page faults are those of getrusage(2)")


def test_a_run_that_fails_is_not_counted(tmp_path: Path) -> None:
    with pytest.raises(Failed):
        counts(command(script(tmp_path, "program", "exit 3")), BOUNDS)
    with pytest.raises(Hangs):
        counts(command(script(tmp_path, "program", "exec sleep 1000")), Bounds(timeout=0.1))


def test_counting_leaves_nothing_behind(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(LeavesProcesses):
        counts(command(script(tmp_path, "program", "sleep 1000 & echo $! > $1"), tmp_path / "left"), BOUNDS)
    assert os.listdir("/proc/self/fd") == before
    assert not runs(int((tmp_path / "left").read_text()))


def test_the_peak_is_what_the_program_sees_of_itself(touches: Path) -> None:
    """VmHWM, which it prints at its end; GNU time says as much of a large one, and too much of a small one."""
    said = subprocess.run([touches, "5000"], capture_output=True, text=True, check=True).stderr
    found = peak_rss(command(touches, "5000"), BOUNDS)
    assert found == pytest.approx(int(said.split()[1]) * 1024, abs=512 << 10)
    assert found > 5000 * 4096


def test_the_peak_of_a_large_program_is_that_of_gnu_time(require_tool: Callable[[str], str], touches: Path) -> None:
    time = require_tool("/usr/bin/time")
    said = subprocess.run([time, "-f", "%M", touches, "20000"], capture_output=True, text=True, check=True).stderr
    found = peak_rss(command(touches, "20000"), BOUNDS)
    assert found == pytest.approx(int(said.split()[-1]) * 1024, rel=0.02)


def test_the_peak_of_a_small_program_is_not_that_of_this_interpreter(fixture_file: Callable[[str], Path]) -> None:
    assert peak_rss(command(fixture_file("hello/hello-musl-static")), BOUNDS) < 1 << 20
