"""`why`: who asks for a library, by whatever name it is given, and with what the search ends."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from linkscope.analysis.request import Assumptions
from linkscope.analysis.why import why
from linkscope.model.why import WhyDocument
from tests.oracle import trace
from tests.oracle.elfwriter import executable, shared_object
from tests.oracle.trace import Question

FixtureFile = Callable[[str], Path]


def _why(path: str | os.PathLike[str], library: str, **assumed: Any) -> WhyDocument:
    return why(os.fspath(path), library, Assumptions(clean_env=True, **assumed))


def _names(document: WhyDocument) -> list[list[str]]:
    """The chains, by file names alone."""
    return [[os.path.basename(name) for name in chain] for chain in document.chains]


def _real_path(app: Path, name: str) -> str | None:
    return next((entry.path for entry in trace.trace(app).entries if entry.name == name), None)


# fixture, LIBRARY: the chains. What the loader traces decides path_found.
ASKED = {
    ("chain/exe-rpath-serves-grandchild/app", "libleaf.so"): [["app", "libmid.so", "libleaf.so"]],
    ("chain/exe-runpath-does-not-serve-grandchild/app", "libleaf.so"): [["app", "libmid.so", "libleaf.so"]],
    ("chain/middle-rpath-serves-below/app", "libleaf.so"): [["app", "libtop.so", "libmid.so", "libleaf.so"]],
    ("chain/diamond/app", "libleaf.so"): [["app", "libleft.so", "libleaf.so"], ["app", "libright.so", "libleaf.so"]],
    ("chain/no-search-path/app", "libleaf.so"): [["app", "libleaf.so"]],
    ("needed/missing-library", "libgone.so.1"): [["missing-library", "libgone.so.1"]],
    ("filters/auxiliary/app", "libfiltee.so"): [["app", "libfilter.so", "libfiltee.so"]],
    ("filters/auxiliary-absent/app", "libfiltee.so"): [["app", "libfilter.so", "libfiltee.so"]],
    ("filters/filter-absent/app", "libfiltee.so"): [["app", "libfilter.so", "libfiltee.so"]],
    ("candidates/text/app", "libleaf.so"): [["app", "libleaf.so"]],
}


@pytest.mark.parametrize(("name", "library"), ASKED, ids=[name for name, _ in ASKED])
def test_one_shortest_chain_for_each_that_asks_and_what_it_gets(
    fixture_file: FixtureFile, name: str, library: str
) -> None:
    app = fixture_file(name)
    document = _why(app, library)
    assert _names(document) == ASKED[name, library]
    assert document.chains[0][0] == os.fspath(app)
    assert document.path_found == _real_path(app, library)
    assert document.search
    assert (document.search[-1].outcome == "found") == (document.path_found is not None)


# What one and the same library may be called: as it is asked for, its SONAME, its path, the real one, plain names.
@pytest.mark.parametrize(
    "library",
    [
        *("libname.so.1", "libname.so.1.0", "{}/parts/libname.so.1", "{}/parts/libname.so.1.0"),
        "{}/../needed/parts/libname.so.1",
    ],
)
def test_a_library_may_be_called_by_any_of_its_names(fixture_file: FixtureFile, library: str) -> None:
    app = fixture_file("needed/soname-by-link")
    document = _why(app, library.format(app.parent))
    assert _names(document) == [["soname-by-link", "libname.so.1"]]
    assert document.path_found == _real_path(app, "libname.so.1")


def test_the_soname_of_the_file_found_will_do(fixture_file: FixtureFile) -> None:
    assert _names(_why(fixture_file("needed/soname-differs"), "libother.so.7")) == [["soname-differs", "libasked.so"]]


def test_of_two_names_for_one_file_the_given_one_is_shown(fixture_file: FixtureFile) -> None:
    app = fixture_file("needed/same-file-two-names")
    assert _names(_why(app, "libsame-b.so")) == [["same-file-two-names", "libsame-b.so"]]
    assert _names(_why(app, "libsame-a.so")) == [["same-file-two-names", "libsame-a.so"]]


def test_the_interpreter_is_asked_for_by_the_program_and_by_the_c_library(fixture_file: FixtureFile) -> None:
    app = fixture_file("hello/hello-dynamic-pie")
    document = _why(app, "ld-linux-x86-64.so.2")
    assert _names(document) == [
        ["hello-dynamic-pie", "ld-linux-x86-64.so.2"],
        ["hello-dynamic-pie", "libc.so.6", "ld-linux-x86-64.so.2"],
    ]
    assert [(step.source, step.outcome) for step in document.search] == [("interpreter", "found"), ("loaded", "found")]
    assert document.path_found == "/lib64/ld-linux-x86-64.so.2"


def test_by_luck_is_said_with_what_would_mend_it(fixture_file: FixtureFile) -> None:
    document = _why(fixture_file("chain/by-luck/app"), "libleaf.so")
    assert document.path_found is not None
    assert document.hints[0] == "libunable.so would not find libleaf.so by itself"
    assert document.hints[1].endswith("link libunable.so with -Wl,-rpath,'$ORIGIN/../leaf'")
    assert [step.made for step in document.search if step.outcome == "found"] == [True, True]


def test_a_missing_library_comes_with_what_would_mend_it(fixture_file: FixtureFile) -> None:
    document = _why(fixture_file("chain/exe-runpath-does-not-serve-grandchild/app"), "libleaf.so")
    (hint,) = document.hints
    assert hint.startswith("libmid.so has no RUNPATH of its own, and the RUNPATH of ")


def test_a_preload_is_searched_for_by_what_names_it(tmp_path: Path) -> None:
    shared_object(tmp_path / "libpre.so", soname="libpre.so", needed=("libbelow.so",), runpath="$ORIGIN")
    shared_object(tmp_path / "libbelow.so")
    app = executable(tmp_path / "app", needed=("libc.so.6",), runpath="$ORIGIN")
    listed = trace.trace(app, Question(env={"LD_PRELOAD": "libpre.so"}))
    document = _why(app, "libpre.so", preload="libpre.so")
    assert document.path_found == listed.paths[0] == os.fspath(tmp_path / "libpre.so")
    assert document.chains == []
    assert {step.asked_by for step in document.search} == {"LD_PRELOAD"}
    assert document.hints == ["LD_PRELOAD names it to be preloaded"]
    below = _why(app, "libbelow.so", preload="libpre.so")
    assert _names(below) == [["app", "libpre.so", "libbelow.so"]]
    assert below.path_found in listed.paths


def test_a_preload_that_is_not_there(tmp_path: Path) -> None:
    app = executable(tmp_path / "app")
    document = _why(app, "libnone.so", preload="libnone.so")
    assert trace.trace(app, Question(env={"LD_PRELOAD": "libnone.so"})).not_preloaded
    assert document.path_found is None
    assert document.hints == ["LD_PRELOAD names it to be preloaded, and the start goes on without"]
    assert {step.outcome for step in document.search} == {"absent"}


def test_what_answers_by_its_soname_alone(tmp_path: Path) -> None:
    """A preload under another file name serves a need by its SONAME, and no search is made."""
    preload = shared_object(tmp_path / "whatever.so", soname="libx.so")
    app = executable(tmp_path / "app", needed=("libx.so",))
    assert trace.trace(app, Question(env={"LD_PRELOAD": os.fspath(preload)})).missing == []
    document = _why(app, "libx.so", preload=os.fspath(preload))
    assert _names(document) == [["app", "libx.so"]]
    assert document.path_found == os.fspath(preload)
    loaded = [step for step in document.search if step.source == "loaded"]
    assert [(step.candidate, step.reason) for step in loaded] == [(os.fspath(preload), "it is preloaded")]


def test_the_name_of_the_kernels_own_object_is_answered_by_that(tmp_path: Path) -> None:
    """Even where a library has it as its SONAME: the vdso stands before it."""
    shared_object(tmp_path / "liba.so", soname="linux-vdso.so.1")
    app = executable(tmp_path / "app", needed=("liba.so", "linux-vdso.so.1"), runpath="$ORIGIN")
    assert trace.trace(app).paths == [os.fspath(tmp_path / "liba.so")]
    document = _why(app, "linux-vdso.so.1")
    assert ["the kernel's own object answers to this name"] == [step.reason for step in document.search if step.reason]


# fixture, LIBRARY: the hint about what nobody asks for
UNASKED = {
    ("chain/diamond/app", "leaf"): "did you mean libleaf.so?",
    ("chain/diamond/app", "libleaf.so.2"): "did you mean libleaf.so?",
    ("chain/diamond/app", "libc.so.7"): "did you mean libc.so.6?",
    ("needed/soname-by-link", "libnaem.so.1"): "did you mean libname.so.1?",
    ("hello/hello-static", "libc.so.6"): "hello-static is a static program: no library is loaded for it",
    ("kinds/hello.o", "libc.so.6"): "hello.o is an object file: no library is loaded for it",
}


@pytest.mark.parametrize(("name", "library"), UNASKED, ids=[" ".join(case) for case in UNASKED])
def test_what_nobody_asks_for(fixture_file: FixtureFile, name: str, library: str) -> None:
    file = fixture_file(name)
    document = _why(file, library)
    assert (document.chains, document.search, document.path_found) == ([], [], None)
    assert [hint.replace(f"{file.parent}/", "") for hint in document.hints] == [UNASKED[name, library]]


def test_nothing_is_said_where_nothing_is_near(fixture_file: FixtureFile) -> None:
    assert _why(fixture_file("chain/diamond/app"), "libwebkit2gtk-4.1.so.0").hints == []


def test_what_a_program_declares_to_open_itself(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """With what it would get: the same as a program that needs it."""
    app = fixture_file("runtime/declares-dlopen")
    document = _why(app, "libz.so.1")
    assert (document.chains, document.search, document.path_found) == ([], [], None)
    path = _real_path(executable(tmp_path / "app", needed=("libz.so.1",)), "libz.so.1")
    would = f"it would get {path}" if path is not None else "it would not find it"
    declares = f"{app} declares that it opens libz.so.1 itself while it runs (compression, recommended)"
    assert document.hints == [f"{declares}: {would}"]


def _root(folder: Path, **app: Any) -> Path:
    """A root with this machine's loader and C library, and with bin/app."""
    for file in ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"):
        place = folder / file[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(Path(file).read_bytes())
        place.chmod(0o755)
    for name in ("bin", "etc", "opt"):
        (folder / name).mkdir()
    executable(folder / "bin/app", **app)
    return folder


@pytest.mark.parametrize("content", [b"", b"garbage\n" * 9, b"glibc-ld.so.cache1.1\0\0"], ids=["empty", "text", "cut"])
def test_a_cache_that_the_loader_cannot_use_is_told_from_none(tmp_path: Path, content: bytes) -> None:
    root = _root(tmp_path, needed=("libgone.so",))
    without = [step.reason for step in _why("/bin/app", "libgone.so", root=os.fspath(root)).search]
    (root / "etc/ld.so.cache").write_bytes(content)
    unusable = [step.reason for step in _why("/bin/app", "libgone.so", root=os.fspath(root)).search]
    assert "no cache" in without
    assert "/etc/ld.so.cache is there, and is not one that the loader can use" in unusable


def test_a_file_of_another_class_is_described_in_the_loaders_words(tmp_path: Path) -> None:
    shared_object(tmp_path / "libx.so", elf_class=32, machine=3)
    app = executable(tmp_path / "app", needed=("libx.so",), runpath=os.fspath(tmp_path))
    (reason,) = [step.reason for step in _why(app, "libx.so").search if step.outcome == "wrong-class"]
    assert reason == "32-bit 386, the program is 64-bit x86_64 (wrong ELF class: ELFCLASS32)"
    assert trace.trace(app).missing == ["libx.so"]


def test_what_a_missing_library_needs_is_said_to_be_unknown(tmp_path: Path) -> None:
    shared_object(tmp_path / "libmid.so", needed=("libleaf.so",))
    app = executable(tmp_path / "app", needed=("libmid.so",))
    assert trace.trace(app).missing == ["libmid.so"]
    assert _why(app, "libleaf.so").hints == ["libmid.so is not found, so that what it needs in its turn is unknown"]


def test_without_its_interpreter_nothing_is_found(fixture_file: FixtureFile) -> None:
    document = _why(fixture_file("needed/missing-interpreter"), "libc.so.6")
    assert _names(document) == [["missing-interpreter", "libc.so.6"]]
    assert (document.search, document.path_found) == ([], None)
    (hint,) = document.hints
    assert hint.startswith("the program interpreter /nonexistent/ld.so does not exist")


def test_why_of_a_musl_program(fixture_file: FixtureFile) -> None:
    app = fixture_file("chain-musl/exe-runpath-does-not-serve-grandchild/app")
    document = _why(app, "libleaf.so")
    assert _names(document) == [["app", "libmid.so", "libleaf.so"]]
    answered = trace.musl_list(app)
    assert document.path_found in answered.paths
    assert _names(_why(app, "libc.so"))[0] == ["app", "libc.so"]


@pytest.mark.parametrize("path", ["/nonexistent", "/etc/passwd", "/etc"])
def test_what_cannot_be_analysed_is_an_error(path: str) -> None:
    document = _why(path, "libc.so.6")
    assert [error.path for error in document.errors] == [path]
    assert (document.chains, document.search, document.path_found, document.hints) == ([], [], None, [])


def test_why_in_another_root(tmp_path: Path) -> None:
    """Paths are as seen from inside, and the caller's folders are none of them."""
    for folder in ("lib64", "bin", "opt"):
        (tmp_path / folder).mkdir()
    (tmp_path / "lib64/ld-linux-x86-64.so.2").write_bytes(Path("/lib64/ld-linux-x86-64.so.2").read_bytes())
    (tmp_path / "lib64/ld-linux-x86-64.so.2").chmod(0o755)
    shared_object(tmp_path / "opt/libfar.so")
    executable(tmp_path / "bin/app", needed=("libfar.so", "libc.so.6"), runpath="/opt")
    document = _why("/bin/app", "libfar.so", root=os.fspath(tmp_path))
    assert document.chains == [["/bin/app", "libfar.so"]]
    assert document.path_found == "/opt/libfar.so"
    assert _why("/bin/app", "libc.so.6", root=os.fspath(tmp_path)).path_found is None
