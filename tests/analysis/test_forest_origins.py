"""Origins in general: every process of the machine, and any forest of libraries that starts."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from linkscope.analysis.process import each_process, processes
from linkscope.model.pid import Process
from tests.analysis.observed import (
    Held,
    closure_in_memory,
    codes,
    elf_files,
    held,
    in_link_map,
    needs_loader,
    needs_root,
    objects,
    observed,
)
from tests.analysis.staged import PATH, in_root
from tests.oracle import trace
from tests.oracle.forest import MUSL_X86_64, Forest
from tests.oracle.forest_strategies import forests, rooted_forests
from tests.process.started import Argument, started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]


def _agrees(process: Process) -> None:
    """What is needed is what the NEEDED entries of the mapped files lead to, from the program on, and nothing else."""
    closure, files = closure_in_memory(process.pid), elf_files(process.pid)
    for one in objects(process):
        place = files.get(one.path, files.get(f"{one.path} (deleted)"))
        if place is None or one.origin in ("executable", "interpreter", "preload", "audit"):
            continue
        assert (place in closure) == (one.origin == "needed"), f"{process.pid} {process.name}: {one}"


def test_in_every_process_of_the_machine_what_is_opened_is_in_no_closure_and_the_reverse(
    fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    needs_root()
    script = "import _ssl, _sqlite3, _ctypes, sys; print('ready', flush=True); sys.stdin.read()"
    plugins = fixture_file("process/plugins")
    with (
        started([require_tool("/usr/bin/python3"), "-c", script]) as python,
        started([fixture_file("process/dlopen"), plugins / "libneedy.so", "libm.so.6"]) as host,
        started([require_tool("gdb"), "-nx", "-q", "-ex", "echo ready\\n"]) as debugger,
    ):
        for one in (python, host, debugger):
            one.expect("ready")
        seen = 0
        for result in each_process(None):
            if isinstance(result, Process) and result.objects and result.executable:
                with suppress(OSError, KeyError):  # it has ended meanwhile, or become another program
                    _agrees(result)
                    seen += 1
    assert seen >= 3


def test_what_is_needed_is_what_the_loader_itself_lists(fixture_file: FixtureFile, require_tool: RequireTool) -> None:
    """ldd asks the loader about the file; the process has mapped just that, and the plugins on top."""
    script = "import _ssl, sys; print('ready', flush=True); sys.stdin.read()"
    programs: list[list[Argument]] = [
        [require_tool("/usr/bin/python3"), "-c", script],
        [fixture_file("process/dlopen"), "libm.so.6"],
    ]
    for argv in programs:
        with started(argv) as running:
            running.expect("ready")
            process = observed(running.pid)
            file = os.readlink(f"/proc/{running.pid}/exe")
        listed = {os.path.realpath(entry.path) for entry in trace.trace(file).entries if entry.path}
        found = {one.path for one in objects(process) if one.origin in ("needed", "interpreter")}
        assert found == listed


_SETTINGS = settings(
    max_examples=int(os.environ.get("LINKSCOPE_PROCESS_FORESTS", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
)


def _says_nothing_new(running: Held, forest: Forest) -> None:
    """A process whose files are as they were: its link map, nothing but needs and preloads, and nothing to report."""
    (process,) = processes([running.pid]).processes
    found = objects(process)
    assert in_link_map(process) == running.link_map(), forest
    assert {one.disk for one in found} == {"same"}, forest
    assert {one.origin for one in found} <= {"executable", "vdso", "interpreter", "needed", "preload"}, (found, forest)
    assert process.absent == [], forest
    assert set(codes(process)) <= {"preloaded"}, (process.findings, forest)
    assert {one.restart for one in found} == {None}, forest
    named = forest.preload or forest.system_preload
    assert named or "preload" not in {one.origin for one in found}, forest


def _start(forest: Forest, argv: Sequence[str], env: dict[str, str], cwd: str | None) -> None:
    try:
        with held(argv, env=env, cwd=cwd) as running:
            _says_nothing_new(running, forest)
    except AssertionError as error:
        if "has ended" not in str(error):
            raise  # the loader has refused the forest, which is no matter here


@_SETTINGS
@given(forests())
def test_any_forest_of_libraries_that_starts_is_all_needed(forest: Forest) -> None:
    """RPATH, RUNPATH, links, sonames, hwcaps, filters, variables: nothing was opened, nothing is missing or new."""
    with forest.planted() as planted:
        _start(forest, [planted.program], planted.environment, planted.cwd)


@_SETTINGS
@given(forests(libc=MUSL_X86_64))
def test_any_forest_under_musl_is_all_needed(forest: Forest) -> None:
    needs_loader(MUSL_X86_64)
    with forest.planted(MUSL_X86_64) as planted:
        _start(forest, [planted.program], planted.environment, planted.cwd)


@_SETTINGS
@given(rooted_forests())
def test_any_forest_in_a_root_of_its_own_is_judged_in_there(forest: Forest) -> None:
    """A chroot in a mount namespace, with its own cache, default folders and /etc/ld.so.preload."""
    needs_root()
    with forest.planted() as planted:
        _start(forest, in_root(planted.base, planted.program), {**PATH, **planted.environment}, None)
