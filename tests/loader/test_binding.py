"""Symbols over the scope: what stays unresolved, when that shows, and which needed libraries provide nothing."""

import itertools
import os
import re
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from linkscope.loader.root import Root
from linkscope.loader.system import System
from tests.loader.bound import Bound, bound, disagreement
from tests.loader.patches import DT_SYMTAB, patch_dynamic, patch_needed_version, patch_symbol, patch_version_index
from tests.loader.symbol_strategies import Family, families
from tests.oracle import elfwriter, files, roots, start, trace
from tests.oracle.answers import Trace
from tests.oracle.availability import Unavailable
from tests.oracle.elfformat import DF_1_NOW
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.recipe import Recipe, Symbol
from tests.oracle.trace import Question

_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/lib")
_SAMPLE = 60
_SETTINGS = settings(
    max_examples=int(os.environ.get("LINKSCOPE_FOREST_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    database=None,
)

# fixture, (symbol, when it fails) of what is unresolved, whether the program starts.
_FIXTURES: list[tuple[str, list[tuple[str, str]], bool]] = [
    ("function-lazy", [("gone_function", "first-call")], True),
    ("function-now", [("gone_function", "start")], False),
    ("data", [("gone_data", "start")], False),
    ("weak", [], True),
    ("lost-function", [("gone_function", "first-call")], True),
    ("unused-library", [], True),
]


def _disagreement_with_ldd(path: str | os.PathLike[str], system: System | None = None) -> str | None:
    return disagreement(bound(path, system), *trace.relocations([path]), *trace.unused([path]))


@pytest.mark.parametrize(("name", "unresolved", "starts"), _FIXTURES, ids=[name for name, *_ in _FIXTURES])
def test_symbols_of_compiled_programs(
    name: str, unresolved: list[tuple[str, str]], starts: bool, fixture_file: Callable[[str], Path]
) -> None:
    program = fixture_file(f"symbols/{name}")
    predicted = bound(program)
    assert [(one.symbol, one.fails) for one in predicted.binding.unresolved] == unresolved
    assert predicted.fatal is not starts
    assert _disagreement_with_ldd(program) is None
    assert (start.debugged_start(program).answer.status == 0) is starts


def test_only_the_programs_own_needs_can_be_unused(fixture_file: Callable[[str], Path]) -> None:
    program = fixture_file("symbols/unused-library")
    assert [Path(path).name for path in bound(program).binding.unused] == ["libidle.so"]


F1, F2 = Symbol("f", "V1"), Symbol("f", "V2")
_OLD_DEFAULT = (Symbol("f", "V1", hidden=True),)  # f@V1, the file's first version
_LATER_HIDDEN = (Symbol("f", "V2", hidden=True),)
_LATER_DEFAULT = (Symbol("f", "V2"),)
_V12 = ("V1", "V2")
_ASKS_V1: dict[str, Any] = {"verneed": (("lib.so", (("V1", 0),)),), "undefined": (Symbol("f", "V1", kind="object"),)}
_ASKS_ANY: dict[str, Any] = {"undefined": (Symbol("f", kind="object"),)}

# name, the program's references, the library that it needs, whether they are resolved.
_RULES: list[tuple[str, dict[str, Any], Recipe, bool]] = [
    ("the very version", _ASKS_V1, Recipe(verdef=_V12, symbols=(F1,)), True),
    ("the very version, though hidden", _ASKS_V1, Recipe(verdef=_V12, symbols=_OLD_DEFAULT), True),
    ("another version is no substitute", _ASKS_V1, Recipe(verdef=_V12, symbols=(F2,)), False),
    ("a definition without version is one", _ASKS_V1, Recipe(verdef=_V12, symbols=(Symbol("f"),)), True),
    (
        "without version: the file's first one, though hidden",
        _ASKS_ANY,
        Recipe(verdef=_V12, symbols=_OLD_DEFAULT),
        True,
    ),
    ("without version: the default", _ASKS_ANY, Recipe(verdef=_V12, symbols=_LATER_DEFAULT), True),
    ("without version: no later hidden one", _ASKS_ANY, Recipe(verdef=_V12, symbols=_LATER_HIDDEN), False),
    (
        "without version: two later defaults are ambiguous",
        _ASKS_ANY,
        Recipe(verdef=(*_V12, "V3"), symbols=(F2, Symbol("f", "V3"))),
        False,
    ),
    ("a weak definition is one", _ASKS_ANY, Recipe(symbols=(Symbol("f", weak=True),)), True),
    ("a reference of the library itself is none", _ASKS_ANY, Recipe(undefined=(Symbol("f", weak=True),)), False),
    ("a weak reference may stay open", {"undefined": (Symbol("f", kind="object", weak=True),)}, Recipe(), True),
    (
        "what no relocation refers to is not looked up",
        {"verneed": (("lib.so", (("V1", 0),)),)},
        Recipe(verdef=_V12),
        True,
    ),
]


@pytest.mark.parametrize("style", ["sysv", "gnu"])
@pytest.mark.parametrize(
    ("program", "library", "resolved"), [row[1:] for row in _RULES], ids=[row[0] for row in _RULES]
)
def test_a_reference_and_a_definition(
    program: dict[str, Any], library: Recipe, resolved: bool, style: Any, tmp_path: Path
) -> None:
    """Each rule alone, for both hash tables; `ldd -r`, `ldd -u` and a real start are the judges."""
    elfwriter.shared_object(tmp_path / "lib.so", **_changed(library), hash_style=style)
    app = elfwriter.executable(tmp_path / "app", needed=("lib.so",), runpath=os.fspath(tmp_path), **program)
    predicted = bound(app)
    assert (predicted.binding.unresolved == []) is resolved
    assert predicted.fatal is not resolved
    assert _disagreement_with_ldd(app) is None
    assert (start.start(app).answer.status == 0) is resolved


def _changed(recipe: Recipe) -> dict[str, Any]:
    return {"verdef": recipe.verdef, "symbols": recipe.symbols, "undefined": recipe.undefined, "soname": "lib.so"}


# name, fields of the definition of f, whether it still is one. Types and bindings: gABI, Symbol Table.
_DEFINITIONS: list[tuple[str, dict[str, int], bool]] = [
    ("protected", {"other": 3}, True),
    ("hidden from others", {"other": 2}, False),
    ("internal", {"other": 1}, False),
    ("without a value", {"value": 0}, False),
    ("absolute", {"shndx": 0xFFF1}, True),
    ("absolute zero", {"shndx": 0xFFF1, "value": 0}, True),
    ("undefined with a value, as the address of a PLT entry", {"shndx": 0}, True),
    ("local", {"info": 0x01}, False),
    ("unique", {"info": 0xA1}, True),
    ("common", {"info": 0x15}, True),
    ("of no type", {"info": 0x10}, True),
    ("a section", {"info": 0x13}, False),
    ("a file", {"info": 0x14}, False),
]


@pytest.mark.parametrize(
    ("fields", "resolved"), [row[1:] for row in _DEFINITIONS], ids=[row[0] for row in _DEFINITIONS]
)
def test_a_definition(fields: dict[str, int], resolved: bool, tmp_path: Path) -> None:
    """What counts as a definition for a data reference."""
    library = elfwriter.shared_object(tmp_path / "lib.so", symbols=(Symbol("f"),), hash_style="gnu")
    patch_symbol(library, 1, **fields)
    app = elfwriter.executable(tmp_path / "app", needed=("lib.so",), runpath=os.fspath(tmp_path), **_ASKS_ANY)
    assert (bound(app).binding.unresolved == []) is resolved
    assert _disagreement_with_ldd(app) is None
    assert (start.start(app).answer.status == 0) is resolved


def test_the_address_of_a_plt_entry_is_no_function_to_call(tmp_path: Path) -> None:
    library = elfwriter.shared_object(tmp_path / "lib.so", symbols=(Symbol("f"),), hash_style="gnu")
    patch_symbol(library, 1, shndx=0)
    app = elfwriter.executable(
        tmp_path / "app", needed=("lib.so",), runpath=os.fspath(tmp_path), undefined=(Symbol("f"),), flags_1=DF_1_NOW
    )
    assert [(one.symbol, one.fails) for one in bound(app).binding.unresolved] == [("f", "start")]
    assert _disagreement_with_ldd(app) is None
    assert start.start(app).answer.status != 0


@pytest.mark.parametrize("other", [1, 2], ids=["internal", "hidden"])
def test_a_hidden_reference_is_not_looked_up(other: int, tmp_path: Path) -> None:
    app = elfwriter.executable(tmp_path / "app", needed=("lib.so",), runpath=os.fspath(tmp_path), **_ASKS_ANY)
    elfwriter.shared_object(tmp_path / "lib.so")
    patch_symbol(app, 1, other=other)
    assert bound(app).binding.unresolved == []
    assert _disagreement_with_ldd(app) is None
    assert start.start(app).answer.status == 0


@pytest.mark.parametrize(
    ("needed_index", "defined_index"),
    [(0x8002, 1), (2, 0x8001)],
    ids=["the need takes no other", "the definition is hidden"],
)
def test_a_definition_without_version_may_be_ruled_out(needed_index: int, defined_index: int, tmp_path: Path) -> None:
    """The hidden bit in vna_other, or in .gnu.version; no linker sets either of them here."""
    library = elfwriter.shared_object(tmp_path / "lib.so", soname="lib.so", verdef=("V1",), symbols=(Symbol("f"),))
    app = elfwriter.executable(tmp_path / "app", needed=("lib.so",), runpath=os.fspath(tmp_path), **_ASKS_V1)
    patch_needed_version(app, other=needed_index)
    patch_version_index(library, 1, defined_index)
    assert [one.symbol for one in bound(app).binding.unresolved] == ["f"]
    assert _disagreement_with_ldd(app) is None
    assert start.start(app).answer.status != 0


def test_what_served_a_library_in_one_program_may_be_absent_in_another(tmp_path: Path) -> None:
    """One run looks at both programs, and remembers what it has read."""
    elfwriter.shared_object(tmp_path / "lib.so", undefined=(Symbol("f", kind="object"),))
    elfwriter.shared_object(tmp_path / "gives.so", symbols=(Symbol("f"),))
    whole = elfwriter.executable(tmp_path / "whole", needed=("lib.so", "gives.so"), runpath=os.fspath(tmp_path))
    part = elfwriter.executable(tmp_path / "part", needed=("lib.so",), runpath=os.fspath(tmp_path))
    system = System(Root("/"))
    for app in (whole, part, whole):
        assert _disagreement_with_ldd(app, system) is None


_COMPILED_LIBRARY = "int f(void) { return 1; } int d = 1;"
# name, the program, its flags, what it lacks once the library lost everything.
_COMPILED: list[tuple[str, str, list[str], list[tuple[str, str]]]] = [
    ("a copied variable", "extern int d; int main(void) { return d; }", ["-no-pie"], [("d", "start")]),
    (
        "a function that is called, and whose address is taken",
        "int f(void); int (*p)(void) = f; int main(int c, char **v) { return c > 1 ? f() : p == 0; }",
        ["-pie", "-fPIE"],
        [("f", "start")],
    ),
]


@pytest.mark.parametrize(("source", "flags", "lost"), [row[1:] for row in _COMPILED], ids=[row[0] for row in _COMPILED])
def test_a_compiled_program_whose_library_lost_what_it_uses(
    source: str, flags: list[str], lost: list[tuple[str, str]], tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    compiler = require_tool("cc")
    (tmp_path / "lib.c").write_text(_COMPILED_LIBRARY)
    (tmp_path / "empty.c").write_text("")
    (tmp_path / "app.c").write_text(source)
    library = ["-shared", "-fPIC", "-o", "lib.so"]
    app = ["-o", "app", "lib.so", f"-Wl,-rpath,{tmp_path}", "-Wl,-z,lazy"]
    for arguments in (["lib.c", *library], ["app.c", *flags, *app], ["empty.c", *library]):
        subprocess.run([compiler, *arguments], cwd=tmp_path, check=True)
    predicted = bound(tmp_path / "app")
    assert [(one.symbol, one.fails) for one in predicted.binding.unresolved] == lost
    assert _disagreement_with_ldd(tmp_path / "app") is None
    assert start.debugged_start(tmp_path / "app").answer.status != 0


def test_a_threads_variable_does_not_wait_though_its_relocation_is_a_lazy_one(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """A TLS descriptor stands among the relocations of the PLT, and is made at the start all the same."""
    (tmp_path / "user.c").write_text("extern __thread int t; int use(void) { return t; }")
    (tmp_path / "app.c").write_text("int use(void); int main(int c, char **v) { return c > 1 ? use() : 0; }")
    compiler, rest = (
        require_tool("cc"),
        [f"-Wl,-rpath,{tmp_path}", "-Wl,-z,lazy", "-Wl,--unresolved-symbols=ignore-all"],
    )
    for arguments in (
        ["user.c", "-shared", "-fPIC", "-mtls-dialect=gnu2", "-o", "user.so"],
        ["app.c", "user.so", "-o", "app"],
    ):
        subprocess.run([compiler, *arguments, *rest], cwd=tmp_path, check=True)
    app = tmp_path / "app"
    assert [(one.symbol, one.fails) for one in bound(app).binding.unresolved] == [("t", "start")]
    assert _disagreement_with_ldd(app) is None
    assert start.debugged_start(app).answer.status != 0


@pytest.mark.parametrize(
    "now",
    [{"flags_1": DF_1_NOW}, {"flags": 8}, {"extra_dynamic": ((24, 0),)}, {}],
    ids=["DF_1_NOW", "DF_BIND_NOW", "DT_BIND_NOW", "lazy"],
)
def test_a_function_waits_for_its_first_call_unless_the_object_binds_now(now: dict[str, Any], tmp_path: Path) -> None:
    elfwriter.shared_object(tmp_path / "lib.so", undefined=(Symbol("f"),), **now)
    app = elfwriter.executable(tmp_path / "app", needed=("lib.so",), runpath=os.fspath(tmp_path))
    predicted = bound(app)
    assert [(one.symbol, one.fails) for one in predicted.binding.unresolved] == [
        ("f", "start" if now else "first-call")
    ]
    assert predicted.fatal is bool(now)
    assert _disagreement_with_ldd(app) is None
    assert (start.start(app).answer.status != 0) is bool(now)


def test_symbols_that_cannot_be_read_are_a_problem_and_no_more(tmp_path: Path) -> None:
    """The library's symbol table is said to lie far outside the file."""
    library = elfwriter.shared_object(tmp_path / "lib.so", symbols=(Symbol("f"),))
    patch_dynamic(library, DT_SYMTAB, 0x7FFFFFFF)
    app = elfwriter.executable(tmp_path / "app", needed=("lib.so",), runpath=os.fspath(tmp_path), **_ASKS_ANY)
    problems = bound(app).binding.problems
    assert [(one.code, one.subject) for one in problems] == [
        ("unresolved-symbol", "f"),
        ("malformed", f"{tmp_path}/lib.so"),
    ]


@_SETTINGS
@given(families())
def test_any_family_of_libraries_is_bound_as_the_loader_binds_it(family: Family) -> None:
    """Versions, hidden and weak definitions, both hash tables, bound now or lazily; also by a real start."""
    with tempfile.TemporaryDirectory(prefix="family-") as folder:
        app = family.plant(Path(folder))
        predicted = bound(app)
        difference = disagreement(predicted, *trace.relocations([app]), *trace.unused([app]))
        assert difference is None, f"{difference}\n{family}"
        answer = start.start(app).answer
        assert (answer.status != 0) is predicted.fatal, f"{answer}\n{predicted}\n{family}"


@_SETTINGS
@given(families(MUSL_X86_64))
def test_any_family_of_libraries_is_bound_as_musl_binds_it(family: Family) -> None:
    if not os.path.exists(MUSL_X86_64):
        raise Unavailable(f"{MUSL_X86_64} is not here")
    with tempfile.TemporaryDirectory(prefix="family-") as folder:
        app = family.plant(Path(folder))
        predicted = bound(app)
        answered = trace.musl_list(app)
        assert _musl_symbols(predicted) == _not_found(answered), f"{answered}\n{predicted}\n{family}"
        answer = start.start(app).answer
        assert (answer.status != 0) is predicted.fatal, f"{answer}\n{predicted}\n{family}"


def _musl_symbols(predicted: Bound) -> set[tuple[str, str]]:
    assert all(one.fails == "start" for one in predicted.binding.unresolved), "musl binds everything at the start"
    return {(one.symbol, one.needed_by) for one in predicted.binding.unresolved}


def _not_found(answered: Trace) -> set[tuple[str, str]]:
    lines = (re.fullmatch(r"Error relocating (.*): (\S+): symbol not found", line) for line in answered.other)
    return {(line[2], line[1]) for line in lines if line}


# -- real files -------------------------------------------------------------------------------------------------------


def _files(root: str, question: Question, count: int | None) -> list[str]:
    """Files of a root that the loader can be asked about: all, or COUNT of them, the same each time."""
    folders = _FOLDERS if root == "/" else (*_FOLDERS, "/lib")
    if count is None:
        return [path for path, _ in files.dynamic_files(root, folders) if trace.refusal(path, question) is None]
    walk = (step for folder in folders for step in os.walk(f"{root.rstrip('/')}{folder}"))
    paths = sorted((os.path.join(at, name) for at, _, names in walk for name in names), key=_shuffled)
    inside = (path.removeprefix(root.rstrip("/")) for path in paths if not os.path.islink(path))
    return list(itertools.islice((path for path in inside if trace.refusal(path, question) is None), count))


def _shuffled(path: str) -> int:
    """A number by which files are in no order that means anything."""
    return zlib.crc32(os.fsencode(path))


def _disagreements(root: str, question: Question, count: int | None) -> list[str]:
    paths = _files(root, question, count)
    assert paths
    system = System(Root(root))
    answers = zip(paths, trace.relocations(paths, question), trace.unused(paths, question), strict=True)
    found = ((path, disagreement(bound(path, system), *answer)) for path, *answer in answers)
    return [f"{path}: {difference}" for path, difference in found if difference]


def test_files_of_this_machine_agree_with_ldd() -> None:
    """Programs and libraries, evenly spread; a Python extension module alone lacks hundreds of symbols."""
    assert _disagreements("/", Question(), _SAMPLE) == []


@pytest.mark.exhaustive
def test_every_file_of_this_machine_agrees_with_ldd() -> None:
    assert _disagreements("/", Question(), None) == []


@pytest.mark.parametrize("name", ["debian:11", "debian:13", "debian:12/arm64"])
def test_files_of_other_releases_agree_with_their_own_loader(name: str) -> None:
    """glibc 2.31 and 2.41, and 2.36 on another machine."""
    assert _disagreements(os.fspath(roots.root(name)), roots.question(name), _SAMPLE // 3) == []


def _disagreements_with_musl(root: str | None, count: int | None) -> list[str]:
    """Programs for glibc, handed to musl's loader: most of them lack many symbols there."""
    question = Question(root=root, loader=MUSL_X86_64)
    if not os.path.exists(files.below(root, MUSL_X86_64)):
        raise Unavailable(f"{MUSL_X86_64} is not here")
    paths = _files(root or "/", Question(root=root), count)
    system = System(Root(root or "/"))
    different = []
    for path in paths:
        predicted = _musl_symbols(bound(path, system, MUSL_X86_64))
        answered = _not_found(trace.musl_list(path, question))
        if predicted != answered:
            different.append(f"{path}: only predicted {predicted - answered}, only answered {answered - predicted}")
    return different


def test_files_of_this_machine_agree_with_musl() -> None:
    assert _disagreements_with_musl(None, _SAMPLE // 2) == []


@pytest.mark.exhaustive
def test_every_file_of_this_machine_agrees_with_musl() -> None:
    assert _disagreements_with_musl(None, None) == []


@pytest.mark.parametrize("name", ["debian:11", "debian:13"])
def test_files_of_other_releases_agree_with_their_musl(name: str) -> None:
    """musl 1.2.2, and 1.2.5, which has open64 and its like no longer as symbols, but still binds them."""
    assert _disagreements_with_musl(os.fspath(roots.root(name)), _SAMPLE // 6) == []
