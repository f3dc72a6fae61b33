"""Real systems: for every dynamic file, the list and its order are those of the real loader."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance import whole
from tests.conformance.whole import FOLDERS, Comparison
from tests.oracle import files, roots, trace
from tests.oracle.trace import Question


def _assert_all_agree(compared: Comparison, at_least: int) -> None:
    assert not compared.differences, "\n".join(f"{path}: {text}" for path, text in compared.differences.items())
    assert len(compared.files) >= at_least
    assert all("is not here" in reason for reason in compared.left_out.values()), compared.left_out


def test_every_file_of_this_machine_is_predicted_as_its_loader_answers() -> None:
    """Executables and libraries, in order, what is missing in its place; the command as a user calls it."""
    _assert_all_agree(whole.machine(), 500)


@pytest.mark.parametrize("name", ["debian:11", "debian:12", "debian:13"])
def test_every_file_of_a_root_is_predicted_as_its_own_loader_answers(name: str) -> None:
    """glibc 2.31, 2.36 and 2.41, each asked in a chroot."""
    _assert_all_agree(whole.root(name), 1000)


def test_files_of_another_machine_are_predicted_as_their_own_loader_answers() -> None:
    """arm64, asked by qemu inside the root: a sample, since each answer takes it 20 ms."""
    _assert_all_agree(whole.root("debian:12/arm64", one_in=4), 250)


@pytest.mark.exhaustive
def test_every_file_of_another_machine_is_predicted_as_its_own_loader_answers() -> None:
    _assert_all_agree(whole.root("debian:12/arm64"), 1000)


def test_the_musl_fixtures_are_predicted_as_musls_loader_lists_them(
    fixtures_dir: Path, require_tool: Callable[[str], str]
) -> None:
    require_tool("musl-gcc")
    _assert_all_agree(whole.musl_fixtures(fixtures_dir), 20)


@pytest.mark.parametrize("root", [None, *whole.ROOTS])
def test_no_file_is_run_by_asking_about_it(root: str | None) -> None:
    """What is executed is a loader of glibc, or a file that the kernel gives to one, and without privileges.

    In secure execution the loader ignores the variable that asks it for the list, and starts the program.
    """
    question = Question(cwd="/") if root is None else roots.question(root)
    base = question.root or "/"
    asked = [(path, facts) for path, facts in files.dynamic_files(base, FOLDERS) if not trace.refusal(path, question)]
    privileged = 0
    for path, facts in asked:
        first = trace.argv(path, question)[0]
        real = trace.real_path(path, question)
        loader = trace.real_path(facts.interp if first == path and facts.interp else first, question)
        assert files.is_glibc_loader(loader), path
        assert first != path or not files.gains_privileges(real), path
        privileged += files.gains_privileges(real)
    assert privileged or root is None or os.geteuid() != 0
