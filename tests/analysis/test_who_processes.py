"""`who` among the running processes: what the kernel has mapped for them, and what they print, is the judge."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.analysis.holding import Held
from linkscope.analysis.inside import Search
from linkscope.analysis.who import who, who_runs
from linkscope.model.who import Match, WhoDocument
from tests.analysis.zlib_users import USES_ZLIB, match_of
from tests.analysis.zlib_users import zlib_users as zlib_users
from tests.analysis.zlib_users import zlib_version as zlib_version
from tests.contents.samples import linked
from tests.oracle.availability import Unavailable
from tests.oracle.upx import packed
from tests.packages.upx_samples import with_wrong_checksum
from tests.process.started import NOBODY, Started, as_user, started

FixtureFile = Callable[[str], Path]


@pytest.fixture
def running(zlib_users: Path, tmp_path: Path) -> Iterator[dict[str, Started]]:
    """The programs, each from a copy, waiting for a line."""
    copies = {name: shutil.copy(zlib_users / name, tmp_path / name) for name in ("dynamic", "static")}
    with started([copies["dynamic"]]) as dynamic, started([copies["static"]]) as static:
        dynamic.expect("version=")
        static.expect("version=")
        yield {"dynamic": dynamic, "static": static}


def _by_pid(document: WhoDocument) -> dict[int | None, Match]:
    return {match.pid: match for match in document.matches}


def test_processes_hold_it_mapped_or_inside(running: dict[str, Started], zlib_version: str) -> None:
    document = who("zlib")
    found = _by_pid(document)
    mapped, inside = found[running["dynamic"].pid], found[running["static"].pid]
    assert (mapped.how, mapped.disk, mapped.command) == ("mapped", "same", "dynamic")
    assert str(mapped.library) in Path(f"/proc/{running['dynamic'].pid}/maps").read_text()
    assert f"version={mapped.version}" in running["dynamic"].lines
    assert (inside.how, inside.library, inside.version) == ("inside", None, zlib_version)
    for pid, match in found.items():
        if match.how == "mapped":
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # others end when they like
                assert os.path.basename(match.library or "") in Path(f"/proc/{pid}/maps").read_text()


def test_without_being_asked_processes_are_left_out_where_there_are_paths(
    running: dict[str, Started], zlib_users: Path
) -> None:
    pids = {match.pid for match in who("zlib", [str(zlib_users)]).matches}
    both = {match.pid for match in who("zlib", [str(zlib_users)], processes=True).matches}
    assert pids == {None}
    assert both >= {None, running["static"].pid}


def test_a_deleted_program_still_tells_what_is_inside(running: dict[str, Started], zlib_version: str) -> None:
    os.unlink(os.readlink(f"/proc/{running['static'].pid}/exe"))
    match = _by_pid(who("zlib"))[running["static"].pid]
    assert (match.how, match.disk, match.version) == ("inside", "deleted", zlib_version)


def _with_own_library(zlib_users: Path, folder: Path) -> tuple[Path, Path]:
    """A program and its own zlib, beside one another."""
    system = match_of(who("zlib", [str(zlib_users / "dynamic")]), "dynamic").library
    folder.chmod(0o755)
    library = Path(shutil.copy(str(system), folder / "libz.so.1"))
    return linked(folder / "app", USES_ZLIB, ["-lz", "-Wl,-rpath,$ORIGIN"]), library


def test_a_library_that_was_replaced_is_told_in_the_version_that_is_mapped(zlib_users: Path, tmp_path: Path) -> None:
    """What stands at its path now is another version: the process has to be restarted."""
    app, library = _with_own_library(zlib_users, tmp_path)
    with started([app]) as program:
        told = program.expect("version=").partition("=")[2]
        patched = library.with_suffix(".new")
        patched.write_bytes(library.read_bytes().replace(told.encode(), told[:-1].encode() + b"~"))
        patched.rename(library)
        match = _by_pid(who("libz.so.1"))[program.pid]
        assert (match.disk, match.version, match.library) == ("replaced", told, str(library))
        assert _by_pid(who(str(library)))[program.pid].disk == "replaced"


def test_whoever_may_only_read_memory_has_the_version_from_there(zlib_users: Path, folder: Path) -> None:
    """The links to deleted files are for the administrator alone; the user's own memory is not."""
    app, library = _with_own_library(zlib_users, folder)
    with as_user([app]) as program:
        told = program.expect("version=").partition("=")[2]
        library.unlink()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                match = _by_pid(who("zlib"))[program.pid]
                os.write(writing, f"{match.disk} {match.version}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as said:
            assert said.read() == f"deleted {told}"
        os.waitpid(child, 0)


def test_what_was_opened_leads_to_what_it_needs(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """Of copies: the fixtures may be made anew meanwhile."""
    program = Path(shutil.copy(fixture_file("process/dlopen"), tmp_path / "dlopen"))
    plugin, needed = (
        Path(shutil.copy(fixture_file(f"process/plugins/{name}"), tmp_path / name))
        for name in ("libneedy.so", "libneeded.so")
    )
    with started([program, plugin]) as host:
        host.expect("ready")
        assert f"map {needed}" in host.lines
        document = who("libneeded.so")
    matches = [match for match in document.matches if match.pid == host.pid]
    assert len(matches) == 1, document.errors
    (match,) = matches
    assert match.via == [str(program), str(plugin)]
    assert match.library == str(needed)


def test_a_process_that_never_stays_the_same_program_is_counted_and_no_error(tmp_path: Path) -> None:
    source = '#include <unistd.h>\nint main(int c, char **v) { execv("/proc/self/exe", v); return 1; }\n'
    program = linked(tmp_path / "restless", source, ["-static"])
    document = who("libnobody-has-this.so.1")
    with started([program]) as restless:
        deadline = time.monotonic() + 30
        while not document.summary.unsteady and time.monotonic() < deadline:
            document = who("libnobody-has-this.so.1")
            assert (restless.process.poll(), document.errors) == (None, [])
    assert document.summary.unsteady


def test_who_asks_is_no_answer() -> None:
    """Python itself has the C library mapped, as its own maps say, and a copy of it that runs is told."""
    assert "libc.so.6" in Path("/proc/self/maps").read_text()
    with started([sys.executable, "-c", "print('ready', flush=True); input()"]) as other:
        other.expect("ready")
        found = _by_pid(who("libc.so.6"))
    assert other.pid in found
    assert os.getpid() not in found


def test_who_may_not_be_looked_into_is_named() -> None:
    """An ordinary user asks about what the administrator runs."""
    with started(["sleep", "600"], stdin=subprocess.DEVNULL) as guarded:
        if os.geteuid():
            raise Unavailable("only the administrator has processes that others may not look into")
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                held = [one.closed for one in who_runs("libnobody-has-this.so.1") if isinstance(one, Held)]
                os.write(writing, "\n".join(f"{one.pid} {one.command}" for one in held if one is not None).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as said:
            assert f"{guarded.pid} sleep" in said.read().splitlines()
        os.waitpid(child, 0)


# --- Packed programs --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["trixie", "bullseye"])
def packed_program(request: pytest.FixtureRequest, zlib_users: Path, tmp_path: Path) -> Path:
    """The static program, packed by an older and a newer UPX."""
    return packed(zlib_users / "static", tmp_path / "packed", "-1", "--lzma", suite=request.param)


def test_a_packed_program_that_runs_is_looked_into_if_that_is_asked_for(
    packed_program: Path, zlib_version: str
) -> None:
    with started([packed_program]) as program:
        program.expect(f"version={zlib_version}")
        code = [line for line in Path(f"/proc/{program.pid}/maps").read_text().splitlines() if " r-xp " in line]
        assert not any(line.endswith(str(packed_program)) for line in code)
        without, within = who("zlib"), who("zlib", search=Search(unpack=True))
    assert program.pid not in _by_pid(without)
    assert str(packed_program) in without.packed
    match = _by_pid(within)[program.pid]
    assert (match.how, match.unpacked, match.version) == ("inside", True, zlib_version)
    assert (match.path, match.command) == (str(packed_program), "packed")
    assert str(packed_program) not in within.packed


def test_a_packed_program_that_is_deleted_by_now_is_looked_into_all_the_same(
    packed_program: Path, zlib_version: str
) -> None:
    with started([packed_program]) as program:
        program.expect("version=")
        packed_program.unlink()
        match = _by_pid(who("zlib", search=Search(unpack=True)))[program.pid]
    assert (match.path, match.version) == (f"{packed_program} (deleted)", zlib_version)


def test_what_cannot_be_unpacked_says_why_and_is_not_counted_as_looked_into(zlib_users: Path, tmp_path: Path) -> None:
    """UPX itself needs more of the file than the stub that runs it: its checksums, which do not fit here."""
    made = with_wrong_checksum(packed(zlib_users / "static", tmp_path / "packed", "-1", "--lzma"))
    with started([made]) as program:
        program.expect("version=")
        document = who("zlib", search=Search(unpack=True))
    (error,) = [error for error in document.errors if error.path == str(made)]
    assert "cannot be unpacked" in error.error
    assert str(made) in document.packed


def test_a_packed_program_has_the_shared_one_mapped_that_it_takes(zlib_users: Path, tmp_path: Path) -> None:
    made = packed(zlib_users / "dynamic", tmp_path / "packed", "-1", "--lzma")
    with started([made]) as program:
        program.expect("version=")
        document = who("zlib")
    assert _by_pid(document)[program.pid].how == "mapped"
    assert str(made) in document.packed
