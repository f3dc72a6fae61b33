"""The twelve ways in which "is it static?" is answered wrongly, and what is right by kernel and loader.

Where the tool that projects ask is on this machine, the test shows what it says.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.inspect import inspect
from linkscope.analysis.request import Assumptions
from linkscope.model.check import Finding
from linkscope.model.inspect import File
from linkscope.policy.terms import Group, Policy
from tests.elf.conftest import Unpacked
from tests.elf.samples import FixtureFile, RequireTool, tool
from tests.oracle import roots
from tests.oracle.availability import Unavailable
from tests.policy.kernelstart import kernel_maps_a_loader

ASKED = ("static", "static-pie", "dynamic", "pie", "no-libraries")
HERE = Assumptions()


def _file(path: Path, assumptions: Assumptions = HERE) -> File:
    (file,) = inspect([os.fspath(path)], assumptions).files
    return file


def _findings(path: Path, linkage: str, assumptions: Assumptions = HERE) -> list[Finding]:
    policy = Policy(groups=(Group(paths=("**",), settings={"linkage": linkage}),))
    document = check([os.fspath(path)], policy, assumptions)
    assert not document.errors
    return document.findings


def _accepted(path: Path, assumptions: Assumptions = HERE) -> list[str]:
    """What the file may be asked to be without an objection."""
    found = {linkage: _findings(path, linkage, assumptions) for linkage in ASKED}
    return [linkage for linkage in ASKED if not any(one.rule == "wrong-linkage" for one in found[linkage])]


def _ldd(path: Path) -> str:
    """What ldd prints, on either output; Unavailable where this is not glibc's."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True)
    if "GLIBC" not in tool("ldd", "--version"):
        raise Unavailable("ldd is not glibc's")
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["hello/hello-static-pie", "hello/hello-musl-static-pie", "kinds/bare-static-pie"])
def test_1_a_static_pie_is_static_though_it_has_a_dynamic_section(name: str, fixture_file: FixtureFile) -> None:
    """Whoever looks for "dynamic section", or for the type EXEC, takes it for dynamic."""
    path = fixture_file(name)
    assert "no dynamic section" not in tool("readelf", "-d", path)
    assert "DYN" in tool("readelf", "-h", path)
    assert not kernel_maps_a_loader(path)
    assert _file(path).linkage == "static"
    assert _accepted(path) == ["static", "static-pie", "pie", "no-libraries"]


def test_2_a_pie_of_go_needs_no_library_and_yet_a_loader(fixture_file: FixtureFile) -> None:
    """ldd calls it statically linked; in an image without a loader it does not start."""
    path = fixture_file("hello/hello-go-pie")
    assert "statically linked" in _ldd(path)
    assert kernel_maps_a_loader(path)
    assert _file(path).linkage == "dynamic"
    assert _accepted(path) == ["dynamic", "pie", "no-libraries"]
    (found,) = [one for one in _findings(path, "static") if one.rule == "wrong-linkage"]
    assert found.level == "error"
    assert "interpreter /lib64/ld-linux-x86-64.so.2" in found.message


def test_3_a_pie_without_a_c_library_is_dynamic(fixture_file: FixtureFile) -> None:
    path = fixture_file("kinds/bare-pie")
    assert "statically linked" in _ldd(path)
    assert "(NEEDED)" not in tool("readelf", "-d", path)
    assert kernel_maps_a_loader(path)
    assert _accepted(path) == ["dynamic", "pie", "no-libraries"]


def test_4_what_musl_gcc_makes_of_static_pie_is_told_by_the_file_and_not_by_the_option(
    require_tool: RequireTool, tmp_path: Path
) -> None:
    """Debian's makes a dynamic PIE of it; elsewhere the specs are mended: the kernel says which it is here."""
    (tmp_path / "source.c").write_text('#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n')
    made = tmp_path / "made"
    compiler = require_tool("musl-gcc")
    built = subprocess.run([compiler, "-static-pie", "-fPIE", tmp_path / "source.c", "-o", made], capture_output=True)
    if built.returncode:
        raise Unavailable("musl-gcc refuses -static-pie here")
    dynamic = kernel_maps_a_loader(made)
    assert _file(made).linkage == ("dynamic" if dynamic else "static")
    assert ("static-pie" in _accepted(made)) is not dynamic
    if dynamic:
        (found,) = [one for one in _findings(made, "static-pie") if one.rule == "wrong-linkage"]
        assert "ld-musl" in found.message
        assert any("musl-gcc -static-pie" in line for line in found.evidence)


def test_5_a_program_of_another_machine_is_not_static_because_ldd_cannot_start_it(require_tool: RequireTool) -> None:
    """ldd says "not a dynamic executable" of it; qemu, in the place of that machine's kernel, asks for the loader."""
    root = roots.root("debian:12/arm64")
    path = root / "usr/bin/true"
    assert "not a dynamic executable" in _ldd(path)
    emulated = subprocess.run([require_tool("qemu-aarch64-static"), path], capture_output=True, text=True)
    assert "ld-linux-aarch64.so.1" in emulated.stderr
    for assumptions in (HERE, Assumptions(root=os.fspath(root))):
        assert _file(path, assumptions).linkage == "dynamic"
        assert _accepted(path, assumptions) == ["dynamic", "pie"]


def test_6_a_library_that_needs_nothing_is_no_static_program(fixture_file: FixtureFile) -> None:
    """ldd calls it statically linked. Nothing starts it: a loader maps it into a program."""
    path = fixture_file("kinds/bare-library.so")
    assert "statically linked" in _ldd(path)
    code = f"import ctypes; ctypes.CDLL({os.fspath(path)!r})"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert _file(path).linkage is None
    assert _accepted(path) == ["dynamic", "pie", "no-libraries"]


@pytest.mark.parametrize("loader", ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"])
def test_7_a_loader_itself_is_no_static_program(loader: str, require_tool: RequireTool) -> None:
    """The kernel starts it alone, and it needs nothing; and it is there to map others."""
    path = Path(require_tool(loader))
    assert not kernel_maps_a_loader(path)
    assert "=>" not in _ldd(path)
    file = _file(path)
    assert (file.kind, file.linkage) == ("interpreter", None)
    assert _accepted(path) == ["no-libraries"]


@pytest.mark.parametrize(("name", "dynamic"), [("sectionless-dynamic", True), ("sectionless-static", False)])
def test_8_section_headers_do_not_decide(name: str, dynamic: bool, fixture_file: FixtureFile) -> None:
    """Without them there is no .interp and no .dynamic to be found by name, and objdump lists no symbol."""
    path = fixture_file(f"kinds/{name}")
    assert ".interp" not in tool("readelf", "-SW", path)
    assert "UND" not in tool("objdump", "-T", path)
    assert kernel_maps_a_loader(path) == dynamic
    assert _file(path).linkage == ("dynamic" if dynamic else "static")
    assert ("static" in _accepted(path)) is not dynamic


def test_9_a_program_whose_interpreter_is_missing_is_dynamic_and_does_not_start(fixture_file: FixtureFile) -> None:
    """ldd lists its libraries through this machine's own loader, and all looks well."""
    path = fixture_file("needed/missing-interpreter")
    assert "libc.so.6 => " in _ldd(path)
    with pytest.raises(FileNotFoundError):
        subprocess.run([path], check=False)
    file = _file(path)
    assert file.linkage == "dynamic"
    assert any(problem.code == "missing-interpreter" and problem.fatal for problem in file.problems)
    found = {one.rule: one.level for one in _findings(path, "dynamic")}
    assert found["missing-interpreter"] == "error"
    assert "wrong-linkage" not in found
    assert "static" not in _accepted(path)


@pytest.fixture(scope="module")
def upx(unpacked: Unpacked) -> list[str]:
    """The command that runs Debian 13's UPX, with its own loader and libraries."""
    folder = os.fspath(unpacked("upx-ucl", suite="trixie"))
    libraries = f"{folder}/usr/lib/x86_64-linux-gnu"
    return [f"{folder}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, f"{folder}/usr/bin/upx-ucl"]


@pytest.mark.parametrize(("name", "dynamic"), [("hello/hello-dynamic-pie", True), ("hello/hello-static", False)])
def test_10_a_packed_program_does_not_tell(
    name: str, dynamic: bool, upx: list[str], fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """The kernel starts the stub alone, and ldd and `file` take the file for static; the stub maps what is inside.

    What is inside answers to LD_TRACE_LOADED_OBJECTS, if it has a loader that does.
    """
    packed = tmp_path / "packed"
    subprocess.run([*upx, "-qq", "-1", "-o", packed, fixture_file(name)], check=True)
    assert not kernel_maps_a_loader(packed)
    assert "not a dynamic executable" in _ldd(packed)
    traced = subprocess.run([packed], env={"LD_TRACE_LOADED_OBJECTS": "1"}, capture_output=True, text=True)
    assert ("libc.so.6" in traced.stdout) == dynamic
    for linkage in ("static", "dynamic", "no-libraries"):
        told = [one for one in _findings(packed, linkage) if one.rule == "wrong-linkage"]
        assert len(told) == 1, linkage
        assert "UPX" in told[0].message
        assert "cannot be told" in told[0].message


OPENS = """
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
    char line[4096];
    void *opened = dlopen("libm.so.6", RTLD_NOW);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "/lib")) fputs(line, stdout);
    return !opened;
}
"""


def test_11_a_static_program_of_glibc_may_open_libraries_all_the_same(tmp_path: Path) -> None:
    """The kernel starts it alone, and when it runs it has libm and another libc mapped, as it says itself."""
    (tmp_path / "source.c").write_text(OPENS)
    made = tmp_path / "made"
    command: list[str | Path] = [
        "cc",
        "-static",
        "-fno-pie",
        "-no-pie",
        "-Wl,--no-warnings",
        tmp_path / "source.c",
        "-o",
        made,
    ]
    if subprocess.run(command, capture_output=True).returncode:
        raise Unavailable("no static C library here")
    assert not kernel_maps_a_loader(made)
    mapped = tool(made)
    assert "/libm.so.6" in mapped
    assert "/libc.so.6" in mapped
    assert _file(made).linkage == "static"
    assert _accepted(made) == ["static", "no-libraries"]
    (found,) = [one for one in _findings(made, "static") if one.rule == "loads-at-run-time"]
    assert found.level == "warning"
    assert "dlopen" in found.message


def _shell(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LINKSCOPE": f"{sys.executable} -m linkscope"}
    environment.pop("CI", None)
    return subprocess.run(["bash", "-c", command, "bash", *arguments], env=environment, capture_output=True, text=True)


def test_12_the_exit_code_of_ldd_is_lost_in_a_pipe_and_the_answer_of_check_is_not(fixture_file: FixtureFile) -> None:
    """ldd's is 0 for a dynamic program and 1 for a static one, and 0 for both where its output is piped on."""
    static, dynamic = fixture_file("hello/hello-static"), fixture_file("hello/hello-dynamic-pie")
    _ldd(static)
    assert [_shell('ldd "$1"', path).returncode for path in (static, dynamic)] == [1, 0]
    assert [_shell('ldd "$1" | cat', path).returncode for path in (static, dynamic)] == [0, 0]
    checks = '$LINKSCOPE check --no-policy --static "$1"'
    assert [_shell(checks, path).returncode for path in (static, dynamic)] == [0, 1]
    piped = f"set -o pipefail; {checks} --format json | cat"
    answers = [_shell(piped, path) for path in (static, dynamic)]
    assert [answer.returncode for answer in answers] == [0, 1]
    assert [json.loads(answer.stdout)["summary"]["errors"] for answer in answers] == [0, 1]
