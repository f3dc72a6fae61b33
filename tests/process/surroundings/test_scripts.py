"""The scripts that real interpreters run, what their command lines say, and whether the files have changed since."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.process import procfs
from linkscope.process.surroundings.scripts import (
    Change,
    Interpreter,
    Script,
    _Table,
    change_of,
    script_named,
    script_of,
)
from linkscope.process.tables import read_table
from linkscope.process.views import Views
from tests.oracle.availability import Unavailable
from tests.process.started import NOBODY, Argument, Started, as_user, started, until

RequireTool = Callable[[str], str]

ROWS: list[Interpreter] = read_table("surroundings/scripts.toml", _Table).interpreter
EXAMPLES = [(row, line) for row in ROWS for line in row.examples]
REFUSES = [(row, line) for row in ROWS for line in row.refuses]


def _program(row: Interpreter, line: str) -> str:
    """The executable of an example: what its argument 0 names, or would name if the program had left it."""
    first = line.split()[0].removeprefix("-")
    return first if re.fullmatch(row.programs, first.rpartition("/")[2]) else f"/usr/bin/{_any_name(row)}"


def _any_name(row: Interpreter) -> str:
    names = (line.split()[0].rpartition("/")[2] for line in row.examples)
    return next(name for name in names if re.fullmatch(row.programs, name))


@pytest.mark.parametrize(("row", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_the_command_line_names_the_script(row: Interpreter, line: str) -> None:
    named = script_named(_program(row, line), line.split())
    assert named is not None
    assert (named.interpreter, named.word) == (row, row.examples[line])


@pytest.mark.parametrize(("row", "line"), REFUSES, ids=[line for _, line in REFUSES])
def test_the_command_line_names_none(row: Interpreter, line: str) -> None:
    assert script_named(_program(row, line), line.split()) is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_has_a_source_an_example_and_what_it_refuses(row: Interpreter) -> None:
    assert row.examples
    assert row.refuses
    assert len(row.source) > 5
    assert sum(bool(re.fullmatch(other.programs, _any_name(row))) for other in ROWS) == 1


def test_one_program_that_is_many_is_what_it_is_called() -> None:
    assert (named := script_named("/bin/busybox", ["sh", "/srv/x.sh"])) is not None
    assert named.word == "/srv/x.sh"
    assert script_named("/bin/busybox", ["/bin/busybox", "ash", "-e", "x.sh", "y"]) is not None
    assert script_named("/bin/busybox", ["busybox", "ls", "x.sh"]) is None
    assert script_named("/bin/busybox", ["busybox"]) is None
    assert script_named("/bin/busybox", []) is None


def test_a_program_that_is_no_interpreter_runs_no_script() -> None:
    assert script_named("/usr/sbin/nginx", ["python3", "/srv/x.py"]) is None
    assert script_named("/usr/bin/python3.11 (deleted)", ["python3", "/srv/x.py"]) is not None


# --- Real interpreters ------------------------------------------------------------------------------------------------

# How to sleep, in each language.
SLEEPERS = {
    "python3": "import time\nprint('ready', flush=True)\ntime.sleep(600)\n",
    "bash": "echo ready\nread -t 600 line\n",
    "dash": "echo ready\nread line\n",
    "perl": '$| = 1; print "ready\\n"; sleep 600;\n',
}


def _found(pid: int) -> Script | None:
    program = procfs.link(pid, "exe")
    sight = Views().of(pid)  # which closes what its view needs when nobody has it any more
    return script_of(pid, program, procfs.cmdline(pid), sight.now, procfs.environ(pid))


def _change(pid: int) -> Change:
    script = _found(pid)
    assert script is not None
    begun = procfs.start_time(procfs.stat(pid), procfs.boot_time())
    sight = Views().of(pid)
    return change_of(pid, script, sight.now, begun)


def _settled(path: Path) -> None:
    """Wait until the file is older than what starts now, beyond the clock ticks in which neither is first."""
    until(lambda: time.time() - path.stat().st_ctime > 0.1, "a file that is old enough")


def _aged(pid: int) -> None:
    """The same of a process, before a file is written."""
    begun = procfs.start_time(procfs.stat(pid), procfs.boot_time())
    until(lambda: time.time() - begun > 0.1, "a process that is old enough")


@contextlib.contextmanager
def _running(interpreter: str, script: Path) -> Iterator[Started]:
    _settled(script)
    with started([interpreter, script]) as program:
        program.expect("ready")
        _aged(program.pid)
        yield program


@pytest.mark.parametrize("name", SLEEPERS)
def test_a_running_script_is_found_and_its_change_is_noticed(
    name: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    script = tmp_path / "a script"
    script.write_text(SLEEPERS[name])
    with _running(require_tool(name) if name != "python3" else sys.executable, script) as program:
        found = _found(program.pid)
        assert found is not None
        assert (found.path, found.word) == (str(script), str(script))
        assert _change(program.pid).stale is False
        script.write_text(SLEEPERS[name] + "\n")
        assert _change(program.pid).stale is True
        script.unlink()
        assert _change(program.pid) == Change(True, "it is deleted")


def test_a_script_that_the_kernel_started_by_its_first_line_is_found(tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text(f"#!{sys.executable} -u\n{SLEEPERS['python3']}")
    script.chmod(0o755)
    with started([script]) as program:
        program.expect("ready")
        assert (found := _found(program.pid)) is not None
        assert (found.interpreter, found.path) == ("python", str(script))


def test_a_script_that_a_package_put_in_place_is_stale_though_it_was_written_long_ago(tmp_path: Path) -> None:
    script, new = tmp_path / "x.py", tmp_path / "x.py.new"
    script.write_text(SLEEPERS["python3"])
    os.utime(script, (1e9, 1e9))
    with _running(sys.executable, script) as program:
        assert _change(program.pid).stale is False
        new.write_text(SLEEPERS["python3"])
        os.utime(new, (1e9, 1e9))
        new.rename(script)
        assert _change(program.pid).stale is True


def test_a_time_that_lies_in_the_future_makes_no_script_stale(tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    script.write_text(SLEEPERS["python3"])
    os.utime(script, (4e9, 4e9))
    with _running(sys.executable, script) as program:
        assert _change(program.pid).stale is False


def test_new_permissions_are_no_new_script_where_the_process_has_it_open(tmp_path: Path) -> None:
    """Shells read their script as they go on; of another interpreter it cannot be told."""
    for name, stale in (("bash", False), (sys.executable, True)):
        script = tmp_path / os.path.basename(name)
        script.write_text(SLEEPERS["bash" if name == "bash" else "python3"])
        with _running(name, script) as program:
            script.chmod(0o700)
            assert _change(program.pid).stale is stale


def test_a_replaced_script_is_stale_though_the_shell_has_the_old_one_open(tmp_path: Path) -> None:
    script, new = tmp_path / "x.sh", tmp_path / "new"
    for path in (script, new):
        path.write_text(SLEEPERS["bash"])
        os.utime(path, (1e9, 1e9))
    with _running("bash", script) as program:
        new.rename(script)
        assert _change(program.pid).stale is True


def test_a_relative_name_is_taken_from_the_working_directory(tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    script.write_text(SLEEPERS["python3"])
    _settled(script)
    environment = {name: value for name, value in os.environ.items() if name != "PWD"}
    with started([sys.executable, "x.py"], cwd=tmp_path, env=environment) as program:
        program.expect("ready")
        assert (found := _found(program.pid)) is not None
        assert found.path == str(script)
        assert _change(program.pid).stale is False
        script.unlink()
        # It may have been elsewhere, had the process moved.
        assert _change(program.pid).stale is None


_MOVES = "import os, sys, time\nos.chdir(sys.argv[1])\nprint('ready', flush=True)\ntime.sleep(600)\n"


def test_a_relative_name_of_a_process_that_has_moved_is_taken_from_where_the_shell_was(tmp_path: Path) -> None:
    script, other = tmp_path / "x.py", tmp_path / "other"
    script.write_text(_MOVES)
    other.mkdir()
    environment = {**os.environ, "PWD": str(tmp_path)}
    with started([sys.executable, "x.py", other], cwd=tmp_path, env=environment) as program:
        program.expect("ready")
        assert (found := _found(program.pid)) is not None
        assert found.path == str(script)
        # A file of that name where the process is now: either may be the one.
        (other / "x.py").write_text("")
        assert (found := _found(program.pid)) is not None
        assert found.path is None
        assert str(other) in (found.reason or "")
        assert _change(program.pid).stale is None


def test_a_folder_stands_for_the_script_in_it(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(SLEEPERS["python3"])
    with started([sys.executable, tmp_path / "app"]) as program:
        program.expect("ready")
        assert (found := _found(program.pid)) is not None
        assert found.path == str(tmp_path / "app" / "__main__.py")


def test_what_a_shell_opened_for_it_is_no_file() -> None:
    with started(["bash", "-c", f"exec bash <(echo '{SLEEPERS['bash']}')"]) as program:
        program.expect("ready")
        assert procfs.cmdline(program.pid)[1].startswith("/dev/fd/")
        assert _found(program.pid) is None


def test_a_script_is_found_in_the_root_of_its_process(tmp_path: Path, require_tool: RequireTool) -> None:
    if os.geteuid():
        raise Unavailable("only the administrator changes the root")
    dash = require_tool("dash")
    listed = subprocess.run(["ldd", dash], capture_output=True, text=True, check=True).stdout
    root = tmp_path / "root"
    for file in {dash, *re.findall(r"(/\S+)", listed)}:
        place = root / file.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    (root / "srv").mkdir()
    # An absolute link: from outside it leads elsewhere.
    (root / "srv" / "x.sh").symlink_to("/srv/real.sh")
    real = root / "srv" / "real.sh"
    real.write_text(SLEEPERS["dash"])
    _settled(real)
    for script, folder in (("/srv/x.sh", "/"), ("x.sh", "/srv")):
        inside: list[Argument] = ["chroot", root, dash, "-c", f'cd {folder}; exec {dash} "$@"', "dash", script]
        with started(inside, env={"PATH": os.environ["PATH"]}) as program:
            program.expect("ready")
            assert (found := _found(program.pid)) is not None
            assert found.path == "/srv/x.sh"
            assert _change(program.pid).stale is False
            _aged(program.pid)
            real.write_text(SLEEPERS["dash"])
            assert _change(program.pid).stale is True
            _settled(real)


def test_a_script_that_cannot_be_looked_at_is_not_said_to_be_deleted(tmp_path: Path) -> None:
    if os.geteuid():
        raise Unavailable("only the administrator becomes another user")
    sight = Views().of(os.getpid())
    (tmp_path / "shut").mkdir(mode=0o700)
    there, gone = (Script("shell", "x", str(tmp_path / name)) for name in ("shut/x", "x"))
    assert change_of(os.getpid(), gone, sight.now, 0.0).stale is True
    copy = os.fork()
    if copy == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            code = int(change_of(os.getpid(), there, sight.now, 0.0).stale is not None)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0


def test_a_symlink_to_itself_and_a_name_that_no_file_has_are_nothing_that_would_run(tmp_path: Path) -> None:
    sight = Views().of(os.getpid())
    (tmp_path / "loop").symlink_to("loop")
    for path in (str(tmp_path / "loop"), "/" + "x" * 300, "/x\0y"):
        assert change_of(os.getpid(), Script("shell", path, path), sight.now, 0.0).stale is True


def test_somebody_elses_script_is_found_too() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        script = Path(folder) / "x.sh"
        script.write_text(SLEEPERS["bash"])
        with as_user(["bash", script]) as program:
            program.expect("ready")
            assert (found := _found(program.pid)) is not None
            assert found.path == str(script)


def test_of_a_process_that_is_gone_the_working_directory_is_not_known() -> None:
    sight = Views().of(os.getpid())
    found = script_of(1 << 30, "/usr/bin/python3", ["python3", "x.py"], sight.now, None)
    assert found is not None
    assert found.path is None
    assert change_of(1 << 30, found, sight.now, 0.0).stale is None
