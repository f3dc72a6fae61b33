"""Auditors, and what they need: judged by what was named to the loader."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.analysis.observed import called, codes, held, in_link_map, library_origins, observed
from tests.oracle.elfwriter import GLIBC_X86_64, shared_object
from tests.process.started import Argument, started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]


def _auditor(require_tool: RequireTool, folder: Path, *libraries: Path) -> Path:
    """An auditor that needs LIBRARIES."""
    source = folder / "auditor.c"
    source.write_text("unsigned la_version(unsigned version) { return version; }\n")
    flags = ["-shared", "-fPIC", "-Wl,--no-as-needed", f"-Wl,-rpath,{folder}"]
    subprocess.run([require_tool("gcc"), *flags, source, *libraries, "-o", folder / "auditor.so"], check=True)
    return folder / "auditor.so"


@pytest.mark.parametrize("how", ["variable", "option"])
def test_an_auditor_and_what_it_needs_are_told(
    fixture_file: FixtureFile, require_tool: RequireTool, tmp_path: Path, how: str
) -> None:
    """In its own namespace, with a C library of its own, which the program needs as well."""
    library = shared_object(tmp_path / "libown.so", soname="libown.so")
    auditor = os.fspath(_auditor(require_tool, tmp_path, library))
    host = fixture_file("process/dlopen")
    argv: list[Argument] = [host] if how == "variable" else [GLIBC_X86_64, "--audit", auditor, host]
    with started(argv, env={"LD_AUDIT": auditor} if how == "variable" else {}) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert in_link_map(process) == running.values("map")
    assert library_origins(process) == {"auditor.so": "audit", "libown.so": "audit"}
    assert called(process, "auditor.so").namespaces == [1]
    assert called(process, "libc.so.6").origin == "needed"
    assert called(process, "libc.so.6").namespaces == [0, 1]
    assert process.executable is not None
    assert process.executable.path == os.fspath(host)
    assert set(codes(process)) == {"audited"}


def test_an_auditor_that_the_program_itself_names_is_told(fixture_file: FixtureFile) -> None:
    """It has its say before the program begins."""
    with held([fixture_file("runtime/audited")], room=len("audited\n")) as running:
        process = observed(running.pid)
    assert library_origins(process) == {"auditor.so": "audit"}
    assert codes(process) == ["audited"]
