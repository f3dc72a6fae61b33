"""Symbol versions before the program starts: what the prediction says is what the real loader prints, and does."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.loader.bound import bound, disagreement
from tests.loader.patches import patch_needed_version
from tests.oracle import elfwriter, start, trace
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.recipe import Recipe, Symbol

# fixture, whether its start fails at the versions.
_FIXTURES = [
    ("v1-with-old", False),
    ("v1-with-new", False),
    ("v2-with-new", False),
    ("v2-with-old", True),
    ("weak-v2-with-old", True),
    ("v1-with-plain", False),
    ("plain-with-new", False),
    ("relr", False),
]


@pytest.mark.parametrize(("name", "fails"), _FIXTURES, ids=[name for name, _ in _FIXTURES])
def test_versions_of_compiled_programs(name: str, fails: bool, fixture_file: Callable[[str], Path]) -> None:
    """A program linked with one version of a library, and started with another."""
    program = fixture_file(f"versions/{name}")
    predicted = bound(program)
    assert disagreement(predicted, *trace.relocations([program]), *trace.unused([program])) is None
    assert (start.debugged_start(program).answer.status != 0) is fails
    assert any(problem.fatal for problem in predicted.versions) is fails


V1 = ("V1", 0)
_GIVES_V1 = Recipe(soname="lib.so", verdef=("V1",), symbols=(Symbol("f", "V1"),))
_GIVES_NOTHING = Recipe(soname="lib.so", symbols=(Symbol("f"),))
_ASKS_DATA: dict[str, Any] = {"undefined": (Symbol("f", "V1", kind="object"),)}
_ASKS_FUNCTION: dict[str, Any] = {"undefined": (Symbol("f", "V1"),)}
_RELR = ((36, 0), (35, 0), (37, 8))  # DT_RELR, DT_RELRSZ, DT_RELRENT
_LIBC = ("libc.so.6", (("GLIBC_2.2.5", 0),))


def _wants(*versions: tuple[str, int], file: str = "lib.so", **more: Any) -> dict[str, Any]:
    return {"needed": ("lib.so",), "verneed": ((file, versions),), **more}


# A program and the library lib.so beside it: name, program, library, codes of the problems, whether the start fails.
_PAIRS: list[tuple[str, dict[str, Any], Recipe, list[str], bool]] = [
    ("what is asked for is there", _wants(V1), _GIVES_V1, [], False),
    ("a version is absent, though no symbol uses it", _wants(V1, ("V2", 0)), _GIVES_V1, ["missing-version"], True),
    ("every absent version is named", _wants(("V3", 0), ("V2", 0)), _GIVES_V1, ["missing-version"] * 2, True),
    ("an absent version that is weak", _wants(("V2", 2)), _GIVES_V1, ["weak-version"], False),
    (
        "a weak version before a strong one",
        _wants(("V2", 2), ("V3", 0)),
        _GIVES_V1,
        ["weak-version", "missing-version"],
        True,
    ),
    ("the base version, the file's own name, counts", _wants(("lib.so", 0)), _GIVES_V1, [], False),
    ("no versions, and nothing bound by one", _wants(V1), _GIVES_NOTHING, ["no-version-information"], False),
    (
        "no versions, and a function by one",
        _wants(V1, **_ASKS_FUNCTION),
        _GIVES_NOTHING,
        ["no-version-information"],
        False,
    ),
    ("no versions, and data by one", _wants(V1, **_ASKS_DATA), _GIVES_NOTHING, ["no-version-information"], True),
    (
        "no versions, and a function by one at once",
        _wants(V1, flags_1=1, **_ASKS_FUNCTION),
        _GIVES_NOTHING,
        ["no-version-information"],
        True,
    ),
    ("a name that nobody asks for", _wants(V1, file="other.so"), _GIVES_V1, ["missing-version"], True),
    (
        "compact relocations that are not announced",
        {"needed": ("libc.so.6",), "verneed": (_LIBC,), "extra_dynamic": _RELR},
        _GIVES_V1,
        ["missing-version"],
        True,
    ),
    ("compact relocations without libc", _wants(V1, extra_dynamic=_RELR), _GIVES_V1, [], False),
]


@pytest.mark.parametrize(
    ("program", "library", "codes", "fails"), [row[1:] for row in _PAIRS], ids=[r[0] for r in _PAIRS]
)
def test_versions_between_a_program_and_a_library(
    program: dict[str, Any], library: Recipe, codes: list[str], fails: bool, tmp_path: Path
) -> None:
    """Each rule alone; the trace and a real start are the judges."""
    elfwriter.write(tmp_path / "lib.so", library)
    app = elfwriter.executable(tmp_path / "app", runpath=os.fspath(tmp_path), **program)
    predicted = bound(app)
    assert [problem.code for problem in predicted.versions] == codes
    if not program.get("extra_dynamic") or not fails:  # the loader's words for that name no version
        assert disagreement(predicted, *trace.relocations([app]), *trace.unused([app])) is None
    assert (start.start(app).answer.status != 0) is fails
    assert any(problem.fatal for problem in predicted.versions) is fails


def test_a_soname_that_nobody_asked_for_is_no_name(tmp_path: Path) -> None:
    """DT_SONAME becomes a name once something is needed by it; a version need alone looks for names only."""
    library = elfwriter.write(tmp_path / "lib.so", _GIVES_V1)
    app = elfwriter.executable(tmp_path / "app", needed=(os.fspath(library),), verneed=(("lib.so", (V1,)),))
    predicted = bound(app)
    assert len(predicted.assertions) == 1
    assert disagreement(predicted, *trace.relocations([app]), *trace.unused([app])) is None
    assert start.start(app).answer.status != 0


def test_a_soname_that_somebody_asked_for_is_a_name(tmp_path: Path) -> None:
    library = elfwriter.write(tmp_path / "lib.so", _GIVES_V1)
    elfwriter.shared_object(tmp_path / "asker.so", needed=("lib.so",))
    app = elfwriter.executable(
        tmp_path / "app",
        needed=(os.fspath(library), "asker.so"),
        rpath=os.fspath(tmp_path),
        verneed=(("lib.so", (V1,)),),
    )
    predicted = bound(app)
    assert predicted.versions == []
    assert disagreement(predicted, *trace.relocations([app]), *trace.unused([app])) is None
    assert start.start(app).answer.status == 0


def test_the_program_itself_may_be_the_one_that_lacks_a_version(tmp_path: Path) -> None:
    elfwriter.shared_object(tmp_path / "lib.so", needed=("app.so",), verneed=(("app.so", (V1, ("V2", 0))),))
    app = elfwriter.executable(
        tmp_path / "app", soname="app.so", needed=("lib.so",), rpath=os.fspath(tmp_path), verdef=("V1",)
    )
    predicted = bound(app)
    assert [(one.subject, one.needed_by) for one in predicted.versions] == [("V2", f"{tmp_path}/lib.so")]
    assert disagreement(predicted, *trace.relocations([app]), *trace.unused([app])) is None
    assert start.start(app).answer.status != 0


def test_nothing_is_said_of_versions_of_a_missing_library(tmp_path: Path) -> None:
    app = elfwriter.executable(tmp_path / "app", needed=("gone.so",), verneed=(("gone.so", (V1,)),))
    assert bound(app).versions == []
    assert trace.trace(app).versions == ()


def test_musl_checks_no_versions(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """The program starts, with a library that lacks the version that it asks for."""
    require_tool(MUSL_X86_64)
    elfwriter.write(tmp_path / "lib.so", _GIVES_V1)
    app = elfwriter.executable(
        tmp_path / "app", interp=MUSL_X86_64, runpath=os.fspath(tmp_path), **_wants(V1, ("V2", 0), **_ASKS_DATA)
    )
    predicted = bound(app)
    assert predicted.versions == []
    assert not predicted.fatal
    assert start.start(app).answer.status == 0


# Needs and offers of three libraries beside a program that needs them all: name, libraries, whether the start fails.
_NEEDS_V1 = {"verneed": (("plain.so", (V1,)),), "undefined": (Symbol("f", "V1", kind="object"),)}
_TRIOS: list[tuple[str, dict[str, dict[str, Any]], bool]] = [
    (
        "an object before it serves the reference",
        {"first.so": {"symbols": (Symbol("f"),)}, "plain.so": {"symbols": (Symbol("f"),)}, "asker.so": _NEEDS_V1},
        False,
    ),
    (
        "the asker serves itself, but only after it",
        {"plain.so": {"symbols": (Symbol("f"),)}, "asker.so": {**_NEEDS_V1, "symbols": (Symbol("f"),)}},
        True,
    ),
    (
        "the asker serves itself first",
        {"asker.so": {**_NEEDS_V1, "symbols": (Symbol("f"),)}, "plain.so": {"symbols": (Symbol("f"),)}},
        False,
    ),
    (
        "the version should come from elsewhere",
        {
            "plain.so": {"symbols": (Symbol("f"), Symbol("g"))},
            "other.so": {"soname": "other.so", "verdef": ("V2",)},
            "asker.so": {
                "verneed": (("plain.so", (V1,)), ("other.so", (("V2", 0),))),
                "undefined": (Symbol("f", "V2", kind="object"),),
            },
        },
        False,
    ),
]


@pytest.mark.parametrize(("libraries", "fails"), [row[1:] for row in _TRIOS], ids=[row[0] for row in _TRIOS])
def test_an_object_without_versions_ends_the_start_only_where_it_serves(
    libraries: dict[str, dict[str, Any]], fails: bool, tmp_path: Path
) -> None:
    """Before glibc 2.41: a reference to a version of plain.so, which has none."""
    for name, recipe in libraries.items():
        elfwriter.shared_object(tmp_path / name, **recipe)
    app = elfwriter.executable(tmp_path / "app", needed=tuple(libraries), runpath=os.fspath(tmp_path))
    predicted = bound(app)
    assert [problem.code for problem in predicted.versions] == ["no-version-information"]
    assert disagreement(predicted, *trace.relocations([app]), *trace.unused([app])) is None
    assert (start.start(app).answer.status != 0) is fails
    assert predicted.fatal is fails


def test_a_version_is_told_by_its_hash_as_well(tmp_path: Path) -> None:
    elfwriter.write(tmp_path / "lib.so", _GIVES_V1)
    app = elfwriter.executable(tmp_path / "app", runpath=os.fspath(tmp_path), **_wants(V1))
    patch_needed_version(app, hash=1)
    predicted = bound(app)
    assert [problem.code for problem in predicted.versions] == ["missing-version"]
    assert disagreement(predicted, *trace.relocations([app]), *trace.unused([app])) is None
    assert start.start(app).answer.status != 0


_LDSO = "ld-linux-x86-64.so.2"


@pytest.mark.parametrize(
    ("needed", "ends"),
    [((), True), ((f"/lib64/{_LDSO}",), False), ((_LDSO,), False)],
    ids=["not needed", "needed by its path", "needed by its soname"],
)
def test_the_loader_answers_to_its_soname_once_it_is_needed(
    needed: tuple[str, ...], ends: bool, tmp_path: Path
) -> None:
    """In a real start it would go on to look for calloc in the scope, which has no C library here."""
    elfwriter.shared_object(tmp_path / "lib.so")
    app = elfwriter.executable(
        tmp_path / "app",
        needed=("lib.so", *needed),
        rpath=os.fspath(tmp_path),
        verneed=((_LDSO, (("GLIBC_2.2.5", 0),)),),
    )
    predicted = bound(app)
    assert bool(predicted.versions) is ends
    assert disagreement(predicted, *trace.relocations([app]), *trace.unused([app])) is None
