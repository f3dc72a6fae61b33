"""btrfs and overlays, where maps has other numbers than stat(2): what stands on the disk is told right, or not told."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from linkscope.errors import ProcessGone
from linkscope.process import procfs
from linkscope.process.disk import standing_of
from linkscope.process.mappings import read_maps
from linkscope.process.observation import Observer
from linkscope.process.views import Views
from tests.process.places import LIBRARY, NEWER, Kit, btrfs, grown, lodging, overlay, privileged, ran, tmpfs
from tests.process.started import as_user, started
from tests.process.verdicts import disks, looked_at, stale

FixtureFile = Callable[[str], Path]
Look = Callable[[], AbstractContextManager[None]]


def test_files_of_two_subvolumes_with_the_same_number_are_two_objects(
    kit: Kit, room: Path, fixture_file: FixtureFile, look: Look
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
                    observer = Observer(Views())
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
