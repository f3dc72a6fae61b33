"""What processes cost: judged by smaps, by the kernel's page map, and by what a fixture says that it has written."""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.analysis.request import Looking
from linkscope.model.pid import CopyOnWrite, Process
from tests.analysis.observed import as_nobody, codes, needs_root, objects, observed, smaps, summed
from tests.oracle.availability import Unavailable
from tests.process.started import as_user, children, started, state, until

FixtureFile = Callable[[str], Path]

VARIANTS = ["", "-static", "-musl", "-musl-static"]
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
# Linux Documentation/admin-guide/mm/pagemap.rst: present, swapped, of a file or shared memory, mapped by nobody else;
# below them the number of the page frame, and for that the flag of the zero page.
_PRESENT, _SWAPPED, _OF_FILE, _ALONE = (1 << bit for bit in (63, 62, 61, 56))
_FRAME = (1 << 55) - 1
_ZERO_PAGE = 1 << 24


# --- What fork left in common -----------------------------------------------------------------------------------------


def _by_page_map(pid: int) -> CopyOnWrite:
    """The same, page by page: what is in memory, belongs to no file, and is mapped by others too or not."""
    needs_root()
    if not Path("/proc/kpageflags").exists():
        raise Unavailable("this kernel does not show its pages")
    anonymous = shared = 0
    with open(f"/proc/{pid}/pagemap", "rb") as pages, open("/proc/kpageflags", "rb") as flags:
        for row in smaps(pid):
            if row.permissions[3] == "p" and row.name != "[vsyscall]":
                pages.seek(row.start // PAGE * 8)
                for entry in struct.iter_unpack("<Q", pages.read((row.end - row.start) // PAGE * 8)):
                    if _is_anonymous(entry[0]) and not _is_zero_page(flags.fileno(), entry[0]):
                        anonymous += PAGE
                        shared += 0 if entry[0] & _ALONE else PAGE
    return CopyOnWrite(private_memory=anonymous, shared=shared, own=anonymous - shared)


def _is_anonymous(entry: int) -> bool:
    return bool(entry & _PRESENT) and not entry & _OF_FILE


def _is_zero_page(flags: int, entry: int) -> bool:
    return bool(struct.unpack("<Q", os.pread(flags, 8, (entry & _FRAME) * 8))[0] & _ZERO_PAGE)


def _agreed(pid: int) -> CopyOnWrite:
    """What the document says, which the page map has to confirm: as soon as no relative writes any more."""

    def look() -> CopyOnWrite | None:
        found = _copy_on_write(observed(pid))
        return found if found == _by_page_map(pid) else None

    found = until(look, f"the page map of {pid} confirms the document", 10)
    assert found is not None
    return found


def _copy_on_write(process: Process) -> CopyOnWrite:
    assert process.memory is not None
    return process.memory.copy_on_write


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_child_has_not_written_is_counted_as_shared(fixture_file: FixtureFile, variant: str) -> None:
    """To the page, as the page map has it; and what the fixture says lies within that.

    Beside its own memory the child shares, or has copied, what every program has of stack, heap and variables: that is
    all that may come on top. (The tables of pages are the kernel's own memory, and counted nowhere here.)
    """
    with started([fixture_file(f"process/cow{variant}"), "-m", "8", "-w", "2"]) as program:
        address = program.number("memory")
        shared, touched = program.number("shared"), program.number("touched")
        program.expect("ready")
        for pid in (program.pid, *children(program.pid)):
            found = _agreed(pid)
            rest = summed(
                [row for row in smaps(pid) if row.permissions[1:4:2] == "wp" and not row.start <= address < row.end]
            )
            assert shared <= found.shared <= shared + rest["rss"]
            assert touched <= found.own <= touched + rest["rss"]
            assert found.private_memory == found.shared + found.own


@pytest.mark.parametrize(("memory", "written"), [(4, 0), (4, 4)], ids=["nothing-written", "all-written"])
def test_a_child_that_writes_nothing_costs_nothing(fixture_file: FixtureFile, memory: int, written: int) -> None:
    """And one that writes everything shares nothing of it."""
    with started([fixture_file("process/cow"), "-m", str(memory), "-w", str(written)]) as program:
        program.expect("ready")
        (child,) = children(program.pid)
        found = _copy_on_write(observed(child))
    assert abs(found.shared - (memory - written) * MIB) < MIB // 2
    assert abs(found.own - written * MIB) < MIB // 2


def test_a_process_alone_shares_nothing_by_copy_on_write(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("ready")
        found = _copy_on_write(observed(program.pid))
    assert found.shared == 0
    assert found.own == found.private_memory > 0


def test_a_worker_that_was_forked_shares_what_its_master_had(fixture_file: FixtureFile) -> None:
    with started([fixture_file("servers/prefork"), "-p", "0", "-n", "2"]) as server:
        server.expect("ready")
        for pid in (server.pid, *children(server.pid)):
            found = _agreed(pid)
            assert found.shared > 0


def test_pages_of_a_file_that_was_only_just_written_are_not_taken_for_shared_ones(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """They are dirty until they are on the disk, shared by all who have mapped the file, and nobody's copies."""
    program_file = tmp_path / "states"
    program_file.write_bytes(fixture_file("process/states-static").read_bytes())
    program_file.chmod(0o755)
    with started([program_file, "sleeping"]) as one, started([program_file, "sleeping"]) as other:
        for program in (one, other):
            program.expect("ready")
        assert _agreed(one.pid).shared == _agreed(other.pid).shared == 0


# --- Sums -------------------------------------------------------------------------------------------------------------


def _everything(process: Process) -> Iterator[tuple[int, int, int, int]]:
    for one in objects(process):
        if one.memory is not None:
            yield one.memory.rss, one.memory.pss, one.memory.shared, one.memory.private


def test_the_parts_are_no_more_than_the_whole(fixture_file: FixtureFile) -> None:
    """Resident is shared and private; the proportional size is all that is private, and a part of what is shared."""
    with started([fixture_file("process/dlopen"), fixture_file("process/plugins") / "libneedy.so"]) as program:
        program.expect("ready")
        process = observed(program.pid)
    assert process.memory is not None
    parts = list(_everything(process))
    assert len(parts) == len(objects(process))
    whole = process.memory
    for sums, total in zip(zip(*parts, strict=True), (whole.rss, whole.pss, whole.shared, whole.private), strict=True):
        assert sum(sums) <= total
    for rss, pss, shared, private in [*parts, (whole.rss, whole.pss, whole.shared, whole.private)]:
        assert rss == shared + private
        assert private <= pss <= rss


def test_an_object_in_two_namespaces_counts_with_all_its_mappings(fixture_file: FixtureFile) -> None:
    """dlmopen maps the file a second time."""
    library = fixture_file("process/plugins") / "libplain.so"
    with started([fixture_file("process/dlopen"), library, "-n", library]) as program:
        program.expect("ready")
        own = [row for row in smaps(program.pid) if row.name == os.fspath(library)]
        (mapped,) = (one for one in objects(observed(program.pid)) if one.path == os.fspath(library))
    assert len({row.start for row in own if row.is_code}) == 2
    assert mapped.namespaces == [0, 1]
    assert mapped.memory is not None
    assert mapped.memory.rss == summed(own)["rss"]


# --- What may not be read ---------------------------------------------------------------------------------------------


def test_the_memory_of_somebody_elses_process_is_null(fixture_file: FixtureFile) -> None:
    """An ordinary user is told who it is and how it does, and that it may not be looked into."""
    with started([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("ready")
        document = as_nobody([program.pid])
    (process,) = document.processes
    assert (process.memory, process.objects, process.libraries, process.executable) == (None, None, None, None)
    assert (process.name, process.user, process.threads) == ("states", "root", 1)
    assert "not-permitted" in codes(process)
    assert [error.pid for error in document.errors] == [program.pid]


def test_an_ordinary_user_is_told_the_memory_of_own_processes(fixture_file: FixtureFile) -> None:
    with as_user([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("ready")
        until(lambda: state(program.pid) == "S", "rest")
        document = as_nobody([program.pid])
        (process,) = document.processes
        assert document.errors == []
        assert process.memory is not None
        assert process.memory.rss == summed(smaps(program.pid))["rss"]
        assert _copy_on_write(process) == _by_page_map(program.pid)


def test_without_memory_smaps_is_not_read(fixture_file: FixtureFile) -> None:
    """It takes the kernel most of the time; the objects are the same."""
    with started([fixture_file("process/dlopen")]) as program:
        program.expect("ready")
        process = observed(program.pid, Looking(memory=False))
    assert process.memory is None
    assert list(_everything(process)) == []
