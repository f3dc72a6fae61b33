"""What comes in without being needed: dlopen by the program itself, and auditors. A real start is the judge."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from linkscope.elf.image import read_image
from linkscope.loader.environment import Environment
from linkscope.loader.program import Program, Start
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.system import System
from tests.oracle.elfwriter import shared_object

_OPENER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct link_map *found;
    void *handle = argc > 1 ? dlopen(argv[1], RTLD_LAZY) : NULL;
    return !handle || dlinfo(handle, RTLD_DI_LINKMAP, &found) || printf("%s", found->l_name) < 0;
}
"""


class Opened(msgspec.Struct, frozen=True):
    """How the program is linked, what it opens, and its LD_LIBRARY_PATH. @: the folder; a/ and b/ have a libx.so."""

    options: str
    name: str
    library_path: str = ""


RUNPATH, RPATH = "-Wl,--enable-new-dtags,-rpath,@/a", "-Wl,--disable-new-dtags,-rpath,@/a"
OPENED = {
    "the program's RUNPATH counts for what it opens": Opened(RUNPATH, "libx.so"),
    "LD_LIBRARY_PATH comes before its RUNPATH": Opened(RUNPATH, "libx.so", "@/b"),
    "and behind its RPATH": Opened(RPATH, "libx.so", "@/b"),
    "without a path, the cache and the default folders": Opened("", "libm.so.6"),
    "what is loaded already is not searched for": Opened(RUNPATH, "libc.so.6"),
    "a name with a slash is opened as it is": Opened(RUNPATH, "@/b/libx.so"),
    "nothing leads to it": Opened("", "libx.so"),
}


@pytest.mark.parametrize("opened", OPENED.values(), ids=OPENED)
def test_what_the_program_opens_is_what_dlopen_gives_it(
    opened: Opened, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shared_object(tmp_path / folder / "libx.so")
    (tmp_path / "opener.c").write_text(_OPENER)
    options, name, library_path = (text.replace("@", str(tmp_path)) for text in msgspec.structs.astuple(opened))
    program = tmp_path / "opener"
    command = [require_tool("cc"), "-o", program, tmp_path / "opener.c", *options.split(), "-ldl"]
    subprocess.run(command, check=True)
    variables = {"LD_LIBRARY_PATH": library_path} if library_path else {}
    done = subprocess.run([program, name], env=variables, capture_output=True, text=True)
    assert (_started(program, variables).would_dlopen(name) or "") == done.stdout


def _started(program: Path, variables: Mapping[str, str]) -> Start:
    path, system = os.fspath(program), System(Root("/"))
    environment = Environment(
        cwd="/", library_path=variables.get("LD_LIBRARY_PATH"), audit=variables.get("LD_AUDIT"), secure=False
    )
    with system.open(path) as reader:
        return start(system, Program(read_image(reader), path, path, path), environment)


# How an auditor is asked for: the fixture, and LD_AUDIT, of which @ is the folder of the fixtures.
AUDITED = {
    "DT_AUDIT": ("audited", ""),
    "LD_AUDIT": ("runpath-serves-preload", "@/auditor.so"),
    "LD_AUDIT, searched for in the program's RUNPATH": ("runpath-serves-preload", "auditor.so"),
    "LD_AUDIT, and absent": ("runpath-serves-preload", "@/gone.so"),
    "LD_AUDIT, two, one of them absent": ("runpath-serves-preload", "@/gone.so:@/auditor.so"),
}


@pytest.mark.parametrize(("name", "audit"), AUDITED.values(), ids=AUDITED)
def test_an_auditor_is_told_of_where_it_speaks(name: str, audit: str, fixture_file: Callable[[str], Path]) -> None:
    program = fixture_file(f"runtime/{name}")
    audit = audit.replace("@", str(program.parent))
    variables = {"LD_AUDIT": audit} if audit else {}
    done = subprocess.run([program], env=variables, capture_output=True, text=True)
    problems = _started(program, variables).link_map.problems
    told = [Path(problem.subject).name for problem in problems if problem.code == "audit"]
    assert told == (["auditor.so"] if "audited" in done.stdout else [])
    absent = [problem.subject for problem in problems if problem.code == "missing-audit"]
    assert len(absent) == done.stderr.count("cannot be loaded as audit interface")
    assert all(f"'{subject}'" in done.stderr for subject in absent)
    assert not any(problem.fatal for problem in problems)
    assert done.returncode == 0
