"""One process at one moment: of programs that become others, map and unmap, lose threads and end meanwhile."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from linkscope.errors import LinkScopeError, NotPermitted, ProcessGone, ProcessUnsteady
from linkscope.process import procfs
from linkscope.process.linkmap_memory import LinkMapMemory
from linkscope.process.mappings import Mapping
from linkscope.process.snapshot import Snapshot, steady, take
from tests.process.places import privileged
from tests.process.started import NOBODY, as_user, started, state, until
from tests.process.verdicts import disks, looked_at, ordinary_user, stale

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]

# Becomes the program that its first argument names, with its own name as that one's first argument, after argv[2] µs.
_AGAIN = """
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    alarm(600);
    usleep(atoi(argv[2]));
    execv(argv[1], (char *[]){ argv[1], argv[0], argv[2], NULL });
    return 1;
}
"""
# Opens and closes a library without end.
_OPENS = """
#include <dlfcn.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    alarm(600);
    write(1, "ready\\n", 6);
    for (;;)
        dlclose(dlopen(argv[1], RTLD_NOW));
}
"""
# Its first thread ends; of the others each begins the next one and ends after argv[1] µs, 0: never.
_HEADLESS = """
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static int span;
static void *run(void *nothing)
{
    pthread_t next;
    if (!span)
        for (;;)
            pause();
    usleep(span);
    pthread_create(&next, NULL, run, NULL);
    pthread_detach(next);
    usleep(span / 2);
    return NULL;
}
int main(int argc, char **argv)
{
    pthread_t first;
    alarm(600);
    span = atoi(argv[1]);
    pthread_create(&first, NULL, run, NULL);
    write(1, "ready\\n", 6);
    pthread_exit(NULL);
}
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, fixture_file: FixtureFile, require_tool: RequireTool) -> Path:
    """A folder with `opens`, `headless`, and `plain` and `late`, each of which needs the plugin of its name."""
    folder = tmp_path_factory.mktemp("programs")
    folder.chmod(0o755)
    plugins = fixture_file("process/plugins")

    def compiled(name: str, source: str, *flags: object) -> None:
        (folder / f"{name}.c").write_text(source)
        subprocess.run([require_tool("gcc"), folder / f"{name}.c", "-o", folder / name, *map(str, flags)], check=True)

    for name in ("plain", "late"):
        compiled(name, _AGAIN, "-Wl,--no-as-needed", f"-Wl,-rpath,{plugins}", plugins / f"lib{name}.so")
    compiled("opens", _OPENS, "-ldl")
    compiled("headless", _HEADLESS, "-pthread")
    return folder


def _names(snapshot: Snapshot) -> set[str]:
    """All that a snapshot says of which of the two programs it is."""
    mapped = {os.path.basename(m.name) for m in snapshot.mappings or [] if m.executable and m.is_file}
    found: set[str] = {name for name in ("plain", "late") if name in mapped}
    found |= {name for name in ("plain", "late") if f"lib{name}.so" in mapped}
    found |= {snapshot.stat.name, os.path.basename(snapshot.exe or "")}
    found |= {os.path.basename(word) for word in snapshot.cmdline[:1]}  # which comes last when a program starts
    if isinstance(snapshot.link_map, LinkMapMemory):
        loaded = {os.path.basename(entry.name) for entry in snapshot.link_map.entries}
        found |= {name for name in ("plain", "late") if f"lib{name}.so" in loaded}
    return found


def _looks(pid: int, seconds: float) -> Iterator[Snapshot]:
    """Snapshots one after the other; one that does not succeed gives none."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ProcessUnsteady):
            yield take(pid, costs=True)


@pytest.mark.parametrize("pause", [0, 300, 15_000], ids=["at-once", "after-0.3-ms", "after-15-ms"])
@pytest.mark.parametrize("prefix", [[], ["setarch", "--addr-no-randomize"]], ids=["random", "same-addresses"])
def test_of_a_process_that_becomes_two_programs_by_turns_only_one_is_seen(
    programs: Path, require_tool: RequireTool, prefix: list[str], pause: int
) -> None:
    """Also where the addresses of both are always the same, so that not even the auxiliary vector tells them apart."""
    for tool in prefix[:1]:
        require_tool(tool)
    with started([*prefix, programs / "plain", programs / "late", str(pause)]) as program:
        until(lambda: procfs.stat(program.pid).name in ("plain", "late"), "it runs")
        seen = [_names(snapshot) for snapshot in _looks(program.pid, 1.0)]
    assert [names for names in seen if names not in ({"plain"}, {"late"})] == []
    if pause > 10_000:
        assert {name for names in seen for name in names} == {"plain", "late"}


def test_of_a_process_that_opens_and_closes_a_library_the_rest_is_always_whole(
    programs: Path, fixture_file: FixtureFile
) -> None:
    with started([programs / "opens", fixture_file("process/plugins/libplain.so")]) as program:
        program.expect("ready")
        for snapshot in _looks(program.pid, 1.0):
            mapped = {os.path.basename(m.name) for m in snapshot.mappings or [] if m.executable and m.is_file}
            assert len(mapped - {"libplain.so"}) == 3
            assert {"opens", "libc.so.6"} <= mapped


@pytest.mark.parametrize("who", ["root", "its-user"])
def test_a_process_that_ends_while_it_is_looked_at_is_whole_dead_or_gone(who: str) -> None:
    """To its own user, too: of a process without memory the files in /proc belong to root."""
    user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if who == "its-user" else {}
    if user:
        privileged()
    seen = set()
    for lives in [0.0, 0.002, 0.004, 0.008, 0.016, 0.1] * 5:
        process = subprocess.Popen(["sleep", str(lives)], **user)
        with ordinary_user() if user else contextlib.nullcontext():
            while state(process.pid) != "Z":
                seen.add(_state_at_its_end(process.pid))
            seen.add(_state_at_its_end(process.pid))
        process.wait()
        with pytest.raises(ProcessGone):
            take(process.pid, costs=True)
    assert seen >= {"alive", "zombie"}


def _state_at_its_end(pid: int) -> str:
    try:
        snapshot = take(pid, costs=True)
    except ProcessUnsteady:
        return "unsteady"
    except NotPermitted:  # between the end of its memory and its own: all of it is root's, and nothing says why
        return "unsteady"
    if snapshot.mappings == []:
        assert (snapshot.costs, snapshot.exe, snapshot.link_map) == ([], None, None)
        return "zombie"
    assert snapshot.mappings
    assert snapshot.exe
    return "alive"


# --- Threads ----------------------------------------------------------------------------------------------------------


def test_a_process_whose_first_thread_has_ended_is_read_through_another(programs: Path) -> None:
    with started([programs / "headless", "0"]) as program:
        until(lambda: state(program.pid) == "Z", "its first thread has ended")
        snapshot = take(program.pid, costs=True)
        threads = sorted(map(int, os.listdir(f"/proc/{program.pid}/task")))
        assert (snapshot.pid, snapshot.through) == (program.pid, threads[1])
        assert procfs.living_thread(snapshot.stat) == threads[1]
        assert isinstance(snapshot.link_map, LinkMapMemory)
        seen = disks(looked_at(program.pid))
        assert {"headless", "libc.so.6", "[vdso]"} < set(map(os.path.basename, seen))
        assert set(seen.values()) == {"same"}


def test_of_a_process_whose_first_thread_has_ended_a_replaced_file_is_found(programs: Path, tmp_path: Path) -> None:
    """By the quick look as well: the maps of its first thread are empty."""
    path = shutil.copy(programs / "headless", tmp_path)
    with started([path, "0"]) as program:
        until(lambda: state(program.pid) == "Z", "its first thread has ended")
        shutil.copy(path, tmp_path / "fresh")
        (tmp_path / "fresh").rename(path)
        assert stale(looked_at(program.pid)) == [path]


def test_threads_that_come_and_go_do_not_make_their_process_gone(programs: Path) -> None:
    with started([programs / "headless", "1500"]) as program:
        until(lambda: state(program.pid) == "Z", "its first thread has ended")
        seen = list(_looks(program.pid, 1.0))
    assert seen
    assert all(snapshot.pid == program.pid for snapshot in seen)
    assert any(snapshot.mappings for snapshot in seen)


# --- What there is of every process -----------------------------------------------------------------------------------


def test_of_every_process_there_is_a_snapshot_or_a_reason() -> None:
    whole = 0
    for pid in procfs.pids():
        try:
            snapshot = take(pid, costs=False)
        except LinkScopeError:
            continue
        assert snapshot.pid == pid
        if snapshot.stat.is_kernel_thread or snapshot.stat.state == "zombie":
            assert snapshot.mappings == [] or snapshot.through != pid
        elif snapshot.mappings:
            assert snapshot.exe == os.readlink(f"/proc/{pid}/exe")
            whole += 1
    assert whole


def test_of_another_users_process_there_is_what_everybody_may_know(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("ready")
        with ordinary_user():
            snapshot = take(program.pid, costs=True)
        assert (snapshot.stat.name, snapshot.cmdline[1]) == ("states", "sleeping")
        assert snapshot.mappings is None
        assert snapshot.costs is None


def test_an_ordinary_user_has_the_whole_of_his_own_process(fixture_file: FixtureFile) -> None:
    with as_user([fixture_file("process/states"), "sleeping"]) as his:
        his.expect("ready")
        until(lambda: state(his.pid) == "S", "it sleeps")
        with ordinary_user():
            seen = take(his.pid, costs=False)
        assert seen == take(his.pid, costs=False)
        assert isinstance(seen.link_map, LinkMapMemory)


# --- The rule itself --------------------------------------------------------------------------------------------------


def test_a_look_that_never_fits_is_unsteady() -> None:
    looks = []

    def look(code: list[Mapping] | None) -> None:
        looks.append(code)

    with pytest.raises(ProcessUnsteady):
        steady(os.getpid(), look)
    assert len(looks) > 1
    assert all(code and all(mapping.executable and mapping.is_file for mapping in code) for code in looks)


def test_a_process_that_is_not_there_is_gone_before_it_is_looked_at() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(ProcessGone):
        steady(gone.pid, lambda _: sys.exit("looked at"))
