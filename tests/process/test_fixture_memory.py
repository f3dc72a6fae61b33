"""What the processes that tests look at have mapped is what their names say: the kernel, pldd and readelf judge."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.process.started import VARIANTS, Started, children, started, variants

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]


class Row(NamedTuple):
    """A line of /proc/PID/maps."""

    start: int
    end: int
    permissions: str
    offset: int
    inode: int
    path: str


def _rows(pid: int) -> list[Row]:
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, permissions, offset, _, inode, *path = line.split(maxsplit=5)
        start, end = span.split("-")
        found.append(Row(int(start, 16), int(end, 16), permissions, int(offset, 16), int(inode), "".join(path)))
    return found


def _row_at(pid: int, address: int) -> Row:
    return next(row for row in _rows(pid) if row.start <= address < row.end)


def _differing_pages(pid: int, row: Row) -> set[int]:
    """The pages of a mapping whose bytes in memory are not those of the file, by address."""
    with open(f"/proc/{pid}/mem", "rb") as memory, open(row.path, "rb") as file:
        memory.seek(row.start)
        file.seek(row.offset)
        pages = [(page, memory.read(4096), file.read(4096)) for page in range(row.start, row.end, 4096)]
    # The last page of a file is filled up with zeros.
    return {page for page, loaded, stored in pages if loaded != stored.ljust(4096, b"\0")}


def _anonymous_pages(pid: int, address: int) -> dict[str, int]:
    """The bytes that smaps counts for the mapping at that address, by field."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    entry = text[re.search(rf"^0*{address:x}-", text, re.MULTILINE).start() :]  # type: ignore[union-attr]
    fields = re.findall(r"^(\w+): +(\d+) kB$", entry.partition("\nVmFlags")[0], re.MULTILINE)
    return {name: int(size) << 10 for name, size in fields}


@pytest.mark.parametrize("name", variants("cow"))
def test_what_the_child_has_not_written_is_shared_with_its_parent(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(f"process/{name}"), "-m", "8", "-w", "2"]) as program:
        address = program.number("memory")
        shared, touched = program.number("shared"), program.number("touched")
        program.expect("ready")
        assert (shared, touched) == (6 << 20, 2 << 20)
        (child,) = children(program.pid)
        for pid in (program.pid, child):
            memory = _anonymous_pages(pid, address)
            assert memory["Shared_Dirty"] + memory["Shared_Clean"] == shared
            assert memory["Private_Dirty"] == touched


# --- Libraries that come late -----------------------------------------------------------------------------------------


def _pldd(tool: str, pid: int) -> list[str]:
    """The names of a process's base namespace but the program's own, as pldd (glibc) reads them out of its memory."""
    return subprocess.run([tool, str(pid)], capture_output=True, text=True, check=True).stdout.splitlines()[1:]


@pytest.mark.parametrize("plugin", ["plain", "needy", "opener", "declares"])
def test_the_dlopen_host_tells_the_link_map_that_pldd_reads(
    fixture_file: FixtureFile, require_tool: RequireTool, plugin: str
) -> None:
    library = fixture_file(f"process/plugins/lib{plugin}.so")
    with started([fixture_file("process/dlopen"), library]) as host:
        host.expect(f"opened {library}")
        host.expect("ready")
        maps = host.values("map")
        assert maps[1:] == _pldd(require_tool("pldd"), host.pid)
    assert maps[0] == ""
    assert str(library) in maps


# plugin: what comes along with it
COMPANY = {"plain": None, "needy": "needed", "opener": "late", "declares": "declared"}


@pytest.mark.parametrize("variant", ["", "-musl", "-static"])
@pytest.mark.parametrize("plugin", COMPANY)
def test_plugins_bring_their_company(fixture_file: FixtureFile, plugin: str, variant: str) -> None:
    folder = fixture_file(f"process/plugins{'-musl' if variant == '-musl' else ''}/libplain.so").parent
    with started([fixture_file(f"process/dlopen{variant}"), folder / f"lib{plugin}.so"]) as host:
        host.expect("ready")
        mapped = Path(f"/proc/{host.pid}/maps").read_text()
    company = COMPANY[plugin]
    present = {name for name in COMPANY.values() if name and f"{folder}/lib{name}.so" in mapped}
    assert present == ({company} if company else set())


def test_a_library_can_be_opened_and_closed_while_it_runs(fixture_file: FixtureFile) -> None:
    library = fixture_file("process/plugins/libplain.so")
    with started([fixture_file("process/dlopen")]) as host:
        host.expect("ready")
        host.ask(f"open {library}", "ready")
        assert str(library) in {row.path for row in _rows(host.pid)}
        host.ask(f"close {library}", "ready")
        assert str(library) not in {row.path for row in _rows(host.pid)}


def test_a_library_of_another_namespace_is_not_in_the_base_one(
    fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    library = str(fixture_file("process/plugins/libneedy.so"))
    with started([fixture_file("process/dlopen"), "-n", library]) as host:
        host.expect("ready")
        assert library not in _pldd(require_tool("pldd"), host.pid)
        assert library not in host.values("map")
        others = host.values("other")
    assert [name.split(" ", 1)[1] for name in others][:2] == [library, library.replace("needy", "needed")]


def test_a_library_can_be_opened_from_a_memfd(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/dlopen"), "-m", fixture_file("process/plugins/libplain.so")]) as host:
        host.expect("ready")
        assert "/memfd:library (deleted)" in Path(f"/proc/{host.pid}/maps").read_text()
        assert any(name.startswith("/proc/self/fd/") for name in host.values("map"))


# --- A library that goes away -----------------------------------------------------------------------------------------


def _holder(fixture_file: FixtureFile, folder: Path, variant: str = "") -> list[Path]:
    """A copy of the holder and its libraries that a test may spoil; the program to start."""
    for name in (f"holder{variant}", "libheld.so", "libheld-new.so", "libheld-words.so"):
        shutil.copy(fixture_file(f"process/{name}"), folder / name)
    return [folder / f"holder{variant}"]


def _mapped(holder: Started, folder: Path) -> set[tuple[str, int]]:
    """Name and inode of each library of this folder that it has mapped."""
    return {(row.path, row.inode) for row in _rows(holder.pid) if row.path.startswith(f"{folder}/libheld")}


# command: what the kernel calls the mapped library then, whether the file of that name has the mapped inode
CHANGES = {
    "delete libheld.so": ("libheld.so (deleted)", None),
    "replace libheld.so libheld-new.so": ("libheld.so (deleted)", False),
    "overwrite libheld.so libheld-new.so": ("libheld.so", True),
    "rename libheld.so libheld-1.so": ("libheld-1.so", None),
    "link libheld.so libheld-1.so": ("libheld.so", True),
    "touch libheld.so": ("libheld.so", True),
    "rename\tlibheld.so\tlibheld 1.so": ("libheld 1.so", None),
}


@pytest.mark.parametrize("variant", ["", "-musl"])
@pytest.mark.parametrize("command", CHANGES)
def test_the_holder_does_to_its_library_what_it_is_told(
    fixture_file: FixtureFile, tmp_path: Path, command: str, variant: str
) -> None:
    library = tmp_path / "libheld.so"
    with started(_holder(fixture_file, tmp_path, variant), cwd=tmp_path) as holder:
        assert holder.expect("word ") == "word held"
        holder.expect("ready")
        inode = library.stat().st_ino
        holder.ask(command)
        name, same = CHANGES[command]
        assert _mapped(holder, tmp_path) == {(f"{tmp_path}/{name}", inode)}
        assert (library.stat().st_ino == inode if library.exists() else None) is same
        holder.send("quit")
        assert holder.process.wait(30) == 0


def test_the_holder_says_what_it_could_not_do(fixture_file: FixtureFile, tmp_path: Path) -> None:
    with started(_holder(fixture_file, tmp_path), cwd=tmp_path) as holder:
        assert holder.ask("delete libgone.so", "failed") == "failed No such file or directory"
        assert holder.ask("nonsense", "failed") == "failed Invalid argument"


def _readelf(*arguments: str | Path) -> str:
    return subprocess.run(["readelf", *arguments], capture_output=True, text=True, check=True).stdout


def test_the_held_library_comes_in_another_layout_and_in_the_same(fixture_file: FixtureFile) -> None:
    old, new, words = (fixture_file(f"process/libheld{suffix}.so") for suffix in ("", "-new", "-words"))
    headers, relocations = ([_readelf(option, path) for path in (old, new, words)] for option in ("-lW", "-rW"))
    assert len({re.findall(r"Build ID: (\w+)", _readelf("-nW", path))[0] for path in (old, new, words)}) == 3
    assert all("[libheld.so]" in _readelf("-dW", path) for path in (old, new, words))
    for facts in (headers, relocations):
        assert facts[0] == facts[2]
        assert facts[0] != facts[1]
    assert int(re.findall(r"contains (\d+) entries", relocations[0])[0]) > 512


# --- Memory that is not what the file says ----------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("what", ["text", "library"])
def test_one_page_of_a_hooked_programs_code_differs_from_the_file(
    fixture_file: FixtureFile, what: str, variant: str
) -> None:
    program = fixture_file(f"process/hooked{variant}")
    with started([program, what]) as hooked:
        pid, address = hooked.number("pid"), hooked.number("address")
        assert hooked.number("answers") == 2
        hooked.expect("ready")
        row = _row_at(pid, address)
        assert row.permissions == "r-xp"
        assert (row.path == str(program)) == (what == "text" or "static" in variant)
        assert _differing_pages(pid, row) == {address & -4096}
        assert not [row for row in _rows(pid) if row.permissions.startswith("rwx")]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("what", "permissions"), [("anon", "r-xp"), ("wx", "rwxp")])
def test_executable_memory_belongs_to_no_file(
    fixture_file: FixtureFile, what: str, permissions: str, variant: str
) -> None:
    with started([fixture_file(f"process/hooked{variant}"), what]) as hooked:
        pid, address = hooked.number("pid"), hooked.number("address")
        assert hooked.number("answers") == 2
        hooked.expect("ready")
        row = _row_at(pid, address)
    assert (row.permissions, row.path) == (permissions, "")


def test_only_the_loader_has_written_to_the_code_with_text_relocations(fixture_file: FixtureFile) -> None:
    program = fixture_file("process/textrel")
    assert "TEXTREL" in _readelf("-dW", program)
    with started([program]) as running:
        pid, address = running.number("pid"), running.number("address")
        assert running.number("relocated") == 1
        running.expect("ready")
        row = _row_at(pid, address)
        assert (row.permissions, row.path) == ("r-xp", str(program))
        assert _differing_pages(pid, row) == {address & -4096}


@pytest.mark.parametrize("name", variants("scrubbed"))
def test_a_title_stands_where_arguments_and_environment_were(fixture_file: FixtureFile, name: str) -> None:
    title = "nginx: worker process"
    with started([fixture_file(f"process/{name}"), title]) as program:
        program.expect("ready")
        cmdline, environ = (Path(f"/proc/{program.pid}/{file}").read_bytes() for file in ("cmdline", "environ"))
    assert cmdline.rstrip(b"\0").decode() == title
    assert environ.strip(b"\0") == b""


@pytest.mark.parametrize("name", variants("memfd"))
def test_a_program_runs_from_a_memfd_as_the_same_process(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(f"process/{name}"), fixture_file("process/states"), "sleeping"]) as program:
        assert program.number("pid") == program.pid
        assert os.readlink(f"/proc/{program.pid}/exe") == "/memfd:program (deleted)"


@pytest.mark.parametrize("name", variants("many-maps"))
def test_there_are_as_many_mappings_as_asked_for(fixture_file: FixtureFile, name: str) -> None:
    with started([fixture_file(f"process/{name}"), "20000"]) as program:
        assert program.number("maps") == 20_000
        program.expect("ready")
        assert 20_000 <= len(_rows(program.pid)) < 20_050


def test_the_wide_program_has_its_two_hundred_libraries(fixture_file: FixtureFile) -> None:
    program = fixture_file("process/wide/wide")
    with started([program]) as wide:
        wide.expect("ready")
        mapped = {row.path for row in _rows(wide.pid) if "x" in row.permissions}
    assert {f"{program.parent}/libwide{n:03}.so" for n in range(1, 201)} < mapped
