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

import msgspec
import pytest

from linkscope.errors import LinkScopeError, ProcessGone
from linkscope.process import procfs
from linkscope.process.disk import files_of, refined, standing_of
from linkscope.process.mappings import Mapping, read_maps
from linkscope.process.observation import Observer
from linkscope.process.views import Views
from tests.process import places
from tests.process.places import LIBRARY, NEWER, Kit, btrfs, grown, lodging, overlay, privileged, ran, tmpfs
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


@pytest.fixture(scope="session")
def kit(fixture_file: FixtureFile) -> Kit:
    return Kit(fixture_file)


@pytest.fixture
def room() -> Iterator[Path]:
    with places.room() as folder:
        yield folder


@pytest.fixture(params=["root", "user"])
def look(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[None]]:
    """Who looks: root, or the ordinary user whose process it is."""
    return ordinary_user if request.param == "user" else contextlib.nullcontext


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


# --- btrfs and overlays -----------------------------------------------------------------------------------------------


def test_files_of_two_subvolumes_with_the_same_number_are_two_objects(
    kit: Kit, room: Path, fixture_file: FixtureFile, look: Opens
) -> None:
    """maps has the same device and inode for both."""
    source = kit.furnish(room / "source")
    with btrfs(room / "btrfs", room) as made:
        for name, file in (("one", LIBRARY), ("two", NEWER)):
            ran("btrfs", "subvolume", "create", made / name)
            shutil.copy(source / file, made / name / f"lib{name}.so")
        paths = [made / "one/libone.so", made / "two/libtwo.so"]
        with as_user([fixture_file("process/dlopen"), *paths]) as program:
            program.expect("ready")
            mapped = {mapping.identity for mapping in read_maps(program.pid) if mapping.name in map(str, paths)}
            assert len(mapped) == 1
            with look():
                seen = disks(looked_at(program.pid))
            assert [seen[str(path)] for path in paths] == ["same", "same"]
            paths[1].unlink()
            with look():
                seen = disks(looked_at(program.pid))
            assert [seen[str(path)] for path in paths] == ["same", "deleted"]


def test_a_snapshot_mounted_over_a_subvolume_has_files_of_its_own(
    kit: Kit, room: Path, fixture_file: FixtureFile
) -> None:
    """With the same names and the same numbers in maps: one process has the covered file, the other the one on top."""
    with btrfs(room / "btrfs", room) as made:
        ran("btrfs", "subvolume", "create", made / "lib")
        path = kit.furnish(made / "lib") / LIBRARY
        ran("btrfs", "subvolume", "snapshot", made / "lib", made / "snapshot")
        argv = [fixture_file("process/dlopen"), path]
        with started(argv) as covered:
            covered.expect("ready")
            device = ran("findmnt", "-no", "SOURCE", "--target", made).split()[0].split("[")[0]
            ran("mount", "-o", "subvol=snapshot", device, made / "lib")
            with started(argv) as top:
                top.expect("ready")
                for pids in ((covered.pid, top.pid), (top.pid, covered.pid)):
                    observer = Observer()
                    seen = {}
                    for pid in pids:
                        objects = observer.observe(pid, costs=False).objects
                        (one,) = (one for one in objects if one.path == str(path))
                        assert one.standing
                        seen[pid] = one.standing.disk
                    assert seen == {covered.pid: "replaced", top.pid: "same"}
                assert stale(looked_at(covered.pid)) == [str(path)]


def test_what_one_process_has_unmapped_meanwhile_says_nothing_of_the_others(
    kit: Kit, room: Path, fixture_file: FixtureFile
) -> None:
    """On btrfs only the links to the mapped files tell, and a link goes with its mapping."""
    privileged()
    with btrfs(room / "btrfs", room) as made:
        path = kit.furnish(made / "lib") / LIBRARY
        argv = [fixture_file("process/dlopen"), path]
        with started(argv) as one, started(argv) as other:
            for program in (one, other):
                program.expect("ready")
            views = Views()
            (before, *_) = (mapping for mapping in read_maps(one.pid) if mapping.name == str(path))
            (mapping, *_) = (mapping for mapping in read_maps(other.pid) if mapping.name == str(path))
            one.ask(f"close {path}", "ready")
            assert standing_of(one.pid, before, views.of(one.pid)).disk == "unknown"
            assert standing_of(other.pid, mapping, views.of(other.pid)).disk == "same"
            one.terminate()
            with pytest.raises(ProcessGone):
                standing_of(one.pid, msgspec.structs.replace(before, name="/absent"), views.of(other.pid))


def test_a_file_written_over_in_the_upper_layer_stays_the_lower_one_in_memory(
    kit: Kit, room: Path, fixture_file: FixtureFile
) -> None:
    """Of the same layout: on any other file system memory would show the new bytes, and nothing could be told."""
    words = fixture_file("process/libheld-words.so")
    lower = kit.furnish(room / "lower")
    with tmpfs(room / "upper") as upper, overlay(room / "merged", lower, upper) as merged:
        path = merged / LIBRARY
        with lodging(kit, [merged / "holder"], merged) as lodger:
            grown(lodger.pid)
            lodger.program.ask(f"overwrite {path} {words}")
            process = looked_at(lodger.pid)
            assert disks(process)[str(path)] == "overwritten"
            assert stale(process) == [str(path)]
        with lodging(kit, [merged / "holder"], merged) as lodger:
            assert set(disks(looked_at(lodger.pid)).values()) == {"same"}


def test_of_a_lower_layer_that_is_changed_under_its_overlay_the_overlay_is_believed(kit: Kit, room: Path) -> None:
    """What it shows then is not defined (Linux filesystems/overlayfs.rst), so its own stat(2) is the judge."""
    lower = kit.furnish(room / "lower")
    with (
        tmpfs(room / "upper") as upper,
        overlay(room / "merged", lower, upper) as merged,
        lodging(kit, [merged / "holder"], merged) as lodger,
    ):
        (mapping, *_) = (one for one in read_maps(lodger.pid) if one.name == lodger.library)
        shutil.copy(lower / NEWER, lower / "fresh")
        (lower / "fresh").rename(lower / LIBRARY)
        process = looked_at(lodger.pid)
        leads = os.path.samefile(merged / LIBRARY, procfs.path_of(lodger.pid, mapping.map_file))
        assert (disks(process)[lodger.library] == "same") == leads


def test_a_file_that_was_only_copied_up_is_the_same(kit: Kit, room: Path) -> None:
    lower = kit.furnish(room / "lower")
    with (
        tmpfs(room / "upper") as upper,
        overlay(room / "merged", lower, upper) as merged,
        lodging(kit, [merged / "holder"], merged) as lodger,
    ):
        grown(lodger.pid)
        (merged / LIBRARY).chmod(0o711)
        assert (upper / "upper" / LIBRARY).exists()
        assert set(disks(looked_at(lodger.pid)).values()) == {"same"}


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
    observer = Observer()
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
