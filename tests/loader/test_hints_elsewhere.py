"""Hints about one of many programs, one that others start in secure execution, and what lies in an archive."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.elf.image import read_image
from linkscope.loader.environment import Environment
from linkscope.loader.layers import LayeredRoot, LayeredSystem
from linkscope.loader.program import Program
from linkscope.loader.remedies.hints import hints_for_missing
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.system import System
from tests.oracle.elfwriter import GLIBC_X86_64, executable, shared_object
from tests.oracle.forest import MUSL_X86_64

LOADERS = pytest.mark.parametrize("interp", [GLIBC_X86_64, MUSL_X86_64])


def hints(system: System, program: Path | str, shown: str | None = None, *, secure: bool = False) -> list[str]:
    """Of everything that is missing. program: as seen from inside."""
    path = str(program)
    with system.open(path) as reader:
        image = system.installed(read_image(reader))
    started = start(
        system, Program(image, path, shown or path, system.root.locate(path)), Environment(cwd="/", secure=secure)
    )
    lost = [one for one in started.link_map.objects if one.image is None and one.role == "library"]
    return [hint for one in lost for hint in hints_for_missing(started, one)]


@LOADERS
def test_programs_that_ask_for_the_same_are_each_told_of_what_is_near_them(
    interp: str, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """In one run as each by itself: their starts are one, and their folders are not."""
    require_tool(interp)
    for folder in ("a", "b", "c"):
        (tmp_path / folder / "lib").mkdir(parents=True)
    shared_object(tmp_path / "a/lib/libleaf.so")
    shared_object(tmp_path / "b/libleaf.so")
    names = ("a/one", "a/two", "b/one", "c/one")
    programs = [executable(tmp_path / name, interp, needed=("libleaf.so",)) for name in names]
    system = System(Root("/"))
    told = [hints(system, program) for program in programs]
    assert told == [hints(System(Root("/")), program) for program in programs]
    assert [re.findall(rf"{tmp_path}(\S*) holds", "".join(one)) for one in told] == [["/a/lib"], ["/a/lib"], ["/b"], []]


@LOADERS
@pytest.mark.parametrize("runpath", [None, "lib"])
def test_a_setuid_program_is_not_told_to_use_its_origin_when_its_owner_asks_either(
    interp: str, runpath: str | None, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """It counts for the owner alone (test_hints has the judge: what is said mends the start of another user)."""
    require_tool(interp)
    (tmp_path / "lib").mkdir()
    shared_object(tmp_path / "lib/libleaf.so")
    program = executable(tmp_path / "app", interp, needed=("libleaf.so",), runpath=runpath)
    (before,) = hints(System(Root("/")), program)
    program.chmod(0o4755)
    (after,) = hints(System(Root("/")), program)
    assert "'$ORIGIN/lib'" in before
    assert f"'{tmp_path}/lib'" in after
    assert "'$ORIGIN" not in after


class Archive:
    """A folder as it comes out of dist.tar, which is looked at as if it was at /dist.tar!."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin", "lib", "far/away"):
            (folder / name).mkdir(parents=True)

    def hints(self, *, mode: int = 0o755) -> list[str]:
        modes = {"bin/app": mode}
        system = LayeredSystem(LayeredRoot(Root("/"), str(self.folder), "/dist.tar!"), str(self.folder), modes)
        return hints(system, "/dist.tar!/bin/app", "dist.tar!/bin/app", secure=bool(mode & 0o4000))


def near(archive: Path, runpath: str | None = None) -> None:
    shared_object(archive / "lib/libleaf.so")
    executable(archive / "bin/app", needed=("libleaf.so",), runpath=runpath)


def another_version(archive: Path) -> None:
    shared_object(archive / "lib/libleaf.so.2", soname="libleaf.so.2")
    executable(archive / "bin/app", needed=("libleaf.so.1",), runpath="$ORIGIN/../lib")


def without_its_link(archive: Path) -> None:
    shared_object(archive / "lib/libleaf.so.1.0", soname="libleaf.so.1")
    executable(archive / "bin/app", needed=("libleaf.so.1",), runpath="$ORIGIN/../lib")


def link_to_nothing(archive: Path) -> None:
    (archive / "lib/libleaf.so").symlink_to("gone")
    executable(archive / "bin/app", needed=("libleaf.so",), runpath="$ORIGIN/../lib")


def not_inherited(archive: Path) -> None:
    shared_object(archive / "far/away/libleaf.so")
    shared_object(archive / "lib/libmid.so", needed=("libleaf.so",))
    executable(archive / "bin/app", needed=("libmid.so",), runpath="$ORIGIN/../lib:$ORIGIN/../far/away")


class Case(msgspec.Struct, frozen=True):
    """What makes an archive, the one hint about it, and the mode of its program."""

    make: Callable[[Path], None]
    hint: str
    mode: int = 0o755


IN_ARCHIVES = {
    "near": Case(
        near,
        "dist.tar!/lib holds libleaf.so, and dist.tar!/bin/app does not look there: link dist.tar!/bin/app with "
        "-Wl,-rpath,'$ORIGIN/../lib'",
    ),
    "near a setuid program": Case(
        near,
        "dist.tar!/lib holds libleaf.so, and dist.tar!/bin/app does not look there: link dist.tar!/bin/app with "
        "-Wl,-rpath and the path at which dist.tar!/lib will be",
        mode=0o4755,
    ),
    "$ORIGIN of a setuid program": Case(
        lambda archive: near(archive, runpath="$ORIGIN/../lib"),
        "'$ORIGIN/../lib' of dist.tar!/bin/app, which leads to libleaf.so, does not count in secure execution (setuid, "
        "file capabilities): write the path at which dist.tar!/lib will be without $ORIGIN",
        mode=0o4755,
    ),
    "a relative element": Case(
        lambda archive: near(archive, runpath="../lib"),
        "replace '../lib' in the RUNPATH of dist.tar!/bin/app by '$ORIGIN/../lib', which leads to libleaf.so "
        "(a relative folder is taken from the working directory)",
    ),
    "another version": Case(
        another_version,
        "only libleaf.so.2 (dist.tar!/lib/libleaf.so.2) is here, another version: install libleaf.so.1, or link "
        "dist.tar!/bin/app anew",
    ),
    "no link of that name": Case(
        without_its_link,
        "dist.tar!/lib/libleaf.so.1.0 is this library, and the link to it is missing "
        "(ln -s libleaf.so.1.0 dist.tar!/lib/libleaf.so.1)",
    ),
    "a link to nothing": Case(
        link_to_nothing,
        "dist.tar!/lib/libleaf.so is a link to gone, and that does not exist",
    ),
    "a RUNPATH is not inherited": Case(
        not_inherited,
        "libmid.so has no RUNPATH of its own, and the RUNPATH of dist.tar!/bin/app, whose folder dist.tar!/far/away "
        "holds libleaf.so, is not inherited: link libmid.so with -Wl,-rpath,'$ORIGIN/../far/away', or link "
        "dist.tar!/bin/app with RPATH instead (-Wl,--disable-new-dtags)",
    ),
}


@pytest.mark.parametrize("name", IN_ARCHIVES)
def test_what_is_in_an_archive_is_named_by_it_and_has_no_path_yet(name: str, tmp_path: Path) -> None:
    case = IN_ARCHIVES[name]
    archive = Archive(tmp_path)
    case.make(tmp_path)
    (hint,) = archive.hints(mode=case.mode)
    assert hint == case.hint
    assert "/dist.tar" not in hint


def test_what_a_package_installs_at_its_place_is_named_by_that(tmp_path: Path) -> None:
    (tmp_path / "opt/app/lib").mkdir(parents=True)
    shared_object(tmp_path / "opt/app/lib/libleaf.so")
    executable(tmp_path / "opt/app/run", needed=("libleaf.so",))
    system = LayeredSystem(LayeredRoot(Root("/"), str(tmp_path)), str(tmp_path), {})
    (hint,) = hints(system, "/opt/app/run", "app.deb!/opt/app/run")
    assert hint.startswith("/opt/app/lib holds libleaf.so, ")
