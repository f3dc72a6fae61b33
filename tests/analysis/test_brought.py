"""What a release brings along is what still starts when it is moved to where nothing else of the build is."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.request import Assumptions
from linkscope.analysis.targets import targets
from linkscope.policy.terms import Group, Policy
from tests.analysis.test_subject import subject_of

TARGET = "debian:13"
# How the program finds libfoo.so.1. `{here}` stands for the folder in which all is built.
WAYS = {
    "beside the program": ("$ORIGIN", "dist"),
    "below the program": ("$ORIGIN/lib", "dist/lib"),
    "a fixed folder outside": ("{here}/vendor/lib", "vendor/lib"),
    "a fixed folder of the build inside": ("{here}/dist/lib", "dist/lib"),
    "out of the folder": ("$ORIGIN/../vendor/lib", "vendor/lib"),
    "out of the folder and back": ("$ORIGIN/../dist/lib", "dist/lib"),
    "by the place of the start": ("vendor/lib", "vendor/lib"),
    "by a link out of the folder": ("$ORIGIN/lib", "vendor/lib"),
}


def compiled(gcc: str, output: Path, text: str, *options: str | Path) -> Path:
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [gcc, "-w", "-xc", "-", "-xnone", "-Wl,--enable-new-dtags", "-o", output, *options]
    subprocess.run(command, input=text, text=True, check=True)
    return output


@pytest.fixture
def gcc(require_tool: Callable[[str], str]) -> str:
    return require_tool("gcc")


def released(gcc: str, here: Path, way: str) -> Path:
    """dist/app, which finds the library in that way."""
    runpath, folder = WAYS[way]
    library = here / folder / "libfoo.so.1"
    compiled(gcc, library, "int foo(void) { return 0; }", "-shared", "-fPIC", "-Wl,-soname,libfoo.so.1")
    if "link" in way:
        (here / "dist").mkdir()
        (here / "dist/lib").symlink_to("../vendor/lib")
    path = f"-Wl,-rpath,{runpath.format(here=here)}"
    return compiled(gcc, here / "dist/app", "int foo(void); int main(void) { return foo(); }", path, library)


def starting(path: Path, **settings: object) -> dict[str, str]:
    """What is said of the start of a file, as levels by rule."""
    rules = {"unresolved-symbol", "bad-candidate", "library-not-in-target"}
    document = check([str(path)], policy(**settings))
    assert not document.errors
    return {one.rule: one.level for one in document.findings if one.rule in rules}


def policy(**settings: object) -> Policy:
    return Policy(groups=(Group(paths=("**",), settings=settings),))


def errors(path: Path, cwd: Path, **settings: object) -> list[tuple[str, str]]:
    document = check([str(path)], policy(**settings), Assumptions(cwd=str(cwd)))
    assert not document.errors
    return [(one.rule, one.subject) for one in document.findings if one.level == "error"]


@pytest.mark.parametrize("way", WAYS)
def test_a_release_brings_along_what_it_starts_with_elsewhere(gcc: str, tmp_path: Path, way: str) -> None:
    """Whatever else this machine has for it."""
    here = tmp_path / "here"
    program = released(gcc, here, way)
    assert subprocess.run([program], cwd=here).returncode == 0
    asked = errors(program.parent, here, target=(TARGET,))
    allowed = errors(program.parent, here, allow=("libc.so.6",))
    (told,) = targets([str(program.parent)], [TARGET], Assumptions(cwd=str(here))).files
    moved = shutil.copytree(program.parent, tmp_path / "moved/dist", symlinks=True)
    shutil.rmtree(here)
    started = subprocess.run([moved / "app"], cwd=tmp_path, capture_output=True).returncode == 0
    assert asked == ([] if started else [("library-not-in-target", "libfoo.so.1")])
    assert allowed == ([] if started else [("library-not-allowed", "libfoo.so.1")])
    assert told.verdicts[0].starts is started


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_is_named_by_itself_brings_along_what_it_finds_from_its_own_place(
    gcc: str, tmp_path: Path, way: str
) -> None:
    program = released(gcc, tmp_path, way)
    asked = errors(program, tmp_path, target=(TARGET,))
    assert asked == ([] if WAYS[way][0].startswith("$ORIGIN") else [("library-not-in-target", "libfoo.so.1")])


def test_what_a_library_of_the_system_finds_by_its_own_search_path_is_the_systems(gcc: str, tmp_path: Path) -> None:
    """A fixed folder stands for the system here: its library brings its own neighbour, and the program neither."""
    inner = compiled(
        gcc, tmp_path / "system/inner.so", "int inner(void) { return 0; }", "-shared", "-Wl,-soname,inner.so"
    )
    text = "int inner(void); int outer(void) { return inner(); }"
    options = ("-shared", "-fPIC", "-Wl,-soname,outer.so", "-Wl,-rpath,$ORIGIN")
    outer = compiled(gcc, tmp_path / "system/outer.so", text, *options, inner)
    text = "int outer(void); int main(void) { return outer(); }"
    where = (f"-Wl,-rpath,{outer.parent}", f"-Wl,-rpath-link,{outer.parent}")
    program = compiled(gcc, tmp_path / "dist/app", text, *where, outer)
    assert subprocess.run([program]).returncode == 0
    assert subject_of(program).brought == frozenset()


def test_a_fixed_folder_of_a_root_is_where_it_will_be(gcc: str, tmp_path: Path) -> None:
    """There is the build's folder the real one, and what lies in the folder that is named comes along."""
    library = compiled(gcc, tmp_path / "root/home/app/lib/libfoo.so.1", "int foo(void) { return 0; }", "-shared")
    soname = compiled(gcc, library, "int foo(void) { return 0; }", "-shared", "-Wl,-soname,libfoo.so.1")
    text = "int foo(void); int main(void) { return foo(); }"
    compiled(gcc, tmp_path / "root/home/app/bin/app", text, "-Wl,-rpath,/home/app/lib", soname)
    for path in ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"):
        inside = tmp_path / "root" / path.lstrip("/")
        inside.parent.mkdir(parents=True)
        shutil.copy(path, inside)
    found = {}
    for path in ("/home/app", "/home/app/bin"):
        document = check([path], policy(allow=("libc.so.6",)), Assumptions(root=str(tmp_path / "root")))
        assert not document.errors
        found[path] = [one.subject for one in document.findings if one.rule == "library-not-allowed"]
    assert found == {"/home/app": [], "/home/app/bin": ["libfoo.so.1"]}


def test_a_refused_file_of_the_release_ends_the_start_on_every_target(gcc: str, tmp_path: Path) -> None:
    """One of the build machine does not, for all that is known."""
    program = released(gcc, tmp_path, "below the program")
    (tmp_path / "dist/lib/libfoo.so.1").write_text("no library")
    assert subprocess.run([program], capture_output=True).returncode == 127
    for path in (program, program.parent):
        assert starting(path, target=(TARGET,))["bad-candidate"] == "error"
        (told,) = targets([str(path)], [TARGET]).files
        assert (told.verdicts[0].starts, told.verdicts[0].because) == (False, str(tmp_path / "dist/lib/libfoo.so.1"))
    outside = released(gcc, tmp_path / "other", "a fixed folder outside")
    (tmp_path / "other/vendor/lib/libfoo.so.1").write_text("no library")
    assert starting(outside) == {"bad-candidate": "error"}
    assert starting(outside, target=(TARGET,)) == {"library-not-in-target": "error"}


@pytest.mark.parametrize(("binding", "level"), [("now", "error"), ("lazy", "warning")])
def test_what_a_library_of_the_release_lacks_is_lacking_on_every_target(
    gcc: str, tmp_path: Path, binding: str, level: str
) -> None:
    """What one of the build machine lacks may be in the target's."""
    for place, runpath in (("dist/lib", "$ORIGIN/lib"), ("vendor", f"{tmp_path}/vendor")):
        library = tmp_path / place / "libfoo.so.1"
        options = ("-shared", "-fPIC", "-Wl,-soname,libfoo.so.1")
        compiled(gcc, library, "int foo(void) { return 0; }", *options)
        text = "int foo(void); int main(int n, char **v) { return n > 1 ? foo() : 0; }"
        program = compiled(gcc, tmp_path / "dist/app", text, f"-Wl,-z,{binding}", f"-Wl,-rpath,{runpath}", library)
        compiled(gcc, library, "int other(void) { return 0; }", *options)
        assert (subprocess.run([program], capture_output=True).returncode == 0) == (binding == "lazy")
        assert subprocess.run([program, "call"], capture_output=True).returncode == 127
        verdict = targets([str(program.parent)], [TARGET]).files[0].verdicts[0]
        if place == "vendor":
            assert starting(program.parent, target=(TARGET,))["unresolved-symbol"] == "note"
            assert verdict.because == "libfoo.so.1"
        else:
            assert starting(program.parent, target=(TARGET,)) == {"unresolved-symbol": level}
            assert (verdict.starts, verdict.because) == ((False, "foo") if level == "error" else (True, None))
