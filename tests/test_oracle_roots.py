"""The real roots: they hold enough to be asked about, and their own loaders answer."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.oracle import files, roots, runner, trace
from tests.oracle.elfwriter import program, shared_object, write
from tests.oracle.files import GLIBC_LOADERS
from tests.oracle.runner import Request
from tests.oracle.start import start
from tests.oracle.trace import Question

FOLDERS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/lib", "/usr/lib")
VERSIONS = {
    "debian:11": b"2.31",
    "debian:12": b"2.36",
    "debian:13": b"2.41",
    "debian:12/arm64": b"2.36",
    "debian:12/i386": b"2.36",
}
FOREIGN = {"debian:12/arm64": (64, 183), "debian:12/i386": (32, 3)}


@pytest.mark.parametrize("name", roots.RELEASES)
def test_a_roots_own_loader_answers_for_its_files(name: str) -> None:
    question = roots.question(name)
    found = dict(files.dynamic_files(roots.root(name), FOLDERS))
    programs = [path for path, facts in found.items() if facts.interp]
    assert len(programs) >= 100
    asked = [path for path in programs if trace.refusal(path, question) is None]
    assert len(asked) >= len(programs) - 5
    answers = trace.trace_all(asked[:200], question)
    assert [answer.fatal for answer in answers if answer.fatal] == []
    assert [answer.missing for answer in answers if answer.missing] == []


@pytest.mark.parametrize("name", roots.RELEASES)
def test_a_root_has_the_glibc_of_its_release(name: str) -> None:
    question = roots.question(name)
    libc = next(path for path in trace.trace("/bin/bash", question).paths if path.endswith("/libc.so.6"))
    # The library is a program that says its version.
    outcome = runner.run(trace.command((libc,), question, {}))
    assert VERSIONS[name] in outcome.stdout.split(b"\n")[0]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_written_program_of_another_machine_starts_there(name: str, tmp_path: Path) -> None:
    elf_class, machine = FOREIGN[name]
    interp = GLIBC_LOADERS[elf_class, machine]
    loader = tmp_path / interp.lstrip("/")
    loader.parent.mkdir()
    shutil.copy2(roots.loader_and_ldconfig(name)[0], loader)
    question = roots.question(name)
    if question.qemu is not None:
        shutil.copy2(roots.root(name) / question.qemu.lstrip("/"), tmp_path)
    shared_object(tmp_path / "liba.so", elf_class=elf_class, machine=machine)
    app = program(interp, needed=("liba.so",), rpath="$ORIGIN", elf_class=elf_class, machine=machine)
    write(tmp_path / "app", app)
    there = msgspec.structs.replace(question, root=os.fspath(tmp_path))
    assert start("/app", there).link_map == ("/liba.so",)
    assert trace.trace("/app", there).paths == ["/liba.so"]


def test_origin_is_known_in_a_root() -> None:
    request = Request(argv=("/bin/readlink", "/proc/self/exe"), root=os.fspath(roots.root("debian:12")))
    assert runner.run(request).stdout.startswith(b"/usr/bin/")


def test_a_root_has_nothing_of_this_machine() -> None:
    question = Question(root=os.fspath(roots.root("debian:13")))
    paths = trace.trace("/usr/bin/curl", question).paths
    assert paths
    assert all(os.path.exists(files.below(question.root, path)) for path in paths)
