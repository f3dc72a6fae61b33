"""Code in memory against the file: the fixture tells what it has patched, and a whole comparison is the other judge."""

import contextlib
import itertools
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.elf import constants as c
from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError
from linkscope.process import procfs
from linkscope.process.mappings import Cost, Mapping, read_smaps
from linkscope.process.verify_text import Modified, TextCheck, modified_text
from tests.oracle.availability import Unavailable
from tests.process.inside import PAGE, Pages, everybody, file_of
from tests.process.started import Started, is_started_by_a_test, started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]
Pair = tuple[Mapping, Cost]


@contextlib.contextmanager
def _mapped_file(pid: int, mapping: Mapping) -> Iterator[tuple[Image, Reader]]:
    with open_reader(file_of(pid, mapping), mapping.name) as reader:
        yield read_image(reader), reader


def _objects(pid: int) -> list[list[Pair]]:
    """The mappings of each file with code."""
    groups: dict[tuple[int, int], list[Pair]] = {}
    for mapping, cost in read_smaps(pid):
        if mapping.is_file:
            groups.setdefault(mapping.identity, []).append((mapping, cost))
    return [pairs for pairs in groups.values() if any(mapping.executable for mapping, _ in pairs)]


def _checked(pid: int, pairs: list[Pair]) -> TextCheck:
    code = next(mapping for mapping, _ in pairs if mapping.executable)
    with procfs.Memory(pid) as memory, _mapped_file(pid, code) as (image, reader):
        return modified_text(pid, memory, pairs, image, reader)


def _all_modified(pid: int) -> list[tuple[str, Modified]]:
    """Every change in a process, with the file that it is a change of."""
    found = []
    for pairs in _objects(pid):
        check = _checked(pid, pairs)
        assert check.unreadable == ()
        assert check.total == len(check.modified)
        found += [(pairs[0][0].name, modified) for modified in check.modified]
    return found


def _bytes(pid: int, address: int, size: int) -> bytes:
    with procfs.Memory(pid) as memory:
        data = memory.read(address, size)
    assert data is not None
    return data


# --- Patched functions ------------------------------------------------------------------------------------------------

VARIANTS = ("", "-static", "-musl", "-musl-static")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("what", ["text", "library"])
def test_a_patched_function_is_found_where_the_program_patched_it(
    fixture_file: FixtureFile, what: str, variant: str
) -> None:
    path = fixture_file(f"process/hooked{variant}")
    with started([path, what]) as program:
        address = program.number("address")
        program.expect("ready")
        ((name, modified), *others) = _all_modified(program.pid)
        assert others == []
        assert address <= modified.address < address + 16
        assert modified.address + modified.size <= address + 16
        assert modified.after == _bytes(program.pid, modified.address, modified.size)
        assert modified.before == Path(name).read_bytes()[modified.offset :][: modified.size]
    if what == "text" or "static" in variant:
        assert name == os.fspath(path)
    else:
        assert "libc" in name
    assert modified.symbol == ("one" if what == "text" else "lcong48")
    assert modified.address - modified.into == address


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_twin_that_patched_nothing_is_clean(fixture_file: FixtureFile, variant: str) -> None:
    with started([fixture_file(f"process/hooked{variant}"), "anon"]) as program:
        program.expect("ready")
        assert _all_modified(program.pid) == []


PATCH = """
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((noipa, aligned(4096))) int victim(void) { return 1; }
__attribute__((noipa, aligned(4096))) int behind(void) { return 2; }
int main(void)
{
    alarm(600);
    mprotect((void *)victim, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    {patch}
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
"""


def _patched(require_tool: RequireTool, folder: Path, patch: str) -> Path:
    source, made = folder / "patched.c", folder / "patched"
    source.write_text(PATCH.replace("{patch}", patch))
    subprocess.run([require_tool("gcc"), "-O1", source, "-o", made], check=True)
    return made


PATCHES = {
    "jump": ("((char *)victim)[0] = 0xe9; *(int *)((char *)victim + 1) = 42;", 0, 5, "a jump"),
    "by-a-pointer": ('memcpy((char *)victim, "\\\\xff\\\\x25\\\\1\\\\2\\\\3\\\\4", 6);', 0, 6, "a jump"),
    "a-byte": ("((char *)victim)[1] ^= 0x10;", 1, 1, "other code"),
    "over-a-page": ("memset((char *)victim + 4090, 0x5a, 12);", 4090, 12, "other code"),
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_code_that_was_left_writable_is_compared_too(
    require_tool: RequireTool, tmp_path: Path, patch: tuple[str, int, int, str]
) -> None:
    """The file says that it is not to be written to."""
    text, into, size, what = patch
    with started([_patched(require_tool, tmp_path, text.replace("\\\\", "\\"))]) as program:
        program.expect("ready")
        ((_, modified),) = _all_modified(program.pid)
    assert (modified.into, modified.what) == (into, what)
    assert modified.size <= size
    assert modified.symbol == "victim"


def test_many_changes_are_counted_and_some_are_told(require_tool: RequireTool, tmp_path: Path) -> None:
    patch = "for (int i = 0; i < 8192; i += 64) ((char *)victim)[i] ^= 1;"
    path = _patched(require_tool, tmp_path, patch)
    with started([path]) as program:
        program.expect("ready")
        pairs = next(pairs for pairs in _objects(program.pid) if pairs[0][0].name == os.fspath(path))
        check = _checked(program.pid, pairs)
    assert (check.total, check.pages, len(check.modified)) == (128, 2, 64)
    assert [modified.size for modified in check.modified] == [1] * 64


def test_a_page_that_was_written_to_and_is_the_same_is_no_change(require_tool: RequireTool, tmp_path: Path) -> None:
    patch = "volatile char *at = (char *)victim; *at = *at;"
    with started([_patched(require_tool, tmp_path, patch)]) as program:
        program.expect("ready")
        assert any(m.executable and cost.anonymous for m, cost in read_smaps(program.pid) if m.is_file)
        assert _all_modified(program.pid) == []


# --- What others may do to code ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["process/textrel", "process/plugins/libtextrel.so"])
def test_text_relocations_are_no_change(fixture_file: FixtureFile, name: str) -> None:
    path = fixture_file(name)
    with started([path] if path.suffix != ".so" else [fixture_file("process/dlopen"), path]) as program:
        program.expect("ready")
        pairs = next(pairs for pairs in _objects(program.pid) if pairs[0][0].name == os.fspath(path))
        assert any(_naively_different(program.pid, mapping) for mapping, _ in pairs if mapping.executable)
        assert _all_modified(program.pid) == []


@contextlib.contextmanager
def _attached(require_tool: RequireTool, program: Started, *commands: str) -> Iterator[None]:
    """gdb on a process, until the block ends."""
    orders = ["set breakpoint always-inserted on", *commands, "echo ready\\n"]
    arguments = [word for order in orders for word in ("-ex", order)]
    with started([require_tool("gdb"), "-nx", "-q", "-p", str(program.pid), *arguments]) as debugger:
        debugger.expect("ready")
        yield


def test_a_breakpoint_is_told_with_the_debugger(require_tool: RequireTool, fixture_file: FixtureFile) -> None:
    path = fixture_file("process/states")
    with started([path, "sleeping"]) as program:
        program.expect("ready")
        with _attached(require_tool, program, "break *main"):
            found = _all_modified(program.pid)
            tracer = procfs.ids(program.pid).tracer
    assert ("main", 0, b"\xcc") in [(one.symbol, one.into, one.after) for name, one in found if name == os.fspath(path)]
    assert {one.what for _, one in found} == {f"a breakpoint, set by gdb ({tracer})"}  # gdb has some in the loader too


def test_a_breakpoint_without_a_debugger_is_told(require_tool: RequireTool, tmp_path: Path) -> None:
    with started([_patched(require_tool, tmp_path, "((char *)victim)[0] = 0xcc;")]) as program:
        program.expect("ready")
        ((_, modified),) = _all_modified(program.pid)
    assert modified.what.startswith("a breakpoint, and nobody traces the process")


# --- Against a whole comparison ---------------------------------------------------------------------------------------


def _naively_different(pid: int, mapping: Mapping) -> bool:
    """Whether a mapping differs from its file anywhere, every byte compared."""
    with open(file_of(pid, mapping), "rb") as file, procfs.Memory(pid) as memory:
        file.seek(mapping.offset)
        expected = file.read(mapping.size)
        found = memory.read(mapping.start, len(expected))
        if found is None:
            raise Unavailable("the process has ended meanwhile")
        return found != expected


def test_mappings_without_anonymous_pages_do_not_differ_and_all_processes_are_clean() -> None:
    """A debugger or a tool that patches code would show here; those of other tests, which run beside, are left out."""
    left = 300 << 20
    programs: set[tuple[str, str]] = set()
    for pid in (one for one in everybody() if not is_started_by_a_test(one)):
        try:
            for pairs in _objects(pid):
                key = (procfs.link(pid, "exe"), pairs[0][0].name)
                if key in programs:
                    continue
                programs.add(key)
                with contextlib.suppress(LinkScopeError):  # a file with code that is no ELF file
                    assert _checked(pid, pairs) == TextCheck()
                for mapping, cost in pairs:
                    if mapping.executable and not cost.anonymous and left > 0:
                        left -= mapping.size
                        assert not _naively_different(pid, mapping), f"{pid} {mapping}"
        except (LinkScopeError, OSError, Unavailable):
            continue  # it has ended meanwhile
    assert programs


# --- What cannot be read, and hostile files ---------------------------------------------------------------------------

BASE = 0x10000


def _file(folder: Path, text: bytes, *, filesz: int, memsz: int, flags: int = 5, tags: bytes = b"") -> Path:
    """A shared library of one page of headers and these bytes, all of it one executable segment."""
    count = 2 if tags else 1
    fields = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    header = b"\x7fELF\2\1\1" + bytes(9) + fields
    load = struct.pack("<IIQQQQQQ", c.PT_LOAD, flags, 0, 0, 0, filesz, memsz, PAGE)
    dynamic = struct.pack("<IIQQQQQQ", c.PT_DYNAMIC, 4, 256, 256, 0, 256, 256, 8)
    path = folder / "made"
    path.write_bytes((header + load + dynamic).ljust(256, b"\0") + tags.ljust(PAGE - 256, b"\0") + text)
    return path


def _pair(size: int, **changes: bool) -> Pair:
    flags = {"readable": True, "writable": False, "executable": True, "shared": False, **changes}
    return Mapping(start=BASE, end=BASE + size, offset=0, identity=(1, 1), name="made", **flags), Cost(anonymous=PAGE)


def _ask(path: Path, memory: dict[int, bytes], pair: Pair) -> TextCheck:
    with open_reader(os.fspath(path)) as reader:
        return modified_text(os.getpid(), Pages(memory), [pair], read_image(reader), reader)


def test_pages_behind_the_end_of_the_file_are_left_out(tmp_path: Path) -> None:
    """They cannot be read: mmap(2), SIGBUS."""
    path = _file(tmp_path, b"x" * 100, filesz=4 * PAGE, memsz=4 * PAGE)
    data = path.read_bytes()
    assert _ask(path, {BASE: data.ljust(2 * PAGE, b"\0")}, _pair(4 * PAGE)) == TextCheck()


def test_what_the_loader_clears_behind_the_file_bytes_is_left_out(tmp_path: Path) -> None:
    """Linux fs/binfmt_elf.c, padzero; glibc elf/dl-map-segments.h: the rest of the page is the object's own."""
    path = _file(tmp_path, b"x" * PAGE, filesz=PAGE + 100, memsz=3 * PAGE)
    cleared = path.read_bytes()[: PAGE + 100].ljust(2 * PAGE, b"\0")
    assert _ask(path, {BASE: cleared}, _pair(2 * PAGE)) == TextCheck()


def test_code_hidden_behind_the_code_is_found(tmp_path: Path) -> None:
    """In the rest of the last page, which is mapped and executable as well."""
    path = _file(tmp_path, b"x" * PAGE, filesz=PAGE + 100, memsz=PAGE + 100)
    data = bytearray(path.read_bytes())
    data[PAGE + 200 : PAGE + 208] = b"\xe9hidden\0"
    (modified,) = _ask(path, {BASE: bytes(data)}, _pair(2 * PAGE)).modified
    assert (modified.offset, modified.size, modified.before) == (PAGE + 200, 8, b"x" * 8)


def test_code_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = _file(tmp_path, b"x" * PAGE, filesz=2 * PAGE, memsz=2 * PAGE)
    check = _ask(path, {BASE: path.read_bytes()[:PAGE]}, _pair(2 * PAGE))
    assert check == TextCheck(unreadable=("some of its code cannot be read in memory",))


def test_relocations_that_lead_out_of_the_file_are_told(tmp_path: Path) -> None:
    tags = struct.pack("<8Q", c.DT_RELA, 1 << 40, c.DT_RELASZ, 240, 9, 24, 0, 0)
    path = _file(tmp_path, b"x" * PAGE, filesz=2 * PAGE, memsz=2 * PAGE, tags=tags)
    check = _ask(path, {BASE: bytes(2 * PAGE)}, _pair(2 * PAGE))
    assert check.modified == ()
    assert "no PT_LOAD segment holds" in check.unreadable[0]


NOT_COMPARED: dict[str, dict[str, bool]] = {
    "data": {"executable": False},
    "shared": {"shared": True},
}


@pytest.mark.parametrize("changes", NOT_COMPARED.values(), ids=NOT_COMPARED)
def test_what_is_no_private_code_is_not_compared(tmp_path: Path, changes: dict[str, bool]) -> None:
    path = _file(tmp_path, b"x" * PAGE, filesz=2 * PAGE, memsz=2 * PAGE)
    assert _ask(path, {}, _pair(2 * PAGE, **changes)) == TextCheck()


def test_code_in_a_segment_that_is_written_to_anyway_is_not_compared(tmp_path: Path) -> None:
    path = _file(tmp_path, b"x" * PAGE, filesz=2 * PAGE, memsz=2 * PAGE, flags=7)
    assert _ask(path, {BASE: bytes(2 * PAGE)}, _pair(2 * PAGE, writable=True)) == TextCheck()


def test_pages_that_are_swapped_out_are_compared(tmp_path: Path) -> None:
    path = _file(tmp_path, b"x" * PAGE, filesz=2 * PAGE, memsz=2 * PAGE)
    mapping, _ = _pair(2 * PAGE)
    changed = path.read_bytes()[:-1] + b"y"
    assert _ask(path, {BASE: changed}, (mapping, Cost(swap=PAGE))).total == 1
    assert _ask(path, {BASE: changed}, (mapping, Cost())).total == 0


@pytest.fixture(scope="module")
def two_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _file(tmp_path_factory.mktemp("file"), bytes(range(256)) * 16, filesz=2 * PAGE, memsz=2 * PAGE)


@given(st.dictionaries(st.integers(512, 2 * PAGE - 1), st.integers(1, 255), max_size=40))
def test_the_changed_bytes_lie_in_the_ranges_that_are_told(two_pages: Path, changes: dict[int, int]) -> None:
    """And every range begins and ends with one; between two ranges at least sixteen bytes are the same."""
    data = bytearray(two_pages.read_bytes())
    for place, value in changes.items():
        data[place] ^= value
    check = _ask(two_pages, {BASE: bytes(data)}, _pair(2 * PAGE))
    covered = [(m.offset, m.offset + m.size) for m in check.modified]
    assert check.total == len(covered)
    assert all(any(start <= place < end for start, end in covered) for place in changes)
    assert all(start in changes and end - 1 in changes for start, end in covered)
    assert all(later[0] - earlier[1] >= 16 for earlier, later in itertools.pairwise(covered))
    assert check.pages == len({place // PAGE for place in changes})
