"""Whether a program starts: what check says without any policy, held against real starts."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.inspect import inspect
from linkscope.analysis.request import Assumptions
from linkscope.model.check import Finding
from linkscope.policy.terms import Group, Policy
from tests.policy.preparations import for_another_machine, packed

FixtureFile = Callable[[str], Path]
CONCEPTS = (
    "candidates",
    "chain",
    "chain-musl",
    "filters",
    "hello",
    "needed",
    "platform",
    "policy",
    "symbols",
    "versions",
)
SMALL = 1 << 30  # bytes of address space: enough for every fixture, and soon used up by filters in a ring


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (SMALL, SMALL))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def starts(path: Path) -> bool:
    """Whether main is reached: every fixture prints something there, and ends well."""
    try:
        ran = subprocess.run([path], env={}, capture_output=True, timeout=60, preexec_fn=limited)
    except OSError:  # what execve says of a missing interpreter
        return False
    return ran.returncode == 0 and bool(ran.stdout)


def findings(*paths: Path, symbols: bool = True, **settings: object) -> list[Finding]:
    document = check(
        [str(path) for path in paths], Policy(groups=(Group(paths=("**",), settings=settings),)), symbols=symbols
    )
    assert not document.errors
    return document.findings


def programs(folder: Path) -> list[Path]:
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and os.access(path, os.X_OK) and ".so" not in path.name
    ]
    document = inspect([str(path) for path in found], Assumptions(clean_env=True))
    return [Path(file.path) for file in document.files if file.kind == "executable"]


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_program_starts_unless_check_has_an_error_of_it(concept: str, fixtures_dir: Path) -> None:
    """Without a policy, every error is one that a real start runs into, and no failing start goes without one."""
    found = programs(fixtures_dir / concept)
    said = findings(*found)
    errors = {finding.path for finding in said if finding.level == "error"}
    foreign = {finding.path for finding in said if finding.rule == "not-judged"}
    wrong = {
        str(path.relative_to(fixtures_dir)): "an error" if str(path) in errors else "no error"
        for path in found
        if str(path) not in foreign and starts(path) == (str(path) in errors)
    }
    assert wrong == {}
    assert len(found) > 2


def test_a_plain_compilers_hello_world_has_no_error_and_no_warning_of_its_start(fixture_file: FixtureFile) -> None:
    """Whatever the language, and with symbols bound."""
    names = [
        "hello/hello-dynamic-pie",
        "hello/hello-cpp",
        "hello/hello-rust",
        "hello/hello-static",
        "hello/hello-musl-dynamic-pie",
    ]
    found = findings(*map(fixture_file, names))
    assert [finding for finding in found if finding.level == "error"] == []
    start = {"undeclared-library", "found-by-luck", "build-path", "absolute-search-path", "malformed", "packed"}
    assert [finding for finding in found if finding.rule in start] == []


WORDS = (
    ("needed/missing-library", "missing-library"),
    ("chain/no-search-path/app", "missing-library"),
    ("versions/v2-with-old", "missing-version"),
    ("versions/weak-v2-with-old", "missing-version"),
    ("symbols/data", "unresolved-symbol"),
    ("symbols/function-now", "unresolved-symbol"),
    ("candidates/text/app", "bad-candidate"),
    ("candidates/other-osabi/app", "bad-candidate"),
)


@pytest.mark.parametrize(("name", "rule"), WORDS, ids=[row[0].replace("/", "-") for row in WORDS])
def test_an_error_names_what_the_loader_names(name: str, rule: str, fixture_file: FixtureFile) -> None:
    """In the one error that there is: the loader's own message has its subject."""
    path = fixture_file(name)
    (error,) = [one for one in findings(path) if one.level == "error"]
    said = subprocess.run([path], env={}, capture_output=True, text=True).stderr
    assert error.rule == rule
    assert error.subject.removeprefix("./") in said


def test_the_kernel_says_of_a_missing_interpreter_what_it_says_of_a_missing_program(fixture_file: FixtureFile) -> None:
    path = fixture_file("needed/missing-interpreter")
    (error,) = [one for one in findings(path) if one.level == "error"]
    with pytest.raises(FileNotFoundError):
        subprocess.run([path])
    assert (error.rule, error.subject) == ("missing-interpreter", "/nonexistent/ld.so")


# Each way in which a project got "is it static?" wrong, and the question that it should have asked.
QUESTIONS = (
    ("a static-pie is static, though it is ET_DYN", "hello/hello-static-pie", True),
    ("a static-pie without a C library too", "kinds/bare-static-pie", True),
    ("a Go PIE has an interpreter, though it needs nothing", "hello/hello-go-pie", False),
    ("a PIE without a C library has an interpreter", "kinds/bare-pie", False),
    ("musl's PIE is dynamic, whatever option made it", "hello/hello-musl-dynamic-pie", False),
    ("a library without NEEDED is no static program", "kinds/bare-library.so", False),
    ("the loader itself is no static program", "/lib64/ld-linux-x86-64.so.2", False),
    ("section headers do not matter to a dynamic one", "kinds/sectionless-dynamic", False),
    ("nor to a static one", "kinds/sectionless-static", True),
    ("an interpreter that is missing is one", "needed/missing-interpreter", False),
    ("static glibc that opens libraries is static, with a warning", "runtime/static-nss", True),
)


@pytest.mark.parametrize(("name", "static"), [row[1:] for row in QUESTIONS], ids=[row[0] for row in QUESTIONS])
def test_is_it_static(name: str, static: bool, fixture_file: FixtureFile) -> None:
    path = Path(name) if name.startswith("/") else fixture_file(name)
    wrong = [one for one in findings(path, symbols=False, linkage="static") if one.rule == "wrong-linkage"]
    assert (not wrong) == static
    assert all(one.level == "error" for one in wrong)


@pytest.mark.parametrize(("name", "static"), [("hello/hello-static", True), ("hello/hello-dynamic-pie", False)])
def test_whether_a_file_of_another_machine_is_static_is_told_by_the_file(
    name: str, static: bool, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """ldd calls both `not a dynamic executable`."""
    copy = tmp_path / "copy"
    shutil.copy(fixture_file(name), copy)
    for_another_machine(copy)
    said = subprocess.run(["ldd", copy], capture_output=True, text=True)
    assert "not a dynamic executable" in said.stderr + said.stdout
    found = findings(copy, symbols=False, linkage="static")
    assert ("wrong-linkage" not in {one.rule for one in found}) == static
    assert {one.rule for one in found if one.level == "error"} <= {"wrong-linkage"}


def test_how_a_packed_program_is_linked_is_not_claimed(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """Whoever asked for a linkage is told that it cannot be told, which is an error, and why: that it is packed."""
    copy = tmp_path / "copy"
    shutil.copy(fixture_file("hello/hello-static"), copy)
    packed(copy)
    levels = {one.rule: one.level for one in findings(copy, symbols=False, linkage="static")}
    assert levels["wrong-linkage"] == "error"
    assert levels["packed"] == "warning"


def test_privileges_raise_a_warning_only_to_what_was_asked_for(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """A search path that is graver in a setuid file is an error only where the policy names the rule."""
    copy = tmp_path / "copy"
    shutil.copy(fixture_file("policy/runpath-eaten"), copy)
    copy.chmod(0o4755)
    (plain,) = [one for one in findings(copy, symbols=False) if one.rule == "relative-search-path"]
    assert (plain.level, "setuid" in plain.message) == ("warning", True)
    named = Policy(groups=(Group(paths=("**",), levels={"relative-search-path": "warning"}),))
    (raised,) = [one for one in check([str(copy)], named).findings if one.rule == "relative-search-path"]
    assert raised.level == "error"
