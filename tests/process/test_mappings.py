"""maps and smaps as values: judged by a writer that follows the kernel's, by psutil, and by the kernel's own sums."""

import itertools
import os
import string
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import psutil
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linkscope.errors import ProcessUnreadable
from linkscope.process import procfs
from linkscope.process.mappings import Cost, Mapping, _costs, parse, read_maps, read_smaps, without_mark
from tests.process.started import started, until

FixtureFile = Callable[[str], Path]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SPECIAL = [
    "",
    "[heap]",
    "[stack]",
    "[vdso]",
    "[vvar]",
    "[vsyscall]",
    "[anon:a name  with spaces]",
    "anon_inode:[perf]",
]
# The rows as Linux 6 writes them, in its order, and those that are summed.
_ROWS = (
    *("Size", "KernelPageSize", "MMUPageSize", "Rss", "Pss", "Pss_Dirty", "Shared_Clean", "Shared_Dirty"),
    *("Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "KSM", "LazyFree", "AnonHugePages"),
    *("ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss", "Locked"),
)
_SUMMED = ("Rss", "Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Anonymous", "Swap")


def _head(mapping: Mapping) -> bytes:
    """The line of a mapping as Linux fs/proc/task_mmu.c (show_vma_header_prefix, show_map_vma) writes it."""
    flags = zip((mapping.readable, mapping.writable, mapping.executable), "rwx", strict=True)
    letters = "".join(letter if on else "-" for on, letter in flags) + "ps"[mapping.shared]
    device, inode = mapping.identity
    numbers = f"{os.major(device):02x}:{os.minor(device):02x} {inode} "
    line = f"{mapping.start:08x}-{mapping.end:08x} {letters} {mapping.offset:08x} {numbers}".encode()
    name = os.fsencode(mapping.name).replace(b"\n", b"\\012")
    return (line.ljust(73) + name if name else line) + b"\n"


def _block(mapping: Mapping, values: dict[str, int]) -> bytes:
    """The same with what smaps writes below it."""
    rows = b"".join(f"{row + ':':<16}{values.get(row, 0):8d} kB\n".encode() for row in _ROWS)
    return _head(mapping) + rows + b"THPeligible:           0\nVmFlags: rd ex mr mw me sd \n"


_letters = st.characters(codec="utf-8", exclude_characters="\0/")
_component = st.one_of(
    st.text(_letters, min_size=1, max_size=20),
    st.binary(min_size=1, max_size=12).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"?").replace(b"/", b"?"))),
    st.sampled_from(["x (deleted)", " two  spaces ", "00:00 0", "7f00-7f10 r-xp 0 00:00 1 /x", "Rss: 4 kB", "\t\r\v"]),
)
_path = st.lists(_component, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts))
_names = st.one_of(_path, st.sampled_from(_SPECIAL), _path.map(lambda path: path + " (deleted)"))


@st.composite
def _mappings(draw: st.DrawFn) -> list[Mapping]:
    made = []
    address = draw(st.integers(0, 1 << 20)) * _PAGE
    for _ in range(draw(st.integers(0, 8))):
        start = address + draw(st.integers(0, 1 << 34)) * _PAGE
        address = start + draw(st.integers(1, 1 << 22)) * _PAGE
        name = draw(_names)
        identity = (0, 0)
        if name.startswith(("/", "anon_inode")):
            device = os.makedev(draw(st.integers(0, 4095)), draw(st.integers(0, (1 << 20) - 1)))
            identity = device, draw(st.integers(1, (1 << 64) - 1))
        r, w, x, shared = draw(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()))
        made.append(Mapping(start, address, r, w, x, shared, draw(st.integers(0, 1 << 40)) * _PAGE, identity, name))
    return made


def _as_read(made: Iterable[Mapping]) -> list[Mapping]:
    """A real `\\012` in a name cannot be told from a newline."""
    return [msgspec.structs.replace(mapping, name=mapping.name.replace("\\012", "\n")) for mapping in made]


@given(_mappings())
def test_maps_as_the_kernel_writes_it_is_read_back(made: list[Mapping]) -> None:
    assert parse(b"".join(map(_head, made))) == _as_read(made)


@settings(max_examples=50)
@given(_mappings(), st.data())
def test_smaps_as_the_kernel_writes_it_is_read_back(made: list[Mapping], data: st.DataObject) -> None:
    kib = st.integers(0, 1 << 40)
    values = [data.draw(st.fixed_dictionaries(dict.fromkeys(_SUMMED, kib))) for _ in made]
    text = b"".join(_block(mapping, costs) for mapping, costs in zip(made, values, strict=True))
    found = list(_costs(text))
    assert [mapping for mapping, _ in found] == _as_read(made)
    assert [cost for _, cost in found] == [Cost(*[costs[row] * 1024 for row in _SUMMED]) for costs in values]
    assert parse(text) == _as_read(made)


@given(st.one_of(st.binary(max_size=400), st.text(string.hexdigits + "-rwxps :\n\\kBRs", max_size=400).map(str.encode)))
@example(b"1-2 r-xp 0 0:0 1 /x\nRss: kB\nPss:\n")
@example(b"\n\n\n")
@example(b"1-2 r-xp 0 0:0 1 /x\nRss:                zz kB\n" * 9)
def test_garbage_is_read_to_its_end(text: bytes) -> None:
    for mapping in (*parse(text), *(mapping for mapping, _ in _costs(text))):
        assert mapping.name is not None


@settings(max_examples=50)
@given(_mappings(), st.data())
def test_text_that_breaks_off_gives_the_whole_lines_before(made: list[Mapping], data: st.DataObject) -> None:
    text = b"".join(_block(mapping, {}) for mapping in made)
    cut = text[: data.draw(st.integers(0, len(text)))]
    whole = sum(1 for end in range(len(made)) if len(b"".join(_block(m, {}) for m in made[: end + 1])) <= len(cut))
    found = [mapping for mapping, _ in _costs(cut)]
    assert found[:whole] == _as_read(made[:whole])


def test_of_every_process_the_mappings_are_those_that_psutil_lists() -> None:
    """psutil has code of its own for smaps."""
    compared = 0
    for pid in procfs.pids():
        try:
            maps, mine = procfs.read(pid, "maps"), read_smaps(pid)
            listed = psutil.Process(pid).memory_maps(grouped=False)
            if pid == os.getpid() or not maps or read_smaps(pid) != mine:
                continue
        except (psutil.Error, OSError, ProcessUnreadable):
            continue
        assert [f"{m.start:08x}-{m.end:08x}" for m, _ in mine] == [row.addr for row in listed]
        assert [cost.rss for _, cost in mine] == [row.rss for row in listed]
        assert parse(maps) == [mapping for mapping, _ in mine]
        compared += 1
    assert compared


def test_the_costs_of_a_process_add_up_to_the_kernels_own_sum(fixture_file: FixtureFile) -> None:
    """smaps_rollup; its PSS is rounded once, that of smaps in each mapping (less than 1 KiB)."""
    with started([fixture_file("process/states"), "sleeping"]) as program:
        program.expect("ready")
        costs = [cost for _, cost in read_smaps(program.pid)]
        rows = [line.split() for line in procfs.read(program.pid, "smaps_rollup").splitlines()[1:]]
    kernel = {os.fsdecode(row[0]).rstrip(":"): int(row[1]) * 1024 for row in rows}
    total = Cost()
    for cost in costs:
        total = total.plus(cost)
    summed = dict(zip(_SUMMED, (getattr(total, row.lower()) for row in _SUMMED), strict=True))
    assert 0 <= kernel.pop("Pss") - summed.pop("Pss") < 1024 * len(costs)
    assert {row: kernel[row] for row in summed} == summed
    assert summed["Rss"] == sum(summed[row] for row in _SUMMED if "_" in row)


def test_tens_of_thousands_of_mappings_are_read(fixture_file: FixtureFile) -> None:
    count = 60_000
    with started([fixture_file("process/many-maps"), str(count)]) as program:
        program.expect("ready")
        found = read_maps(program.pid)
        assert len(found) >= count
        assert all(one.end <= other.start for one, other in itertools.pairwise(found))
        assert [mapping for mapping, _ in read_smaps(program.pid)] == found


def test_a_zombie_and_a_kernel_thread_have_no_mappings() -> None:
    with started(["sh", "-c", "sleep 0 & echo $!; exec sleep 600"]) as parent:
        dead = int(parent.expect(""))
        until(lambda: procfs.stat(dead).state == "zombie", "the child is dead")
        assert read_maps(dead) == []
        assert read_smaps(dead) == []


def test_the_mark_of_a_deleted_file_is_taken_away_once() -> None:
    assert without_mark("/x (deleted)") == "/x"
    assert without_mark("/x (deleted) (deleted)") == "/x (deleted)"
    assert without_mark("/x") == "/x"
