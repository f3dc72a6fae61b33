"""What `compare` says of one program from its file: stat, readelf, the loader's own list and a linker map judge it."""

import os
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.circumstances import environment_for, place, system_for
from linkscope.analysis.comparing.program import program
from linkscope.analysis.inspect import Run
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.targets import targets
from linkscope.contents.installed import Installed
from linkscope.errors import LinkScopeError
from linkscope.model.compare import Program
from tests.contents.linkermaps import linked_archives
from tests.contents.samples import linked
from tests.elf.samples import FixtureFile, RequireTool, tool
from tests.oracle.availability import Unavailable
from tests.oracle.upx import packed

HELLO = (
    "dynamic-pie",
    "dynamic-nonpie",
    "static",
    "static-pie",
    "musl-dynamic-pie",
    "musl-static",
    "cpp",
    "rust",
    "go",
)


def compared(*paths: Path, root: str = "/") -> list[Program]:
    """Each of PATHS as `compare` has it."""
    assumptions = Assumptions(clean_env=True, root=root)
    system = system_for(assumptions)
    run = Run(system, environment_for(assumptions, system, {}), Depth(contents=True))
    installed = Installed(system.root)
    return [program(run, run.examined(place(os.fspath(path), system)), installed) for path in paths]


@pytest.fixture(scope="module")
def hello(fixture_file: FixtureFile) -> dict[str, Program]:
    """The hello program in every linkage."""
    paths = [fixture_file(f"hello/hello-{how}") for how in HELLO]
    return dict(zip(HELLO, compared(*paths), strict=True))


def _sizes(one: Program) -> dict[tuple[str, str | None], int]:
    return {(part.kind, part.name): part.size for part in one.parts}


def test_the_parts_are_the_whole_file(hello: dict[str, Program]) -> None:
    for one in hello.values():
        assert one.size == os.stat(one.path).st_size == sum(part.size for part in one.parts)
        assert min(part.size for part in one.parts) > 0
        assert len(_sizes(one)) == len(one.parts)


def test_the_files_are_those_that_the_loader_lists(hello: dict[str, Program]) -> None:
    for how in ("dynamic-pie", "dynamic-nonpie", "cpp", "rust"):
        listed = {word for word in tool("ldd", hello[how].path).split() if word.startswith("/")}
        assert {file.path for file in hello[how].files} == listed
    for how in ("static", "static-pie", "musl-static", "go"):
        assert (hello[how].files, hello[how].libraries) == ([], 0)
    for one in hello.values():
        assert one.libraries == len(one.files)
        for file in one.files:
            assert file.size == os.stat(file.path).st_size
        assert one.mapped_size == one.memory_size + sum(file.mapped_size for file in one.files)


def test_each_file_has_the_package_that_dpkg_names(hello: dict[str, Program]) -> None:
    if shutil.which("dpkg-query") is None:
        raise Unavailable("dpkg-query is not here")
    for file in hello["cpp"].files:
        real = os.path.realpath(file.path)
        said = tool("dpkg-query", "-S", real) or tool("dpkg-query", "-S", real.removeprefix("/usr"))
        assert file.package == (said.partition(":")[0] or None), file.path


def test_a_shared_library_asks_for_a_restart_and_what_is_inside_for_a_rebuild(hello: dict[str, Program]) -> None:
    dynamic, static = hello["dynamic-pie"], hello["static"]
    assert {(one.library, one.how) for one in dynamic.updates} == {
        ("libc.so.6", "restart"),
        ("ld-linux-x86-64.so.2", "restart"),
    }
    assert [(one.path, one.package) for one in dynamic.updates] == [(one.path, one.package) for one in dynamic.files]
    assert all(one.how == "rebuild" and one.path is None for one in static.updates)
    assert "glibc" in {one.library for one in static.updates}
    assert {one.library for one in hello["musl-static"].updates} >= {"musl"}
    assert any(one.library.startswith("go:") for one in hello["go"].updates)


def test_the_kernel_is_the_one_that_readelf_has_of_the_note(hello: dict[str, Program]) -> None:
    for one in hello.values():
        said = re.search(r"OS: Linux, ABI: (\S+)", tool("readelf", "-n", one.path))
        assert one.needs_kernel == (said[1] if said else None), one.path
    assert hello["static"].needs_kernel is not None
    assert hello["musl-static"].needs_kernel is None


def test_the_relocations_at_start_are_all_but_those_that_wait(hello: dict[str, Program]) -> None:
    for one in hello.values():
        work = one.start_work
        assert one.relocations == work.relative + work.symbolic + work.indirect
    listed = tool("readelf", "-rW", hello["static"].path)
    assert hello["static"].relocations == len(re.findall(r"^[0-9a-f]{16} .*_IRELATIV", listed, re.MULTILINE))


def test_a_file_reaches_the_systems_that_targets_names(hello: dict[str, Program]) -> None:
    for how in ("dynamic-pie", "static", "musl-dynamic-pie"):
        document = targets([hello[how].path])
        systems = {row.name: row for row in document.targets if row.kind == "system" and "x86_64" in row.loader}
        said = [one for one in document.files[0].verdicts if one.target in systems]
        reach = hello[how].reach
        assert reach is not None
        assert (reach.systems, reach.starts, reach.doubtful) == (
            len(said),
            sum(one.starts is True for one in said),
            sum(one.starts is None for one in said),
        )
        oldest = document.files[0].oldest
        assert reach.oldest == {name: oldest[name] for name in {row.distribution for row in systems.values()}}
    assert hello["static"].reach is not None
    assert hello["static"].reach.starts == hello["static"].reach.systems


def test_the_code_of_libraries_is_as_much_as_the_linker_put_there(tmp_path: Path, require_tool: RequireTool) -> None:
    """Of every archive that is inside, within a tenth: what is not attributed counts as the program's own."""
    require_tool("/usr/include/zlib.h")
    source = "#include <zlib.h>\nint main(void) { z_stream s = {0}; return deflateInit(&s, 9) + inflateInit(&s); }\n"
    flags = ["-static", "-lz", f"-Wl,-Map={tmp_path / 'map'}"]
    path = linked(tmp_path / "program", source, flags)
    (one,) = compared(path)
    sizes, inside = _sizes(one), linked_archives(tmp_path / "map", path)
    for name, archive in (("zlib", "libz.a"), ("glibc", "libc.a")):
        assert sizes["library-code", name] == pytest.approx(inside[archive], rel=0.1)
    code = sum(size for (kind, _), size in sizes.items() if kind in ("own-code", "library-code"))
    rows = re.findall(r" \S+ +PROGBITS +\w+ \w+ (\w+) \w+ +\w*X\w* ", tool("readelf", "-SW", path))
    assert code == sum(int(size, 16) for size in rows)
    assert 0 < sizes["own-code", None] <= code - 0.9 * sum(inside.values())


def test_a_stripped_program_has_less_of_symbols_and_nothing_else(fixture_file: FixtureFile) -> None:
    whole, stripped = compared(fixture_file("hello/hello-static"), fixture_file("hello/hello-static-stripped"))
    kept, left = _sizes(whole), _sizes(stripped)
    assert ("symbols", None) in kept
    assert ("symbols", None) not in left
    for key in set(kept) - {("symbols", None), ("other", None)}:
        assert left[key] == kept[key]
    assert stripped.relocations == whole.relocations
    assert stripped.memory_size == whole.memory_size


def test_a_program_that_does_not_start_says_why_and_counts_what_there_is(fixture_file: FixtureFile) -> None:
    missing, without_loader = compared(
        fixture_file("needed/missing-library"), fixture_file("needed/missing-interpreter")
    )
    assert missing.problems
    assert missing.start_work.look_ups is not None
    assert (without_loader.files, without_loader.start_work.look_ups) == ([], None)
    assert without_loader.problems


def test_another_machine_s_program_is_compared_without_its_libraries(fixture_file: FixtureFile) -> None:
    (one,) = compared(fixture_file("hello/hello-arm64"))
    assert one.size == sum(part.size for part in one.parts)
    assert one.reach is not None
    assert one.reach.systems > 5


def test_what_is_packed_has_no_library_s_code_among_its_bytes(tmp_path: Path, fixture_file: FixtureFile) -> None:
    whole = fixture_file("hello/hello-static")
    small = packed(whole, tmp_path / "packed", "-1")
    before, after = compared(whole, small)
    assert any(part.kind == "library-code" for part in before.parts)
    assert not any(part.kind == "library-code" for part in after.parts)
    assert after.size == small.stat().st_size == sum(part.size for part in after.parts)


def test_a_text_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program\n")
    with pytest.raises(LinkScopeError):
        compared(tmp_path / "text")


@pytest.mark.parametrize("name", ["hello/hello-dynamic-pie", "hello/hello-static", "hello/hello-musl-static-pie"])
def test_a_damaged_file_gives_an_answer_or_one_clear_line(name: str, tmp_path: Path, fixture_file: FixtureFile) -> None:
    """A byte changed at each of many places of its headers and of its end, where the section headers are."""
    whole, path = fixture_file(name).read_bytes(), tmp_path / "damaged"
    places = [*range(4, 700, 17), *range(len(whole) - 2000, len(whole), 83)]
    system = system_for(Assumptions(clean_env=True))
    installed, environment = Installed(system.root), environment_for(Assumptions(clean_env=True), system, {})
    answers, reasons = 0, list[str]()
    for at in places:
        path.unlink(missing_ok=True)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        run = Run(system_for(Assumptions(clean_env=True)), environment, Depth())
        try:
            one = program(run, run.examined(place(os.fspath(path), run.system)), installed)
        except LinkScopeError as error:
            reasons.append(error.reason)
        else:
            assert sum(part.size for part in one.parts) == len(whole)
            assert msgspec.json.encode(one)
            answers += 1
    assert answers > len(places) / 4
    assert not any("\n" in reason for reason in reasons)


def test_a_file_and_what_is_inside_have_one_project(hello: dict[str, Program]) -> None:
    """What dpkg calls libc6 is glibc, as the other programs hold it."""
    assert {one.project for one in hello["dynamic-pie"].updates} == {"glibc"}
    assert "glibc" in {one.project for one in hello["static"].updates}
