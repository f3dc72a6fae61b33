"""The fixtures are what their names say: readelf reads them, and the kernel and the real loaders start them.

Every test of LinkScope that uses a fixture leans on this.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FixtureFile = Callable[[str], Path]
GLIBC, MUSL = "glibc", "musl"
GONE = None  # the program does not start for want of a library


def _run(*command: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def _start(program: Path, *arguments: str, cwd: Path | None = None, **variables: str) -> str | None:
    """The words that a program prints in a real start; None where it does not start, or fails."""
    run = _run(program, *arguments, cwd=cwd or program.parent, **variables)
    return None if run.returncode else " ".join(run.stdout.split())


def _readelf(options: str, path: Path) -> str:
    return _run("readelf", options, path).stdout


def _dynamic_symbols(path: Path) -> str:
    return _run("readelf", "-W", "--dyn-syms", path).stdout


def _segments(path: Path) -> set[str]:
    return set(re.findall(r"^  ([A-Z_]{3,}) +0x", _readelf("-lW", path), re.MULTILINE))


def _tags(path: Path) -> list[tuple[str, str]]:
    """The string-valued entries of the dynamic section, in order: NEEDED, SONAME, RPATH, RUNPATH and the like."""
    return re.findall(r"\((\w+)\) .*\[(.*)\]", _readelf("-dW", path))


def _tag(path: Path, name: str) -> list[str]:
    return [value for tag, value in _tags(path) if tag == name]


# fixture: e_type, has PT_INTERP, has PT_DYNAMIC, how many NEEDED
LINKAGE = {
    "hello/hello-dynamic-pie": ("DYN", True, True, 1),
    "hello/hello-dynamic-nonpie": ("EXEC", True, True, 1),
    "hello/hello-dynamic-stripped": ("DYN", True, True, 1),
    "hello/hello-static": ("EXEC", False, False, 0),
    "hello/hello-static-stripped": ("EXEC", False, False, 0),
    "hello/hello-static-pie": ("DYN", False, True, 0),
    "hello/hello-musl-dynamic-pie": ("DYN", True, True, 1),
    "hello/hello-musl-dynamic-nonpie": ("EXEC", True, True, 1),
    "hello/hello-musl-static": ("EXEC", False, False, 0),
    "hello/hello-musl-static-stripped": ("EXEC", False, False, 0),
    "hello/hello-musl-static-pie": ("DYN", False, True, 0),
    "hello/hello-sysv-hash": ("DYN", True, True, 1),
    "hello/hello-cpp": ("DYN", True, True, 4),
    "hello/hello-go": ("EXEC", False, False, 0),
    "hello/hello-go-pie": ("DYN", True, True, 0),
    "kinds/bare-static": ("EXEC", False, False, 0),
    "kinds/bare-static-pie": ("DYN", False, True, 0),
    "kinds/bare-pie": ("DYN", True, True, 0),
    "kinds/bare-library.so": ("DYN", False, True, 0),
    "kinds/runnable.so": ("DYN", True, True, 1),
    "kinds/hello.o": ("REL", False, False, 0),
    "kinds/module.ko": ("REL", False, False, 0),
}


@pytest.mark.parametrize("name", LINKAGE)
def test_linkage_is_what_the_name_says(fixture_file: FixtureFile, name: str) -> None:
    path = fixture_file(name)
    kind, interpreter, dynamic, needed = LINKAGE[name]
    segments = _segments(path)
    assert re.findall(r"Type: +(\w+)", _readelf("-hW", path)) == [kind]
    assert ("INTERP" in segments, "DYNAMIC" in segments) == (interpreter, dynamic)
    assert len(_tag(path, "NEEDED")) == needed


@pytest.mark.parametrize("name", [name for name in LINKAGE if not name.endswith((".o", ".ko", "library.so"))])
def test_every_program_says_hello(fixture_file: FixtureFile, name: str) -> None:
    assert _start(fixture_file(name)) == "hello"


@pytest.mark.parametrize("name", ["hello-dynamic", "hello-static", "hello-musl-static"])
def test_stripped_programs_have_no_symbol_table(fixture_file: FixtureFile, name: str) -> None:
    assert ".symtab" not in _readelf("-SW", fixture_file(f"hello/{name}-stripped"))


def test_one_program_counts_its_symbols_with_the_old_hash_only(fixture_file: FixtureFile) -> None:
    dynamic = _readelf("-dW", fixture_file("hello/hello-sysv-hash"))
    assert "(HASH)" in dynamic
    assert "(GNU_HASH)" not in dynamic


@pytest.mark.parametrize("name", ["sectionless-dynamic", "sectionless-static", "sectionless-library.so"])
def test_sectionless_files_have_no_section_headers_and_run(fixture_file: FixtureFile, name: str) -> None:
    path = fixture_file(f"kinds/{name}")
    header = _readelf("-hW", path)
    for field in ("Start of section headers", "Number of section headers", "Section header string table index"):
        assert re.search(rf"{field}: +0\b", header), field
    assert _start(path) == "hello"


def test_the_separate_debug_file_belongs_to_its_program_and_has_no_bytes_in_its_segments(
    fixture_file: FixtureFile,
) -> None:
    debug, program = fixture_file("kinds/hello.debug"), fixture_file("kinds/with-debug")
    build_ids = {re.findall(r"Build ID: (\w+)", _readelf("-nW", path))[0] for path in (debug, program)}
    assert len(build_ids) == 1
    assert re.search(r"\.text +NOBITS", _readelf("-SW", debug))


def test_the_kernel_module_has_the_sections_of_one(fixture_file: FixtureFile) -> None:
    sections = _readelf("-SW", fixture_file("kinds/module.ko"))
    assert ".modinfo" in sections
    assert ".gnu.linkonce.this_mod" in sections


# rule: what `app` prints under glibc, and under musl where that differs; GONE where it does not start
RULES: dict[str, str | dict[str, str | None] | None] = {
    "runpath-first-element-wins": "one",
    "runpath-braces": "leaf",
    "runpath-relative": "leaf",
    "runpath-empty-element": {GLIBC: ".", MUSL: "leaf"},
    "runpath-dots-are-not-normalised": "far/leaf",
    "runpath-absolute": "leaf",
    "rpath-serves": "leaf",
    "no-search-path": GONE,
    "exe-rpath-serves-grandchild": "leaf",
    "exe-runpath-does-not-serve-grandchild": {GLIBC: GONE, MUSL: "leaf"},
    "lib-runpath-cancels-ancestors-rpath": {GLIBC: GONE, MUSL: "leaf"},
    "lib-runpath-serves-own-needs": "leaf",
    "lib-rpath-serves-own-needs": "leaf",
    "lib-rpath-does-not-bring-exe-runpath": {GLIBC: GONE, MUSL: "leaf"},
    "with-both-tags-rpath-is-dead": GONE,
    "middle-rpath-serves-below": "leaf",
    "origin-of-a-library-is-where-it-was-found": "link",
    "origin-of-a-program-is-where-it-is": "leaf",
    "breadth-first": "near near",
    "diamond": "one one",
    "by-luck": "leaf leaf",
    "out-of-luck": GONE,
}


@pytest.mark.parametrize("libc", [GLIBC, MUSL])
@pytest.mark.parametrize("rule", RULES)
def test_the_real_loader_follows_the_rule(fixture_file: FixtureFile, rule: str, libc: str) -> None:
    expected = RULES[rule]
    program = fixture_file(f"{'chain' if libc == GLIBC else 'chain-musl'}/{rule}/app")
    assert _start(program) == (expected[libc] if isinstance(expected, dict) else expected)


def test_what_lib_stands_for_is_the_loaders_own_business(fixture_file: FixtureFile) -> None:
    """glibc takes one of the three folders there are; musl knows no such token and takes the path for nothing."""
    assert _start(fixture_file("chain/runpath-lib-token/app")) in ("lib", "lib64", f"lib/{_triplet()}")
    assert _start(fixture_file("chain-musl/runpath-lib-token/app")) is GONE


def _triplet() -> str:
    return _run("cc", "-dumpmachine").stdout.strip()


def test_every_rule_has_its_expectation(fixtures_dir: Path) -> None:
    listed = {line.split(":")[0] for line in _run("make", "-s", "-C", fixtures_dir.parent, "list").stdout.splitlines()}
    rules = {name.split("/")[1] for name in listed if name.startswith("chain/")}
    assert rules == RULES.keys() | {"runpath-lib-token"}


def test_a_program_started_by_a_link_looks_beside_the_file(fixture_file: FixtureFile) -> None:
    link = fixture_file("chain/origin-of-a-program-is-where-it-is/elsewhere/app")
    assert link.is_symlink()
    assert (link.parent / "leaf/libleaf.so").exists()
    assert _start(link) == "leaf"


def test_fixtures_can_be_moved(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """A copy of the folder elsewhere behaves alike: search paths name $ORIGIN, and links are relative."""
    for rule in ("exe-rpath-serves-grandchild", "origin-of-a-library-is-where-it-was-found", "breadth-first"):
        source = fixture_file(f"chain/{rule}/app").parent
        copy = shutil.copytree(source, tmp_path / rule, symlinks=True)
        assert _start(copy / "app") == RULES[rule]


# fixture: the search path tags that it carries
SEARCH_PATHS = {
    "chain/rpath-serves/app": [("RPATH", "$ORIGIN/leaf")],
    "chain/runpath-braces/app": [("RUNPATH", "${ORIGIN}/leaf")],
    "chain/runpath-relative/app": [("RUNPATH", "leaf")],
    "chain/runpath-empty-element/app": [("RUNPATH", "$ORIGIN/nowhere::$ORIGIN/leaf")],
    "chain/runpath-lib-token/app": [("RUNPATH", "$ORIGIN/$LIB")],
    "chain/no-search-path/app": [],
    "chain/with-both-tags-rpath-is-dead/app": [("RUNPATH", "$ORIGIN/lib"), ("RPATH", "$ORIGIN/lib:$ORIGIN/leaf")],
    "chain/lib-runpath-cancels-ancestors-rpath/app": [("RPATH", "$ORIGIN/lib:$ORIGIN/leaf")],
    "chain/lib-runpath-cancels-ancestors-rpath/lib/libmid.so": [("RUNPATH", "$ORIGIN/nowhere")],
    "chain-musl/lib-runpath-cancels-ancestors-rpath/lib/libmid.so": [("RUNPATH", "$ORIGIN/nowhere")],
}


@pytest.mark.parametrize("name", SEARCH_PATHS)
def test_search_path_tags_are_those_of_the_rule(fixture_file: FixtureFile, name: str) -> None:
    tags = [(tag, value) for tag, value in _tags(fixture_file(name)) if tag in ("RPATH", "RUNPATH")]
    assert sorted(tags) == sorted(SEARCH_PATHS[name])


# program: the folder below build/ that it is started in, and what it prints
NEEDED = {
    "missing-library": ("needed", GONE),
    "origin-in-needed": ("", "parts"),
    "slash-in-needed": ("needed", "parts"),
    "soname-by-link": ("", "parts"),
    "soname-differs": ("", "parts"),
    "soname-absent": ("..", "parts"),
    "same-file-two-names": ("", "parts"),
}


@pytest.mark.parametrize("name", NEEDED)
def test_needed_strings(fixture_file: FixtureFile, fixtures_dir: Path, name: str) -> None:
    folder, expected = NEEDED[name]
    assert _start(fixture_file(f"needed/{name}"), cwd=fixtures_dir / folder) == expected


def test_a_missing_interpreter_is_the_kernels_own_error(fixture_file: FixtureFile) -> None:
    program = fixture_file("needed/missing-interpreter")
    with pytest.raises(FileNotFoundError):
        _start(program)


CANDIDATES = {
    "good": "leaf",
    "gnu-osabi": "leaf",
    "other-machine": "second",
    "other-class": "second",
    "dangling-link": "second",
    "other-endian": GONE,
    "other-osabi": GONE,
    "abiversion": GONE,
    "text": GONE,
    "empty": GONE,
    "folder": GONE,
    "object": GONE,
    "pie": GONE,
    "executable": GONE,
}


@pytest.mark.parametrize("case", CANDIDATES)
def test_candidates_are_passed_over_or_end_the_search(fixture_file: FixtureFile, case: str) -> None:
    assert _start(fixture_file(f"candidates/{case}/app")) == CANDIDATES[case]


# fixture: what it prints, as it is started
STARTS = {
    "versions/v1-with-old": "1",
    "versions/v1-with-new": "1",
    "versions/v2-with-new": "2",
    "versions/v2-with-old": GONE,
    "versions/weak-v2-with-old": GONE,
    "versions/v1-with-plain": "1",
    "versions/plain-with-new": "1",
    "versions/relr": "hello",
    "symbols/function-lazy": "started",
    "symbols/function-now": GONE,
    "symbols/data": GONE,
    "symbols/weak": "started",
    "symbols/lost-function": "started",
    "symbols/unused-library": "started",
    "filters/auxiliary/app": "filtee",
    "filters/auxiliary-absent/app": "filter",
    "filters/filter/app": "filtee",
    "filters/filter-absent/app": GONE,
    "runtime/host-rpath-serves-plugin": "leaf",
    "runtime/host-runpath-does-not-serve-plugin": GONE,
    "runtime/plugin-runpath-serves-plugin": "leaf",
    "runtime/plugin-runpath-cancels-host-rpath": GONE,
    "runtime/audited": "audited hello",
    "runtime/static-iconv": "opened",
    "runtime/static-nss": "opened",
    "runtime/static-dlopen": "opened",
    "platform/isa-level-v2": "isa-v2",
    "platform/nodeflib-program": GONE,
    "platform/nodeflib-library": "nodeflib",
    "hardening/all": "hello",
    "hardening/none": "hello",
    "hardening/cet": "hello",
}


@pytest.mark.parametrize("name", STARTS)
def test_real_starts(fixture_file: FixtureFile, name: str) -> None:
    assert _start(fixture_file(name)) == STARTS[name]


@pytest.mark.parametrize("name", ["function-lazy", "lost-function"])
def test_a_lazily_bound_function_is_missed_at_its_first_call(fixture_file: FixtureFile, name: str) -> None:
    run = _run(fixture_file(f"symbols/{name}"), "call")
    assert "undefined symbol: gone_function" in run.stderr


# program, what is preloaded, what it prints (None: it does not start)
PRELOADS = [
    ("chain/no-search-path/app", "libimpostor.so", "impostor"),
    ("hello/hello-dynamic-pie", "libpreload.so", "preload hello"),
    ("runtime/musl-preloadable", "libpreload.so", "preload hello"),
    ("runtime/rpath-serves-preload", "libneedy-preload.so", "hello"),
    ("runtime/runpath-serves-preload", "libneedy-preload.so", GONE),
]


@pytest.mark.parametrize(("program", "library", "printed"), PRELOADS, ids=[f"{row[0]}+{row[1]}" for row in PRELOADS])
def test_preloads(fixture_file: FixtureFile, program: str, library: str, printed: str | None) -> None:
    by_name = library == "libneedy-preload.so"  # through the program's own search path
    preload = library if by_name else str(fixture_file(f"runtime/{library}"))
    assert _start(fixture_file(program), LD_PRELOAD=preload) == printed


@pytest.mark.parametrize(
    ("name", "tag", "value"),
    [
        ("filters/auxiliary/libfilter.so", "AUXILIARY", "libfiltee.so"),
        ("filters/filter/libfilter.so", "FILTER", "libfiltee.so"),
        ("needed/parts/libname.so.1.0", "SONAME", "libname.so.1"),
        ("needed/parts/libasked.so", "SONAME", "libother.so.7"),
        ("needed/origin-in-needed", "NEEDED", "$ORIGIN/parts/libslash.so"),
        ("needed/slash-in-needed", "NEEDED", "parts/libslash.so"),
        ("runtime/libimpostor.so", "SONAME", "libleaf.so"),
    ],
)
def test_tags_that_a_fixture_is_about(fixture_file: FixtureFile, name: str, tag: str, value: str) -> None:
    assert value in _tag(fixture_file(name), tag)


@pytest.mark.parametrize("name", ["plugins/libplugin.so", "auditor.so"])
def test_modules_have_no_soname(fixture_file: FixtureFile, name: str) -> None:
    assert _tag(fixture_file(f"runtime/{name}"), "SONAME") == []


def _loader_help(program: Path) -> str:
    """What the program's loader says of this CPU: the folders that it searches for it, best first."""
    loader = re.findall(r"interpreter: (.*)\]", _readelf("-lW", program))[0]
    return _run(loader, "--help").stdout


def test_hwcaps_folders_are_taken_best_first(fixture_file: FixtureFile) -> None:
    program = fixture_file("platform/hwcaps")
    searched = re.findall(r"^  (x86-64-v\d) \(supported, searched\)", _loader_help(program), re.MULTILINE)
    assert _start(program) == (f"lib/glibc-hwcaps/{searched[0]}" if searched else "lib")


def test_legacy_folders_count_for_the_loaders_that_still_have_them(fixture_file: FixtureFile) -> None:
    program = fixture_file("platform/legacy-hwcaps")
    legacy = "tls (supported, searched)" in _loader_help(program)
    assert _start(program) == ("legacy/tls/x86_64" if legacy else "legacy")


def test_a_library_above_the_cpus_level_ends_the_start(fixture_file: FixtureFile) -> None:
    program = fixture_file("platform/isa-level-v4")
    supported = "x86-64-v4 (supported" in _loader_help(program)
    assert _start(program) == ("isa-v4" if supported else GONE)


def test_a_rust_program_where_the_compiler_is(fixtures_dir: Path) -> None:
    """Rust is not among the packages that the tests install."""
    program = fixtures_dir / "hello/hello-rust"
    if not program.exists():
        pytest.skip("no Rust compiler here")
    assert _start(program) == "hello"


# fixture: GNU_RELRO, BIND_NOW, executable stack, stack protector, fortified
HARDENING = {
    "all": (True, True, False, True, True),
    "none": (False, False, True, False, False),
    "canary": (False, False, True, True, False),
    "fortify": (False, False, True, False, True),
    "nx": (False, False, False, False, False),
    "relro-partial": (True, False, True, False, False),
    "relro-full": (True, True, True, False, False),
    "bind-now": (False, True, True, False, False),
}


@pytest.mark.parametrize("name", HARDENING)
def test_hardening_is_what_the_name_says(fixture_file: FixtureFile, name: str) -> None:
    path = fixture_file(f"hardening/{name}")
    symbols = _dynamic_symbols(path)
    assert HARDENING[name] == (
        "GNU_RELRO" in _segments(path),
        "BIND_NOW" in _readelf("-dW", path),
        bool(re.search(r"GNU_STACK .* RWE", _readelf("-lW", path))),
        "__stack_chk_fail" in symbols,
        "_chk@" in symbols,
    )


def test_the_cet_program_has_both_halves_of_it(fixture_file: FixtureFile) -> None:
    assert "x86 feature: IBT, SHSTK" in _readelf("-nW", fixture_file("hardening/cet"))


def test_the_dlopen_note_is_one(fixture_file: FixtureFile, tmp_path: Path) -> None:
    note = tmp_path / "note"
    _run("objcopy", "-O", "binary", "-j", ".note.dlopen", fixture_file("runtime/declares-dlopen"), note)
    assert note.read_bytes()[8:16] == b"\x0a\x0c\x7c\x40FDO\0"
    assert b'"soname":["libz.so.1"]' in note.read_bytes()


def test_relr_asks_for_a_version_that_no_symbol_carries(fixture_file: FixtureFile) -> None:
    path = fixture_file("versions/relr")
    assert "GLIBC_ABI_DT_RELR" in _readelf("-VW", path)
    assert "GLIBC_ABI_DT_RELR" not in _dynamic_symbols(path)
