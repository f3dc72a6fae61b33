"""hardening: lief and checksec are the judges, and each difference between them and us has its reason here."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lief
import pytest

from linkscope.elf.hardening import hardening
from linkscope.model.inspect import Hardening
from tests.elf.conftest import Unpacked
from tests.elf.samples import PROGRAMS, FixtureFile, RequireTool, ask, elf_files, spread, tool
from tests.oracle import elfwriter
from tests.oracle.availability import Unavailable
from tests.oracle.recipe import Symbol

Answer = dict[str, object]
KEYS = ("relro", "bind_now", "nx", "canary", "fortify")
# (key, our answer, the judge's answer): why they differ. Whatever else differs is a fault.
EXPLAINED = {
    (
        "canary",
        None,
        False,
    ): "stripped of its symbols, a self-contained file cannot tell: the judges take that for a no",
    ("canary", None, True): "of a static program it may be the C library's inside",
    (
        "fortify",
        None,
        False,
    ): "the same as of a stripped one; or no function is used that has a checking variant, which shows nothing",
    ("bind_now", None, False): "a static file without dynamic section binds nothing, now or later",
    (
        "relro",
        "full",
        "partial",
    ): "without dynamic section there is no BIND_NOW for the judges to see; here no slot is left outside the area",
    ("fortify", True, False): "checksec looks at dynamic symbols only: this is a static file with .symtab",
}


def _ours(path: str | os.PathLike[str]) -> Answer:
    found: Hardening = ask(hardening, path)
    return {key: getattr(found, key) for key in KEYS}


def _liefs(path: str | os.PathLike[str]) -> Answer:
    """The same out of lief's model; it has a word of its own only for nx."""
    lief.logging.disable()
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_notes = config.parse_overlay = False
    elf: Any = lief.ELF.parse(os.fspath(path), config)
    entries = {entry.tag.name: entry for entry in elf.dynamic_entries}
    now = (
        "BIND_NOW" in entries
        or ("FLAGS" in entries and bool(entries["FLAGS"].value & 8))
        or ("FLAGS_1" in entries and bool(entries["FLAGS_1"].value & 1))
    )
    names = {symbol.name for symbol in elf.symbols}
    relro = elf.has(lief.ELF.Segment.TYPE.GNU_RELRO)
    return {
        "relro": ("full" if now else "partial") if relro else "none",
        "bind_now": now,
        "nx": elf.has_nx,
        "canary": bool(names & {"__stack_chk_fail", "__stack_chk_guard", "__intel_security_cookie"}),
        "fortify": any(re.fullmatch(r"__\w+_chk", str(name)) for name in names - {"__stack_chk", "__chk_fail"}),
    }


def _checksecs(path: str | os.PathLike[str]) -> Answer:
    said = json.loads(tool("checksec", "--format=json", f"--file={os.fspath(path)}"))[os.fspath(path)]
    words = {"yes": True, "no": False}
    return {
        "relro": {"no": "none"}.get(said["relro"], said["relro"]),
        "nx": words[said["nx"]],
        "canary": words[said["canary"]],
        "fortify": words[said["fortify_source"]],
    }


def _unexplained(paths: Iterable[str], judge: Callable[[str], Answer]) -> list[str]:
    paths = list(paths)
    with ThreadPoolExecutor(2) as threads:
        judged = list(threads.map(judge, paths))
    found = []
    for path, theirs in zip(paths, judged, strict=True):
        ours = _ours(path)
        found += [
            f"{path}: {key} is {ours[key]}, {judge.__name__} {theirs[key]}"
            for key in theirs
            if ours[key] != theirs[key] and (key, ours[key], theirs[key]) not in EXPLAINED
        ]
    return found


def test_every_program_of_the_machine_is_as_hardened_as_lief_says() -> None:
    assert _unexplained(elf_files(*PROGRAMS), _liefs) == []


def test_the_programs_of_the_machine_are_as_hardened_as_checksec_says(require_tool: RequireTool) -> None:
    """All of them in CI, some elsewhere: it takes checksec a quarter of a second for each."""
    require_tool("checksec")
    paths = elf_files(*PROGRAMS)
    assert _unexplained(paths if os.environ.get("CI") else spread(paths, 60), _checksecs) == []


def test_our_own_programs_are_as_hardened_as_the_judges_say(require_tool: RequireTool, fixtures_dir: Path) -> None:
    require_tool("checksec")
    paths = elf_files(os.fspath(fixtures_dir / "hardening"), os.fspath(fixtures_dir / "hello"))
    assert _unexplained(paths, _liefs) == []
    assert _unexplained(paths, _checksecs) == []


def test_the_explanations_are_all_needed(fixtures_dir: Path) -> None:
    """Those that are about lief, too: each is met by some file."""
    met = set()
    for path in elf_files(os.fspath(fixtures_dir / "hardening"), os.fspath(fixtures_dir / "hello")):
        ours, theirs = _ours(path), _liefs(path)
        met |= {(key, ours[key], theirs[key]) for key in KEYS if ours[key] != theirs[key]}
    assert set(EXPLAINED) - {("fortify", True, False)} == met


# fixture: relro, bind_now, nx, canary, fortify, cet
FIXTURES = {
    "hardening/none": ("none", False, False, False, False, False),
    "hardening/all": ("full", True, True, True, True, False),
    "hardening/canary": ("none", False, False, True, False, False),
    "hardening/fortify": ("none", False, False, False, True, False),
    "hardening/nx": ("none", False, True, False, False, False),
    "hardening/relro-partial": ("partial", False, False, False, False, False),
    "hardening/relro-full": ("full", True, False, False, False, False),
    "hardening/bind-now": ("none", True, False, False, False, False),
    "hardening/cet": ("none", False, False, False, False, True),
    "hardening/static-none": ("none", None, False, None, None, False),
    "hardening/static-canary": ("none", None, False, None, None, False),
    "hello/hello-musl-static": ("full", None, True, None, None, False),
    "hello/hello-static-stripped": ("partial", None, True, None, None, False),
    "hello/hello-go": ("none", None, True, False, None, False),
    "kinds/sectionless-dynamic": ("partial", False, True, False, None, False),
    "kinds/hello.o": (None, None, None, None, None, None),
    "kinds/module.ko": (None, None, None, None, None, None),
    "kinds/hello.debug": (None, None, None, None, None, None),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_a_fixture_has_what_it_was_built_with(name: str, fixture_file: FixtureFile) -> None:
    found: Hardening = ask(hardening, fixture_file(name))
    # Whether the compiler adds CET unasked is the distribution's choice.
    cet = False if name == "hardening/all" else found.cet
    assert (found.relro, found.bind_now, found.nx, found.canary, found.fortify, cet) == FIXTURES[name]


def test_arms_own_protections_are_told_by_their_property(unpacked: Unpacked) -> None:
    """readelf judges, on Debian 13's arm64 glibc, which is built with them, and Debian 12's, which is not."""
    answers = set()
    for suite in ("bookworm", "trixie"):
        folder = unpacked("libc6", suite=suite, architecture="arm64")
        for path in spread(elf_files(os.fspath(folder)), 12):
            found: Hardening = ask(hardening, path)
            properties = tool("readelf", "-nW", path)
            assert (found.bti, found.pac, found.cet) == ("BTI" in properties, "PAC" in properties, None), path
            answers.add(found.bti)
    assert answers == {True, False}


@pytest.mark.parametrize(("now", "relro"), [(False, "partial"), (True, "full")], ids=["lazy", "now"])
def test_a_static_file_is_told_by_where_its_slots_lie(now: bool, relro: str, tmp_path: Path) -> None:
    """The kernel judges: what is still writable in the running program, which prints its own mappings."""
    (tmp_path / "source.c").write_text(
        """#include <stdio.h>
        int main(void) { char b[4096]; FILE *f = fopen("/proc/self/maps", "r"); size_t n = fread(b, 1, 4096, f);
        return fwrite(b, 1, n, stdout) != n; }"""
    )
    made = tmp_path / "made"
    flags = ("-static", "-fno-pie", "-no-pie", f"-Wl,-z,relro,-z,{'now' if now else 'lazy'}")
    if subprocess.run(["cc", tmp_path / "source.c", "-o", made, *flags], capture_output=True).returncode:
        raise Unavailable("no static C library here")
    slots = re.search(r" \.got\.plt +PROGBITS +(\w+) \w+ (\w+)", tool("readelf", "-SW", made))
    writable = [row.split()[0].split("-") for row in tool(made).splitlines() if " rw-p " in row]
    last = int(slots[1], 16) + int(slots[2], 16) - 1 if slots else 0
    inside = any(int(start, 16) <= last < int(end, 16) for start, end in writable)
    assert ask(hardening, made).relro == relro
    assert inside == (relro == "partial")
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, made], check=True)
    assert ask(hardening, stripped).relro == relro


def test_without_section_headers_a_static_files_slots_cannot_be_told(fixture_file: FixtureFile) -> None:
    assert ask(hardening, fixture_file("kinds/sectionless-static")).relro is None


@pytest.mark.parametrize(
    ("machine", "nx"), [(62, False), (3, False), (40, False), (183, True), (243, True), (258, True), (21, True)]
)
def test_without_a_header_for_the_stack_the_machines_default_counts(machine: int, nx: bool, tmp_path: Path) -> None:
    """glibc sysdeps/*/stackinfo.h, DEFAULT_STACK_PERMS."""
    path = elfwriter.shared_object(tmp_path / "made", machine=machine)
    data = path.read_bytes()
    header = (0x6474E551).to_bytes(4, "little")
    assert data.count(header) == 1
    path.write_bytes(data.replace(header, bytes(4)))
    assert ask(hardening, path).nx is nx


# Undefined symbols, and whether they show fortified functions. The C library's own names only.
NAMES = {
    ("__memcpy_chk",): True,
    ("memcpy", "__printf_chk"): True,
    ("__open_2",): True,
    ("__nldbl___printf_chk",): True,
    ("__printf_chkieee128",): True,
    ("memcpy",): False,
    ("strlen", "puts"): None,
    ("my_chk", "__my_chk", "printf_chk"): None,
    ("xmemcpy", "memcpyx"): None,
}


@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_fortified_functions_are_told_by_name(names: tuple[str, ...], tmp_path: Path) -> None:
    path = elfwriter.shared_object(tmp_path / "made", needed=("libc.so.6",), undefined=tuple(map(Symbol, names)))
    assert ask(hardening, path).fortify is NAMES[names]


def test_the_names_of_checking_functions_are_those_of_glibc(require_tool: RequireTool) -> None:
    """Whatever __…_chk the C library exports shows a fortified program."""
    from linkscope.elf.hardening import _FORTIFIED

    symbols = tool("readelf", "-W", "--dyn-syms", require_tool("/lib/x86_64-linux-gnu/libc.so.6"))
    exported = set(re.findall(r" (__\w+_chk)@", symbols))
    assert len(exported) > 70
    assert {name.encode() for name in exported} <= _FORTIFIED


def test_a_string_that_is_no_symbol_shows_nothing(tmp_path: Path) -> None:
    """As NEEDED, as a version, and as the tail of another name: each stands in the string table."""
    path = elfwriter.shared_object(
        tmp_path / "made",
        needed=("__memcpy_chk", "libc.so.6"),
        verneed=(("libc.so.6", (("__stack_chk_fail", 0),)),),
        undefined=(Symbol("my__stack_chk_fail"), Symbol("f", version="__stack_chk_fail")),
    )
    found: Hardening = ask(hardening, path)
    assert (found.canary, found.fortify) == (False, None)


def test_a_symbol_whose_name_is_the_tail_of_another_counts(tmp_path: Path) -> None:
    """Linkers store the tail once: ld does so here."""
    (tmp_path / "source.c").write_text(
        "void my__stack_chk_fail(void); void __stack_chk_fail(void); void f(void)"
        "{ my__stack_chk_fail(); __stack_chk_fail(); }"
    )
    made = tmp_path / "made"
    subprocess.run(["cc", "-shared", "-fPIC", "-nostdlib", tmp_path / "source.c", "-o", made], check=True)
    assert b"\0__stack_chk_fail\0" not in made.read_bytes()
    assert ask(hardening, made).canary is True
