"""Names that are hard to read, files without names, files with two: what stands on the disk is told right, or not told.

That no false word is said of any process of the machine is judged by the links in /proc/PID/map_files.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from linkscope.errors import LinkScopeError
from linkscope.process import procfs
from linkscope.process.disk import files_of, refined, standing_of
from linkscope.process.mappings import Mapping, read_maps
from linkscope.process.observation import Observer
from linkscope.process.views import Views
from tests.process.places import LIBRARY, NEWER, Kit, grown, lodging, privileged
from tests.process.started import Argument, Started, as_user, started
from tests.process.verdicts import disks, looked_at, ordinary_user, reasons, stale

FixtureFile = Callable[[str], Path]
Opens = Callable[..., AbstractContextManager[Started]]

NAMES = {
    "plain": b"libplain.so",
    "spaces": b" two  spaces ",
    "newline": b"new\nline",
    "backslash": b"back\\012slash",
    "both": b"\n\\012\n\\n",
    "many-newlines": b"\n" * 9,
    "deleted": b"x (deleted)",
    "deleted-twice": b"x (deleted) (deleted)",
    "not-utf-8": b"\xff\xfe\x80",
    "controls": b"\t\r\x0b\x1b[31m",
    "heap": b"[heap]",
    "memfd": b"memfd:x",
    "mapping": b"7f00-7f10 r-xp 00000000 00:00 0 ",
    "longest": b"x" * 255,
}


@pytest.fixture
def opens(fixture_file: FixtureFile) -> Opens:
    """Call it with libraries: a program of an ordinary user that has opened them."""

    @contextlib.contextmanager
    def start(*libraries: str | Path, **popen: Any) -> Iterator[Started]:
        with as_user([fixture_file("process/dlopen"), *libraries], **popen) as program:
            program.expect("ready")
            assert not program.values("failed")
            yield program

    return start


# --- Names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_library_is_told_by_its_exact_name_whatever_that_holds(
    kit: Kit, room: Path, opens: Opens, name: bytes
) -> None:
    """Also to an ordinary user, who may not follow the link to it."""
    folder = kit.furnish(room / "lib")
    path = os.fsdecode(os.fsencode(folder) + b"/" + name)
    for what in ("same", "replaced", "deleted", "deleted, and one with the mark in its name there"):
        shutil.copy(folder / LIBRARY, path)
        with opens(path) as program:
            if what == "replaced":
                shutil.copy(folder / NEWER, folder / "fresh")
                (folder / "fresh").rename(path)
            elif what != "same":
                os.unlink(path)
            if "mark" in what and len(name) < 240:
                shutil.copy(folder / LIBRARY, f"{path} (deleted)")
            for who in (contextlib.nullcontext, ordinary_user):
                with who():
                    process = looked_at(program.pid)
                seen = disks(process)
                assert seen.pop(path) == what.split(",")[0]
                assert set(seen.values()) == {"same"}
                assert len(stale(process)) == (what != "same")


def test_a_name_in_the_root_folder_that_looks_like_a_memfds_is_a_name(
    kit: Kit, room: Path, fixture_file: FixtureFile
) -> None:
    privileged()
    kit.furnish_root(room / "jail", "/")
    (room / "jail" / LIBRARY).rename(room / "jail/memfd:x")
    shutil.copy(fixture_file("process/dlopen"), room / "jail")
    with started(["chroot", room / "jail", "/dlopen", "/memfd:x"]) as program:
        program.expect("ready")
        assert disks(looked_at(program.pid))["/memfd:x"] == "same"


def test_a_name_too_long_to_be_opened_is_followed_all_the_same(kit: Kit, room: Path, opens: Opens, look: Opens) -> None:
    """A path of more than 4096 bytes: the kernel writes it, and takes no such path (PATH_MAX)."""
    folder = kit.furnish(room / "lib")
    depth = 25
    inner = os.open(room, os.O_PATH)
    for _ in range(depth):
        os.mkdir("d" * 200, dir_fd=inner)
        deeper = os.open("d" * 200, os.O_PATH, dir_fd=inner)
        os.close(inner)
        inner = deeper
    shutil.copy(folder / LIBRARY, f"/proc/self/fd/{inner}/{LIBRARY}")
    path = f"{room}{('/' + 'd' * 200) * depth}/{LIBRARY}"
    with opens(f"./{LIBRARY}", cwd=f"/proc/self/fd/{inner}", pass_fds=[inner]) as program:
        with look():
            process = looked_at(program.pid)
        (opened,) = (one for one in process.objects or [] if one.path == path)
        assert (opened.disk, opened.soname, opened.origin) == ("same", LIBRARY, "dlopen")
        os.unlink(LIBRARY, dir_fd=inner)
        with look():
            assert disks(looked_at(program.pid))[path] == "deleted"
    os.close(inner)


def test_a_folder_that_the_caller_may_not_enter_makes_nothing_stale(kit: Kit, room: Path, opens: Opens) -> None:
    folder = kit.furnish(room / "closed")
    with opens(folder / LIBRARY) as program:
        grown(program.pid)
        folder.chmod(0)
        os.chown(folder, 0, 0)
        with ordinary_user():
            process = looked_at(program.pid)
            assert disks(process)[str(folder / LIBRARY)] == "unknown"
            assert not stale(process)
            assert ["permission denied" in reason for reason in reasons(process)] == [True]
        assert disks(looked_at(program.pid))[str(folder / LIBRARY)] == "same"
        (folder / LIBRARY).unlink()
        with ordinary_user():
            assert disks(looked_at(program.pid))[str(folder / LIBRARY)] == "deleted"


# --- Files with two names, and with none ------------------------------------------------------------------------------


def test_a_file_with_two_names_is_one_object(kit: Kit, room: Path, opens: Opens, look: Opens) -> None:
    """Mapped by both, in two namespaces of the link map."""
    folder = kit.furnish(room / "lib")
    (folder / "libhard.so").hardlink_to(folder / LIBRARY)
    with opens(folder / LIBRARY, "-n", folder / "libhard.so") as program:
        process = looked_at(program.pid)
        assert sum(1 for one in process.objects or [] if one.soname == LIBRARY) == 1
        with look():
            assert set(disks(looked_at(program.pid)).values()) == {"same"}


def test_of_two_names_the_one_that_it_was_loaded_by_counts(kit: Kit, room: Path, opens: Opens, look: Opens) -> None:
    folder = kit.furnish(room / "lib")
    (folder / "libhard.so").hardlink_to(folder / LIBRARY)
    with opens(folder / LIBRARY) as program:
        grown(program.pid)
        (folder / LIBRARY).unlink()
        with look():
            assert disks(looked_at(program.pid))[str(folder / LIBRARY)] == "deleted"


def test_a_folder_that_was_moved_makes_its_library_renamed_and_another_in_its_place_replaced(
    kit: Kit, room: Path, opens: Opens, look: Opens
) -> None:
    """No time of the library changes with that."""
    folder = kit.furnish(room / "app/lib")
    with opens(folder / LIBRARY) as program:
        grown(program.pid)
        (room / "app").rename(room / "old")
        with look():
            process = looked_at(program.pid)
        assert disks(process)[f"{room}/old/lib/{LIBRARY}"] == "renamed"
        assert not stale(process)
        kit.furnish(folder)
        with look():
            process = looked_at(program.pid)
        assert disks(process)[str(folder / LIBRARY)] == "replaced"
        assert stale(process) == [str(folder / LIBRARY)]


def test_a_symlink_that_was_turned_to_another_file_makes_nothing_stale(
    kit: Kit, room: Path, opens: Opens, look: Opens
) -> None:
    """The file itself is untouched: what a restart would load is another question."""
    folder = kit.furnish(room / "lib")
    link = folder / "libheld.so.1"
    link.symlink_to(LIBRARY)
    (room / "current").symlink_to("lib")
    with opens(link) as one, opens(room / "current" / LIBRARY) as other:
        grown(other.pid)
        link.unlink()
        link.symlink_to(NEWER)
        kit.furnish(room / "next")
        (room / "current").unlink()
        (room / "current").symlink_to("next")
        for program in (one, other):
            with look():
                process = looked_at(program.pid)
            assert disks(process)[str(folder / LIBRARY)] == "same"
            assert not stale(process)


@pytest.mark.parametrize("name", ["dlopen", "dlopen-musl"])
def test_a_library_out_of_a_memfd_is_a_memfd(fixture_file: FixtureFile, look: Opens, name: str) -> None:
    with as_user([fixture_file(f"process/{name}"), "-m", fixture_file("process/libheld.so")]) as program:
        program.expect("ready")
        with look():
            process = looked_at(program.pid)
        assert sorted(disks(process).values()) == ["memfd", *["same"] * (len(disks(process)) - 1)]


def test_a_program_out_of_a_memfd_is_a_memfd_and_its_libraries_are_files(
    kit: Kit, room: Path, fixture_file: FixtureFile
) -> None:
    folder = kit.furnish(room / "lib")
    argv = [fixture_file("process/memfd"), folder / "holder"]
    with started(argv, env={"LD_LIBRARY_PATH": str(folder)}) as program:
        program.expect("ready")
        process = looked_at(program.pid)
        assert disks(process)["/memfd:program"] == "memfd"
        assert process.executable
        assert process.executable.disk == "memfd"
        (folder / LIBRARY).unlink()
        assert stale(looked_at(program.pid)) == [str(folder / LIBRARY)]


def test_a_file_that_never_had_a_name_cannot_be_stale(room: Path, fixture_file: FixtureFile) -> None:
    descriptor = os.open(room, os.O_TMPFILE | os.O_RDWR, 0o755)
    os.write(descriptor, fixture_file("process/libheld.so").read_bytes())
    argv: list[Argument] = [fixture_file("process/dlopen"), f"/proc/self/fd/{descriptor}"]
    with started(argv, pass_fds=[descriptor]) as program:
        os.close(descriptor)
        program.expect("ready")
        process = looked_at(program.pid)
        assert set(disks(process).values()) == {"same", "unknown"}
        assert not stale(process)
        assert ["O_TMPFILE" in reason for reason in reasons(process)] == [True]


def test_shared_memory_is_a_folder_of_files(opens: Opens, fixture_file: FixtureFile, look: Opens) -> None:
    path = Path("/dev/shm") / f"linkscope-{os.getpid()}.so"
    shutil.copy(fixture_file("process/libheld.so"), path)
    try:
        with opens(path) as program:
            with look():
                assert disks(looked_at(program.pid))[str(path)] == "same"
            path.unlink()
            with look():
                assert disks(looked_at(program.pid))[str(path)] == "deleted"
    finally:
        path.unlink(missing_ok=True)


# --- Every process of the machine -------------------------------------------------------------------------------------


def _linked(pid: int, mappings: Sequence[Mapping]) -> set[tuple[int, int]]:
    """The ELF files with executable mappings, by the links to them."""
    found = set()
    for mapping in mappings:
        if mapping.executable and mapping.is_file:
            with open(procfs.path_of(pid, mapping.map_file), "rb") as file:
                status = os.fstat(file.fileno())
                if file.read(4) == b"\x7fELF":
                    found.add((status.st_dev, status.st_ino))
    return found


def test_of_every_process_the_objects_are_the_elf_files_that_map_files_links_to() -> None:
    privileged()
    observer = Observer(Views())
    compared = 0
    for pid in procfs.pids():
        with contextlib.suppress(LinkScopeError, OSError):
            mappings = read_maps(pid)
            expected = _linked(pid, mappings)
            objects = observer.observe(pid, costs=False).objects
            if read_maps(pid) != mappings:
                continue
            found = [one.standing.identity for one in objects if one.standing]
            assert set(found) == expected
            assert len(found) == len(expected)
            compared += bool(found)
    assert compared


def test_of_every_process_a_file_is_the_same_just_where_its_name_leads_to_it() -> None:
    """Judged by nothing but stat(2) of the links and of the names that they give."""
    privileged()
    views = Views()
    compared = 0
    for pid in procfs.pids():
        with contextlib.suppress(LinkScopeError, OSError):
            sight = views.of(pid)
            if sight.now is not views.own:
                continue
            mappings = read_maps(pid)
            for place, *_ in files_of(pid, mappings):
                mapping = mappings[place]
                link = procfs.path_of(pid, mapping.map_file)
                name = os.readlink(link)
                standing = standing_of(pid, mapping, sight)
                leads = os.path.exists(name) and os.path.samestat(os.stat(name), os.stat(link))
                if (standing.disk == "same") != leads:  # unless it has changed since it was looked at
                    standing = standing_of(pid, mapping, Views().of(pid))
                assert (standing.disk == "same") == leads
                compared += 1
    assert compared


def test_a_name_that_is_no_path_refines_nothing(kit: Kit, room: Path) -> None:
    folder = kit.furnish(room / "lib")
    with lodging(kit, [folder / "holder"], folder) as lodger:
        sight = Views().of(lodger.pid)
        (mapping, *_) = (one for one in read_maps(lodger.pid) if one.name == lodger.library and one.executable)
        standing = standing_of(lodger.pid, mapping, sight)
        for name in (None, "", "libheld.so", "./libheld.so", lodger.library, f"{folder}/../lib/{LIBRARY}"):
            assert refined(standing, name) == standing
        assert refined(standing, "/absent/libheld.so").disk == "renamed"
    assert standing.identity == (os.stat(folder / LIBRARY).st_dev, os.stat(folder / LIBRARY).st_ino)
