"""The ELF writer: readelf reads its files without a complaint, and the real loader links and starts them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle import trace
from tests.oracle.answers import Entry, UndefinedSymbol, VersionComplaint
from tests.oracle.elfformat import DF_1_NODEFLIB
from tests.oracle.elfwriter import Recipe, Symbol, executable, program, shared_object, write
from tests.oracle.start import start
from tests.oracle.trace import Question

EVERYTHING = {
    "soname": "libx.so.1",
    "needed": ("libb.so", "liba.so"),
    "auxiliary": ("libaux.so",),
    "filter": ("libfilter.so",),
    "dynamic_order": (("auxiliary", "first.so"), ("needed", "second.so")),
    "rpath": "/r",
    "runpath": "$ORIGIN/u",
    "audit": "audit.so",
    "depaudit": "depaudit.so",
    "flags": 8,
    "flags_1": DF_1_NODEFLIB,
    "extra_dynamic": ((0x6FFFFEF9, 0), (0x6FFFFEFA, "config")),
    "verdef": ("X_1", "X_2"),
    "verneed": (("liba.so", (("A_1", 0), ("A_2", 2))), ("libb.so", (("B_1", 0),))),
    "symbols": (Symbol("f", "X_1"), Symbol("d", "X_2", kind="object", weak=True), Symbol("old", "X_1", hidden=True)),
    "undefined": (Symbol("g", "A_1"), Symbol("h", "B_1", kind="object"), Symbol("w", weak=True)),
    "hash_style": "both",
    "notes": (("Go", 4, b"build"),),
    "build_id": bytes(range(20)),
    "isa_needed": 1,
    "execstack": True,
}
NO_RELOCATIONS = {name: value for name, value in EVERYTHING.items() if name not in ("undefined", "isa_needed")}
RECIPES = {
    "empty": Recipe(),
    "everything": Recipe(**EVERYTHING),  # type: ignore[arg-type]  # a table of all fields
    "everything with sections": Recipe(**EVERYTHING, sections=True),  # type: ignore[arg-type]
    "i386": Recipe(**EVERYTHING, elf_class=32, machine=3, sections=True),  # type: ignore[arg-type]
    "aarch64": Recipe(**EVERYTHING, machine=183, sections=True),  # type: ignore[arg-type]
    "s390x": Recipe(**NO_RELOCATIONS, machine=22, endian="big", sections=True),  # type: ignore[arg-type]
    "ppc": Recipe(**NO_RELOCATIONS, elf_class=32, machine=20, endian="big"),  # type: ignore[arg-type]
    "arm": Recipe(**NO_RELOCATIONS, elf_class=32, machine=40, e_flags=0x5000400, sections=True),  # type: ignore[arg-type]
    "program": program(needed=("liba.so",), sections=True),
    "program at a fixed address": program(pie=False, needed=("liba.so",)),
    "program without a loader": program(None),
    "relocatable by its header": Recipe(e_type=1),
    "gnu hash of nothing": Recipe(hash_style="gnu", undefined=(Symbol("g"),)),
    "names that are not UTF-8": Recipe(soname="l\udcff.so", needed=("\udcfe",)),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_readelf_has_nothing_to_complain_of(recipe: Recipe, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    path = write(tmp_path / "file", recipe)
    done = subprocess.run([require_tool("readelf"), "-aW", path], capture_output=True, check=False)
    assert done.stderr == b""
    assert done.returncode == 0
    for text in (b"Warning", b"corrupt", b"<unknown>"):
        assert text not in done.stdout


def test_readelf_reads_what_the_recipe_says(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    path = write(tmp_path / "file", RECIPES["everything with sections"])
    said = subprocess.run([require_tool("readelf"), "-aW", path], capture_output=True, check=True, text=True).stdout
    links = [line.rpartition("[")[2][:-1] for line in said.splitlines() if "(NEEDED)" in line or "library:" in line]
    assert links == [
        "first.so",
        "second.so",
        "libb.so",
        "liba.so",
        "libaux.so",
        "libfilter.so",
        "audit.so",
        "depaudit.so",
    ]
    for text in (
        "Library soname: [libx.so.1]",
        "Library rpath: [/r]",
        "Library runpath: [$ORIGIN/u]",
        "Flags: NODEFLIB",
        "f@@X_1",
        "old@X_1",
        "g@A_1",
        "h@B_1",
        "Name: A_2  Flags: WEAK",
        "Build ID: 000102030405060708090a0b0c0d0e0f10111213",
        "x86 ISA needed: x86-64-baseline",
        "GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RWE",
    ):
        assert text in said


@pytest.mark.parametrize("pie", [True, False], ids=["pie", "fixed"])
def test_a_program_starts_and_says_what_is_mapped(pie: bool, tmp_path: Path) -> None:
    shared_object(tmp_path / "liba.so", soname="liba.so", needed=("libb.so",), hash_style="gnu")
    shared_object(tmp_path / "libb.so", flags_1=DF_1_NODEFLIB)
    app = executable(tmp_path / "app", pie=pie, needed=("liba.so",), rpath="$ORIGIN")
    expected = (f"{tmp_path}/liba.so", f"{tmp_path}/libb.so")
    assert start(app).link_map == expected
    assert trace.trace(app).paths == list(expected)


def test_a_filtee_of_the_program_stands_before_it_and_trace_mode_leaves_it_out(tmp_path: Path) -> None:
    for name in ("liba.so", "libf.so"):
        shared_object(tmp_path / name)
    app = executable(tmp_path / "app", needed=("liba.so",), auxiliary=("libf.so",), rpath="$ORIGIN")
    assert start(app).link_map == (f"{tmp_path}/libf.so", f"{tmp_path}/liba.so")
    assert trace.trace(app).entries == (Entry("liba.so", f"{tmp_path}/liba.so"),)


def test_a_program_without_a_loader_starts_by_itself(tmp_path: Path) -> None:
    outcome = start(executable(tmp_path / "app", None))
    assert (outcome.answer.status, outcome.link_map) == (0, ())


def test_a_missing_loader_is_the_kernels_refusal(tmp_path: Path) -> None:
    app = executable(tmp_path / "app", "/none/ld.so")
    assert start(app).answer.fatal == f"{app}: cannot be executed: No such file or directory"


def test_the_loader_finds_defined_symbols_and_misses_the_others(tmp_path: Path) -> None:
    shared_object(
        tmp_path / "liba.so",
        soname="liba.so",
        verdef=("A_1",),
        symbols=(Symbol("f", "A_1"), Symbol("d", "A_1", kind="object"), Symbol("plain")),
        hash_style="gnu",
    )
    shared_object(tmp_path / "libs.so", symbols=(Symbol("sysv"),), hash_style="sysv")
    app = executable(
        tmp_path / "app",
        needed=("liba.so", "libs.so"),
        runpath="$ORIGIN",
        verneed=(("liba.so", (("A_1", 0), ("A_9", 0), ("A_8", 2))),),
        undefined=(
            *(Symbol("f", "A_1"), Symbol("d", "A_1", kind="object"), Symbol("plain"), Symbol("sysv")),
            *(Symbol("gone"), Symbol("lost", "A_1"), Symbol("maybe", weak=True)),
        ),
    )
    found = trace.relocations([app])[0]
    name, library = str(app), f"{tmp_path}/liba.so"
    assert found.undefined == (UndefinedSymbol("gone", None, name), UndefinedSymbol("lost", "A_1", name))
    assert found.versions == (
        VersionComplaint(library, "A_9", name),
        VersionComplaint(library, "A_8", name, weak=True),
    )


def test_a_missing_data_symbol_stops_a_start_and_a_missing_function_does_not(tmp_path: Path) -> None:
    by_kind = {
        kind: start(executable(tmp_path / kind, undefined=(Symbol("gone", kind=kind),))).answer
        for kind in ("object", "function")
    }
    assert by_kind["object"].fatal == f"{tmp_path}/object: undefined symbol: gone"
    assert by_kind["function"].status == 0


# What a start says of a library that is found and not taken.
REFUSED = {
    "osabi": (Recipe(osabi=9), "ELF file OS ABI invalid"),
    "abiversion": (Recipe(abiversion=9), "ELF file ABI version invalid"),
    "relocatable": (Recipe(e_type=1), "only ET_DYN and ET_EXEC can be loaded"),
    "fixed program": (Recipe(e_type=2), "cannot dynamically load executable"),
    "pie": (program(), "cannot dynamically load position-independent executable"),
    "byte order": (Recipe(endian="big", machine=62 << 8), "ELF file data encoding not little-endian"),
    "isa level": (Recipe(isa_needed=1 << 20), "CPU ISA level is lower than required"),
}


@pytest.mark.parametrize(("recipe", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_the_loader_refuses_a_library_for_the_reason_that_the_recipe_has(
    recipe: Recipe, reason: str, tmp_path: Path
) -> None:
    write(tmp_path / "libx.so", recipe)
    app = executable(tmp_path / "app", needed=("libx.so",), rpath="$ORIGIN")
    fatal = start(app).answer.fatal
    assert fatal is not None
    assert fatal.removeprefix(f"{tmp_path}/") == f"libx.so: {reason}"


def test_trace_mode_does_not_look_at_the_isa_level(tmp_path: Path) -> None:
    shared_object(tmp_path / "libx.so", isa_needed=1 << 20)
    app = executable(tmp_path / "app", needed=("libx.so",), rpath="$ORIGIN")
    assert trace.trace(app).paths == [f"{tmp_path}/libx.so"]


PASSED_OVER = {
    "class": Recipe(elf_class=32, machine=3),
    "machine": Recipe(machine=183),
    "machine and byte order": Recipe(machine=22, endian="big"),
    "byte order of a machine's number too": Recipe(endian="big"),
}


@pytest.mark.parametrize("recipe", PASSED_OVER.values(), ids=PASSED_OVER.keys())
def test_the_loader_passes_over_a_library_of_another_machine(recipe: Recipe, tmp_path: Path) -> None:
    write(tmp_path / "libx.so", recipe)
    app = executable(tmp_path / "app", needed=("libx.so",), rpath="$ORIGIN")
    assert trace.trace(app).entries == (Entry("libx.so", None),)


def test_filters_come_before_what_they_filter_in_the_order_of_the_entries(tmp_path: Path) -> None:
    for name in ("liba.so", "libb.so", "libc2.so"):
        shared_object(tmp_path / name)
    order = (("needed", "libb.so"), ("auxiliary", "liba.so"), ("filter", "libc2.so"))
    shared_object(tmp_path / "libf.so", dynamic_order=order)
    app = executable(tmp_path / "app", needed=("libf.so",), rpath="$ORIGIN")
    assert [Path(path).name for path in trace.trace(app).paths] == ["liba.so", "libc2.so", "libf.so", "libb.so"]


def test_an_auditor_named_in_the_program_is_asked_for(tmp_path: Path) -> None:
    app = executable(tmp_path / "app", audit="/none/audit.so")
    assert any("/none/audit.so" in line for line in trace.trace(app, Question()).other)
