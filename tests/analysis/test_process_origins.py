"""Where each mapped object comes from, and what a restart would map: judged by what was started, and how.

A program of the ELF writer is held at its first word, which is its own link map; fixtures tell theirs by themselves.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from linkscope.analysis.process import each_process, processes
from linkscope.model.pid import Opener, Process, Restart
from tests.analysis.observed import (
    Held,
    as_nobody,
    called,
    closure_in_memory,
    codes,
    elf_files,
    held,
    needs_root,
    objects,
    observed,
    origins,
)
from tests.oracle import trace
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import GLIBC_X86_64, executable, program, shared_object
from tests.oracle.forest import MUSL_X86_64, Forest, Node
from tests.oracle.forest_strategies import forests, rooted_forests
from tests.oracle.recipe import Recipe
from tests.process.started import NOBODY, Argument, started

FixtureFile = Callable[[str], Path]
RequireTool = Callable[[str], str]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="origins-") as name:
        os.chmod(name, 0o755)
        yield Path(name).resolve()


def _is_here(loader: str) -> None:
    """Raise Unavailable where this machine lacks the loader that programs of the ELF writer ask for."""
    if not os.path.exists(loader):
        raise Unavailable(f"{loader} is not here")


def _libraries(process: Process) -> dict[str, str]:
    """Origins of all but the program, the vdso, the loader and the C library."""
    usual = ("executable", "vdso", "interpreter")
    found = {name: origin for name, origin in origins(process).items() if origin not in usual}
    return {name: origin for name, origin in found.items() if name not in ("libc.so.6", "ld-linux-x86-64.so.2")}


def _listed(process: Process) -> list[str]:
    """The names in the link map of the base namespace."""
    return [one.loaded_as or "" for one in objects(process) if 0 in one.namespaces]


def _replace(path: Path, **recipe: object) -> None:
    """Another library takes the place, as package managers do it."""
    shared_object(path.with_suffix(".new"), **recipe)
    path.with_suffix(".new").rename(path)


# --- dlopen -----------------------------------------------------------------------------------------------------------

# What is opened, by name: what else comes, and from where each is.
OPENED = {
    "libplain.so": {"libplain.so": "dlopen"},
    "libneedy.so": {"libneedy.so": "dlopen", "libneeded.so": "dlopen-needed"},
    "libopener.so": {"libopener.so": "dlopen", "liblate.so": "dlopen"},
    "libdeclares.so": {"libdeclares.so": "dlopen", "libdeclared.so": "dlopen"},
}
HOSTS = {"process/dlopen": "plugins", "process/dlopen-musl": "plugins-musl", "process/dlopen-static": "plugins"}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("plugin", OPENED)
def test_what_is_opened_at_run_time_is_told_from_what_that_needs(
    fixture_file: FixtureFile, host: str, plugin: str
) -> None:
    """In the order, and by the names, that the program sees in its own link map."""
    library = fixture_file(f"process/{HOSTS[host]}/{plugin}")
    with started([fixture_file(host), library]) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert _listed(process) == running.values("map")
    assert _libraries(process) == OPENED[plugin]
    assert called(process, plugin).loaded_as == os.fspath(library)
    assert process.absent == []
    assert codes(process) == (["loaded-by-static"] if host.endswith("static") else [])


@pytest.mark.parametrize("variant", ["", "-musl"])
def test_an_object_names_another_that_it_opens_in_a_string_or_declares_it_in_a_note(
    fixture_file: FixtureFile, variant: str
) -> None:
    """One that the program's arguments name is named by no file."""
    plugins = fixture_file(f"process/plugins{variant}")
    with started(
        [fixture_file(f"process/dlopen{variant}"), plugins / "libopener.so", plugins / "libdeclares.so"]
    ) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert called(process, "liblate.so").opened_by == [Opener(path=f"{plugins}/libopener.so", how="string")]
    assert called(process, "libdeclared.so").opened_by == [Opener(path=f"{plugins}/libdeclares.so", how="note")]
    assert called(process, "libopener.so").opened_by == []


def test_a_library_of_a_further_namespace_is_opened_and_has_its_number(fixture_file: FixtureFile) -> None:
    plugins = fixture_file("process/plugins")
    asked: list[Argument] = [plugins / "libplain.so", "-n", plugins / "libneedy.so", "-n", plugins / "libplain.so"]
    with started([fixture_file("process/dlopen"), *asked]) as running:
        running.expect("ready")
        process = observed(running.pid)
        others = {tuple(line.split(" ", 1)) for line in running.values("other")}
    found = {(str(n), one.path) for one in objects(process) for n in one.namespaces if n}
    assert found == {(number, os.path.realpath(name)) for number, name in others}
    assert _libraries(process) == {"libplain.so": "dlopen", "libneedy.so": "dlopen", "libneeded.so": "dlopen-needed"}
    assert called(process, "libplain.so").namespaces == [0, 2]
    assert called(process, "libc.so.6").namespaces == [0, 1, 2]
    assert called(process, "libc.so.6").origin == "needed"


def test_what_the_program_needs_stays_needed_though_it_is_opened_too(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/dlopen"), "libc.so.6", GLIBC_X86_64]) as running:
        running.expect("ready")
        assert running.values("opened") == ["libc.so.6", GLIBC_X86_64]
        process = observed(running.pid)
    assert origins(process)["libc.so.6"] == "needed"
    assert origins(process)["ld-linux-x86-64.so.2"] == "interpreter"


def test_a_plugin_out_of_a_memfd_needs_what_nobody_else_does(fixture_file: FixtureFile, tmp_path: Path) -> None:
    shared_object(tmp_path / "libplugin.so", soname="libplugin.so", needed=("libc.so.6", "libm.so.6"))
    with started([fixture_file("process/dlopen"), "-m", tmp_path / "libplugin.so"]) as running:
        running.expect("ready")
        process = observed(running.pid)
    (plugin,) = (one for one in objects(process) if one.disk == "memfd")
    assert (plugin.origin, plugin.soname) == ("dlopen", "libplugin.so")
    assert _libraries(process) == {"memfd:library": "dlopen", "libm.so.6": "dlopen-needed"}


def test_another_file_of_a_name_that_is_loaded_is_opened_and_not_needed(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """The need of the first plugin was served by the file beside it: its soname answers to the name from then on."""
    plugins = fixture_file("process/plugins")
    copy = Path(shutil.copy(plugins / "libneeded.so", tmp_path))
    with started([fixture_file("process/dlopen"), plugins / "libneedy.so", copy]) as running:
        running.expect("ready")
        found = {one.path: one.origin for one in objects(observed(running.pid))}
    assert found[os.fspath(plugins / "libneeded.so")] == "dlopen-needed"
    assert found[os.fspath(copy)] == "dlopen"


def test_python_opens_its_extensions_and_they_need_the_libraries_below(require_tool: RequireTool) -> None:
    script = "import _ssl, sys; print('ready', flush=True); sys.stdin.read()"
    with started([require_tool("/usr/bin/python3"), "-I", "-S", "-c", script]) as python:
        python.expect("ready")
        process = observed(python.pid)
        closure = closure_in_memory(python.pid)
        files = elf_files(python.pid)
    found = {one.path: one.origin for one in objects(process)}
    extension = next(path for path in found if "/_ssl." in path)
    below = {
        os.path.basename(path): origin for path, origin in found.items() if "dlopen" in origin and path != extension
    }
    assert found[extension] == "dlopen"
    assert {below["libssl.so.3"], below["libcrypto.so.3"]} == {"dlopen-needed"}
    for path, origin in found.items():
        assert path == "[vdso]" or (files[path] in closure) == ("dlopen" not in origin)


# --- Preloads ---------------------------------------------------------------------------------------------------------

# The variable, with @ for the folder of the plugins: what comes of it.
PRELOADED = {
    "@/libplain.so": {"libplain.so": "preload"},
    "libplain.so": {"libplain.so": "preload"},
    "libneedy.so": {"libneedy.so": "preload", "libneeded.so": "needed"},
    "libneeded.so libneedy.so": {"libneeded.so": "preload", "libneedy.so": "preload"},
    "libplain.so:libgone.so @/libneedy.so": {
        "libplain.so": "preload",
        "libneedy.so": "preload",
        "libneeded.so": "needed",
    },
}


@pytest.mark.parametrize("value", PRELOADED)
def test_what_the_variable_names_is_preloaded_and_what_that_needs_is_needed(
    fixture_file: FixtureFile, value: str
) -> None:
    """A bare name is searched for as the program's own needs are: in its RUNPATH."""
    plugins = fixture_file("process/plugins")
    env = {"LD_PRELOAD": value.replace("@", os.fspath(plugins))}
    with started([fixture_file("process/dlopen")], env=env) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert _listed(process) == running.values("map")
    assert _libraries(process) == PRELOADED[value]
    preloads = [name for name, origin in PRELOADED[value].items() if origin == "preload"]
    assert [(found.code, os.path.basename(found.path or "")) for found in process.findings] == [
        ("preloaded", name) for name in preloads
    ]
    assert {found.level for found in process.findings} == {"note"}
    assert all("LD_PRELOAD" in found.message for found in process.findings)


@pytest.mark.parametrize("names", [("needy",), ("plain", "needy")], ids="+".join)
def test_musl_preloads_are_told_too(fixture_file: FixtureFile, names: Sequence[str]) -> None:
    plugins = fixture_file("process/plugins-musl")
    env = {"LD_PRELOAD": ":".join(f"{plugins}/lib{name}.so" for name in names)}
    with started([fixture_file("process/dlopen-musl")], env=env) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert _listed(process) == running.values("map")
    assert _libraries(process) == {**{f"lib{name}.so": "preload" for name in names}, "libneeded.so": "needed"}


def test_a_library_that_is_preloaded_and_opened_is_a_preload(fixture_file: FixtureFile) -> None:
    library = fixture_file("process/plugins/libplain.so")
    with started([fixture_file("process/dlopen"), library], env={"LD_PRELOAD": os.fspath(library)}) as running:
        running.expect("ready")
        assert _libraries(observed(running.pid)) == {"libplain.so": "preload"}


@pytest.mark.parametrize("variant", ["", "-musl"])
def test_where_the_environment_is_written_over_memory_shows_the_preload(
    fixture_file: FixtureFile, variant: str
) -> None:
    """By its place before everything that is needed, with both loaders; what it needs itself is needed."""
    plugins = fixture_file(f"process/plugins{variant}")
    env = {"LD_PRELOAD": f"{plugins}/libneedy.so"}
    with started([fixture_file(f"process/scrubbed{variant}"), "a title"], env=env) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert process.cmdline == ["a title"]
    assert _libraries(process) == {"libneedy.so": "preload", "libneeded.so": "needed"}
    assert codes(process) == ["preloaded", "environment-unknown"]
    assert process.findings[0].level == "warning"
    assert process.absent == []


@pytest.mark.parametrize("variant", ["", "-musl"])
def test_a_plugin_is_no_preload_where_the_environment_is_written_over(
    fixture_file: FixtureFile, tmp_path: Path, require_tool: RequireTool, variant: str
) -> None:
    """It stands behind what the program needs."""
    source = tmp_path / "opens.c"
    source.write_text(OPENS_SCRUBBED)
    compiler = require_tool("musl-gcc" if variant else "gcc")
    subprocess.run([compiler, source, "-o", tmp_path / "opens"], check=True)
    library = fixture_file(f"process/plugins{variant}/libplain.so")
    with started([tmp_path / "opens"], env={"A_VARIABLE": os.fspath(library), "LD_PRELOAD": ""}) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert _libraries(process) == {"libplain.so": "dlopen"}
    assert codes(process) == ["environment-unknown"]


def test_without_the_environment_only_what_the_name_leads_to_now_is_another_path(
    fixture_file: FixtureFile, folder: Path
) -> None:
    """LD_LIBRARY_PATH is not known any more, so that the usual folders have no say: the name in the link map has."""
    library = os.path.realpath("/lib/x86_64-linux-gnu/libc.so.6")
    if not os.path.exists(library):
        raise Unavailable("the C library stands elsewhere here")
    for name in ("libc-old.so", "libc-new.so"):
        shutil.copy(library, folder / name)
    (folder / "libc.so.6").symlink_to("libc-old.so")
    with started([fixture_file("process/scrubbed"), "a title"], env={"LD_LIBRARY_PATH": os.fspath(folder)}) as running:
        running.expect("ready")
        before = observed(running.pid)
        (folder / "next").symlink_to("libc-new.so")
        (folder / "next").rename(folder / "libc.so.6")
        process = observed(running.pid)
    assert called(before, "libc-old.so").loaded_as == f"{folder}/libc.so.6"
    assert called(before, "libc-old.so").origin == "needed"
    assert codes(before) == ["environment-unknown"]
    assert called(process, "libc-old.so").restart is not None
    assert codes(process) == ["other-path", "environment-unknown"]


OPENS_SCRUBBED = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
extern char **environ;
int main(void)
{
    void *opened = dlopen(getenv("A_VARIABLE"), RTLD_NOW);
    for (char **variable = environ; *variable; variable++)
        memset(*variable, 0, strlen(*variable));
    puts(opened ? "ready" : dlerror());
    fflush(stdout);
    alarm(600);
    for (;;)
        pause();
}
"""


def _rooted(system_preload: str | None, *nodes: Node) -> Forest:
    """A root of its own: a program that needs liba.so, and its own /etc/ld.so.preload."""
    return Forest(
        nodes=(
            Node("bin/app", program(needed=("liba.so",))),
            Node("usr/lib/liba.so", Recipe(soname="liba.so")),
            Node("opt/libp.so", Recipe(soname="libp.so", needed=("libq.so",))),
            Node("usr/lib/libq.so", Recipe(soname="libq.so")),
            *nodes,
        ),
        rooted=True,
        system_preload=system_preload,
    )


def _in_root(base: str, *argv: str) -> list[str]:
    """The command that runs a program in a root, where it sees /proc, in a mount namespace that goes with it."""
    os.makedirs(f"{base}/proc", exist_ok=True)
    script = 'mount --bind /proc "$0/proc" && exec chroot "$0" "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, base, *argv]


def _path() -> dict[str, str]:
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def test_the_preload_file_of_its_own_root_counts() -> None:
    """In a chroot inside another mount namespace; this machine's own /etc/ld.so.preload has no say."""
    needs_root()
    with _rooted("# of the root\n/opt/libp.so\n").planted() as planted:
        with held(_in_root(planted.base, "/bin/app"), env=_path()) as running:
            process = observed(running.pid)
            assert _listed(process) == running.link_map()
        assert process.root == planted.base
    assert _libraries(process) == {"libp.so": "preload", "libq.so": "needed", "liba.so": "needed"}
    assert codes(process) == ["preloaded"]
    assert "/etc/ld.so.preload" in process.findings[0].message


# --- Auditors ---------------------------------------------------------------------------------------------------------


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
        assert _listed(process) == running.values("map")
    assert _libraries(process) == {"auditor.so": "audit", "libown.so": "audit"}
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
    assert _libraries(process) == {"auditor.so": "audit"}
    assert codes(process) == ["audited"]


# --- What the start decides -------------------------------------------------------------------------------------------

# Arguments of the loader, with @ for the folder of the plugins: the origins of what comes.
EXPLICIT = {
    "": {},
    "--inhibit-cache --library-path @:/lib/x86_64-linux-gnu": {},
    "--preload @/libneedy.so": {"libneedy.so": "preload", "libneeded.so": "needed"},
    "--argv0 another --inhibit-rpath /nowhere --preload libplain.so": {"libplain.so": "preload"},
}
EXPLICIT_MUSL = {
    "": {},
    "--library-path=@": {},
    "--preload @/libneedy.so --argv0 another --": {"libneedy.so": "preload", "libneeded.so": "needed"},
}
STARTS = [
    *((GLIBC_X86_64, "", options, found) for options, found in EXPLICIT.items()),
    *((MUSL_X86_64, "-musl", options, found) for options, found in EXPLICIT_MUSL.items()),
]


@pytest.mark.parametrize(("loader", "variant", "options", "expected"), STARTS)
def test_a_program_that_was_started_through_its_loader_is_the_program(
    fixture_file: FixtureFile, loader: str, variant: str, options: str, expected: dict[str, str]
) -> None:
    """The kernel's name for what runs is the loader's; what was preloaded is said to be an option's."""
    host, plugins = fixture_file(f"process/dlopen{variant}"), fixture_file(f"process/plugins{variant}")
    command: list[Argument] = [loader, *options.replace("@", os.fspath(plugins)).split(), host, plugins / "libplain.so"]
    with started(command, env={}) as running:
        running.expect("ready")
        process = observed(running.pid)
        assert _listed(process) == running.values("map")
    assert process.executable is not None
    assert process.executable.path == os.fspath(host)
    assert process.executable.started_through == os.path.realpath(loader)
    assert process.executable.linkage == "dynamic"
    assert _libraries(process) == {"libplain.so": "dlopen", **expected}
    assert [os.path.realpath(loader)] == [one.path for one in objects(process) if one.origin == "interpreter"]
    assert process.absent == []
    assert set(codes(process)) == ({"preloaded"} if expected else set())
    assert all("--preload" in found.message for found in process.findings)


def test_the_search_path_on_the_loaders_command_line_decides(folder: Path) -> None:
    """It stands in the place of LD_LIBRARY_PATH."""
    for name in ("good", "evil"):
        (folder / name).mkdir()
        shared_object(folder / name / "liba.so", soname="liba.so")
    app = executable(folder / "app", needed=("liba.so",))
    env = {"LD_LIBRARY_PATH": f"{folder}/evil"}
    with held([GLIBC_X86_64, "--library-path", f"{folder}/good", app], env=env) as running:
        process = observed(running.pid)
        assert _listed(process) == running.link_map()
    assert called(process, "liba.so").path == f"{folder}/good/liba.so"
    assert codes(process) == []


@pytest.mark.parametrize("loader", [GLIBC_X86_64, MUSL_X86_64], ids=["glibc", "musl"])
def test_a_program_that_the_loader_was_given_by_a_relative_path_is_found(folder: Path, loader: str) -> None:
    """Its $ORIGIN is relative then, and counts from where the loader was started."""
    _is_here(loader)
    (folder / "lib").mkdir()
    shared_object(folder / "lib/liba.so", soname="liba.so")
    executable(folder / "app", interp=loader, needed=("liba.so",), runpath="$ORIGIN/lib")
    with held([loader, "./app"], env={"PWD": "/"}, cwd=folder) as running:
        process = observed(running.pid)
        assert _listed(process) == running.link_map()
    assert process.executable is not None
    assert process.executable.path == f"{folder}/app"
    assert _libraries(process) == {"liba.so": "needed"}
    assert codes(process) == []


def test_a_static_program_that_was_given_to_the_loader_is_static(fixture_file: FixtureFile) -> None:
    """glibc's loader has the kernel start it, from 2.35 on."""
    with started([GLIBC_X86_64, fixture_file("process/states-static"), "sleeping"], env={}) as running:
        running.expect("ready")
        process = observed(running.pid)
    assert process.executable is not None
    assert (process.executable.linkage, process.executable.started_through) == ("static", None)
    assert origins(process) == {"states-static": "executable", "[vdso]": "vdso"}


@pytest.mark.parametrize("setuid", [False, True], ids=["ordinary", "setuid"])
def test_in_secure_execution_the_variables_do_not_count(folder: Path, setuid: bool) -> None:
    needs_root()
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        raise Unavailable("no setuid file counts on this file system")
    for name in ("good", "evil"):
        (folder / name).mkdir()
        shared_object(folder / name / "liba.so", soname="liba.so")
    shared_object(folder / "libp.so", soname="libp.so")
    app = executable(folder / "app", needed=("liba.so",), runpath=f"{folder}/good")
    app.chmod(0o4755 if setuid else 0o755)
    env = {"LD_LIBRARY_PATH": f"{folder}/evil", "LD_PRELOAD": f"{folder}/libp.so"}
    with held([app], env=env, user=NOBODY, group=NOBODY, extra_groups=[]) as running:
        process = observed(running.pid)
    assert process.user == ("root" if setuid else "nobody")
    assert called(process, "liba.so").path == f"{folder}/{'good' if setuid else 'evil'}/liba.so"
    assert _libraries(process) == {"liba.so": "needed"} | ({} if setuid else {"libp.so": "preload"})
    assert codes(process) == ([] if setuid else ["preloaded"])


def test_the_origin_of_a_program_behind_a_symlink_is_where_its_file_is(folder: Path) -> None:
    for name in ("real", "link"):
        (folder / name / "lib").mkdir(parents=True)
        shared_object(folder / name / "lib/liba.so", soname="liba.so")
    executable(folder / "real/app", needed=("liba.so",), runpath="$ORIGIN/lib")
    (folder / "link/app").symlink_to("../real/app")
    with held([folder / "link/app"]) as running:
        process = observed(running.pid)
    assert called(process, "liba.so").path == f"{folder}/real/lib/liba.so"
    assert codes(process) == []


def test_the_origin_in_a_needed_name_is_followed(folder: Path) -> None:
    """Also where the file has gone since: the name in the file has the token, the one in the link map the folder."""
    (folder / "own").mkdir()
    library = shared_object(folder / "own/liba.so")
    app = executable(folder / "app", needed=("$ORIGIN/own/liba.so",))
    with held([app]) as running:
        assert origins(observed(running.pid))["liba.so"] == "needed"
        assert codes(observed(running.pid)) == []
        library.unlink()
        process = observed(running.pid)
    assert (called(process, "liba.so").origin, called(process, "liba.so").disk) == ("needed", "deleted")


GOES_AWAY = """
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    if (chdir("/"))
        return 1;
    puts("ready");
    fflush(stdout);
    alarm(600);
    for (;;)
        pause();
}
"""


@pytest.fixture(scope="module")
def daemon(require_tool: RequireTool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that goes to / as daemons do; it needs liba.so, by a RUNPATH that counts from where it was started."""
    folder = tmp_path_factory.mktemp("daemon").resolve()
    (folder / "daemon.c").write_text(GOES_AWAY)
    (folder / "lib").mkdir()
    library = shared_object(folder / "lib/liba.so", soname="liba.so")
    flags = ["-Wl,--no-as-needed", "-Wl,-rpath,lib"]
    subprocess.run([require_tool("gcc"), *flags, folder / "daemon.c", library, "-o", folder / "daemon"], check=True)
    return folder / "daemon"


def test_a_relative_search_path_counts_from_where_the_shell_was(daemon: Path) -> None:
    with started([daemon], cwd=daemon.parent, env={"PWD": os.fspath(daemon.parent)}) as running:
        running.expect("ready")
        assert os.readlink(f"/proc/{running.pid}/cwd") == "/"
        process = observed(running.pid)
    assert _libraries(process) == {"liba.so": "needed"}
    assert process.absent == []
    assert codes(process) == []


@pytest.mark.parametrize("pwd", [None, "/", "other"])
def test_a_program_may_be_started_in_another_folder_than_the_variable_says(folder: Path, pwd: str | None) -> None:
    """Whatever starts it without a shell leaves its own: the folder in which the program is now fits better then."""
    for name in ("lib", "other/lib"):
        (folder / name).mkdir(parents=True)
        shared_object(folder / name / "liba.so", soname="liba.so")
    app = executable(folder / "app", needed=("liba.so",))
    env = {"LD_LIBRARY_PATH": "lib"} | ({} if pwd is None else {"PWD": os.path.join(folder, pwd)})
    with held([app], env=env, cwd=folder) as running:
        process = observed(running.pid)
        assert _listed(process) == running.link_map()
    assert called(process, "liba.so").loaded_as == "lib/liba.so"
    assert called(process, "liba.so").path == f"{folder}/lib/liba.so"
    assert process.absent == []
    assert codes(process) == []


def test_the_folder_for_this_processor_is_where_the_library_is(fixture_file: FixtureFile) -> None:
    with held([fixture_file("platform/hwcaps")]) as running:
        process = observed(running.pid)
    assert called(process, "libleaf.so").origin == "needed"
    assert "/glibc-hwcaps/" in called(process, "libleaf.so").path
    assert codes(process) == []


def test_musl_needs_are_followed_by_its_own_rules(folder: Path) -> None:
    """RUNPATH of the program serves what its libraries need."""
    _is_here(MUSL_X86_64)
    shared_object(folder / "liba.so", needed=("libb.so",))
    shared_object(folder / "libb.so")
    app = executable(folder / "app", interp=MUSL_X86_64, needed=("liba.so", "libc.so"), runpath="$ORIGIN")
    with held([app]) as running:
        process = observed(running.pid)
        assert _listed(process) == running.link_map()
    assert _libraries(process) == {"liba.so": "needed", "libb.so": "needed"}
    assert codes(process) == []


@pytest.mark.parametrize("kind", ["auxiliary", "filter"])
def test_what_a_filter_stands_for_is_needed(folder: Path, kind: str) -> None:
    """Also where the filter is another file by now: its filtee, which stands first, is no preload."""
    shared_object(folder / "libfiltee.so", soname="libfiltee.so")
    shared_object(folder / "liba.so", soname="liba.so", runpath="$ORIGIN", **{kind: ("libfiltee.so",)})
    app = executable(folder / "app", needed=("liba.so",), runpath="$ORIGIN")
    with held([app]) as running:
        assert codes(observed(running.pid)) == []
        _replace(folder / "liba.so", soname="liba.so")
        process = observed(running.pid)
        assert _listed(process) == running.link_map()
    assert _libraries(process) == {"libfiltee.so": "needed", "liba.so": "needed"}
    assert codes(process) == ["stale-object"]


# --- What changed since the start -------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpreter", [GLIBC_X86_64, MUSL_X86_64], ids=["glibc", "musl"])
def test_what_an_upgraded_library_no_longer_needs_was_needed_all_the_same(folder: Path, interpreter: str) -> None:
    """And what it needs now is absent: directly, and through another."""
    _is_here(interpreter)
    shared_object(folder / "liba.so", soname="liba.so", needed=("libb.so",))
    shared_object(folder / "libb.so", soname="libb.so", needed=("libbelow.so",))
    shared_object(folder / "libbelow.so", soname="libbelow.so")
    shared_object(folder / "libnext.so", soname="libnext.so")
    app = executable(folder / "app", interp=interpreter, needed=("liba.so",), rpath=os.fspath(folder))
    with held([app]) as running:
        assert codes(observed(running.pid)) == []
        _replace(folder / "liba.so", soname="liba.so", needed=("libnext.so",))
        process = observed(running.pid)
        _replace(folder / "libb.so", soname="libb.so")
        later = observed(running.pid)
        (folder / "libb.so").unlink()
        last = observed(running.pid)
    assert _libraries(process) == {"liba.so": "needed", "libb.so": "needed", "libbelow.so": "needed"}
    assert called(process, "liba.so").disk == "replaced"
    assert called(process, "libb.so").disk == "same"
    assert process.absent == ["libnext.so"]
    assert sorted(codes(process)) == ["missing-object", "stale-object"]
    assert _libraries(later) == _libraries(last) == _libraries(process)
    assert called(later, "libb.so").restart == Restart(path=f"{folder}/libb.so", build_id=None)
    assert called(last, "libb.so").restart == Restart(path=None, build_id=None)


def test_an_ordinary_user_learns_from_memory_what_a_replaced_library_needed(folder: Path) -> None:
    """Who may not open what is mapped reads the names where the loader has them."""
    shared_object(folder / "liba.so", soname="liba.so", needed=("libb.so",))
    shared_object(folder / "libb.so", soname="libb.so")
    app = executable(folder / "app", needed=("liba.so",), rpath=os.fspath(folder))
    with held([app], user=NOBODY, group=NOBODY, extra_groups=[]) as running:
        _replace(folder / "liba.so", soname="liba.so")
        _replace(folder / "libb.so", soname="libb.so")
        (process,) = as_nobody([running.pid]).processes
    assert _libraries(process) == {"liba.so": "needed", "libb.so": "needed"}
    assert (called(process, "libb.so").disk, called(process, "libb.so").soname) == ("replaced", "libb.so")
    assert codes(process) == ["stale-object", "stale-object"]


def test_a_symlink_that_leads_to_another_file_by_now_is_another_path(folder: Path) -> None:
    """The mapped file is still there, and no stale one: but a restart takes the new one."""
    shared_object(folder / "libx.so.1.0", soname="libx.so.1", build_id=b"old")
    shared_object(folder / "libx.so.1.1", soname="libx.so.1", build_id=b"new")
    (folder / "libx.so.1").symlink_to("libx.so.1.0")
    app = executable(folder / "app", needed=("libx.so.1",), runpath="$ORIGIN")
    with held([app]) as running:
        assert codes(observed(running.pid)) == []
        (folder / "next").symlink_to("libx.so.1.1")
        (folder / "next").rename(folder / "libx.so.1")
        process = observed(running.pid)
    mapped = called(process, "libx.so.1.0")
    assert (mapped.disk, mapped.origin, mapped.build_id) == ("same", "needed", b"old".hex())
    assert mapped.loaded_as == f"{folder}/libx.so.1"
    assert mapped.restart == Restart(path=f"{folder}/libx.so.1", build_id=b"new".hex())
    assert codes(process) == ["other-path"]
    assert process.absent == []


@pytest.mark.parametrize("place", ["first", "second/glibc-hwcaps/x86-64-v2"], ids=["folder", "hwcaps"])
def test_a_library_that_came_to_stand_earlier_in_the_search_is_another_path(folder: Path, place: str) -> None:
    (folder / "first").mkdir()
    (folder / "second").mkdir()
    shared_object(folder / "second/liba.so", soname="liba.so")
    app = executable(folder / "app", needed=("liba.so",))
    with held([app], env={"LD_LIBRARY_PATH": f"{folder}/first:{folder}/second"}) as running:
        assert codes(observed(running.pid)) == []
        (folder / place).mkdir(parents=True, exist_ok=True)
        shared_object(folder / place / "liba.so", soname="liba.so")
        process = observed(running.pid)
    mapped = called(process, "liba.so")
    assert (mapped.path, mapped.disk) == (f"{folder}/second/liba.so", "same")
    assert mapped.restart == Restart(path=f"{folder}/{place}/liba.so", build_id=None)
    assert codes(process) == ["other-path"]


def test_the_program_that_runs_is_told_and_not_the_one_that_took_its_place(folder: Path) -> None:
    shared_object(folder / "liba.so", soname="liba.so")
    app = executable(folder / "app", needed=("liba.so",), runpath="$ORIGIN", build_id=b"old")
    executable(folder / "static", interp=None, pie=False, build_id=b"new")
    with held([app]) as running:
        (folder / "static").rename(app)
        process = observed(running.pid)
        app.unlink()
        later = observed(running.pid)
    for seen, disk in ((process, "replaced"), (later, "deleted")):
        assert seen.executable is not None
        assert (seen.executable.path, seen.executable.disk) == (os.fspath(app), disk)
        assert (seen.executable.linkage, seen.executable.pie) == ("dynamic", True)
        assert _libraries(seen) == {"liba.so": "needed"}
        assert called(seen, "app").build_id == b"old".hex()
        assert codes(seen) == ["stale-object"]
        assert seen.absent == []
    assert called(process, "app").restart == Restart(path=os.fspath(app), build_id=b"new".hex())
    assert called(later, "app").restart == Restart(path=None, build_id=None)


def test_a_plugin_that_was_replaced_or_moved_away_is_found_by_its_path(fixture_file: FixtureFile, folder: Path) -> None:
    plugin = shared_object(folder / "libplugin.so", soname="libplugin.so", build_id=b"old")
    with started([fixture_file("process/dlopen"), plugin]) as running:
        running.expect("ready")
        assert called(observed(running.pid), "libplugin.so").restart is None
        _replace(plugin, soname="libplugin.so", build_id=b"new")
        mapped = called(observed(running.pid), "libplugin.so")
        plugin.unlink()
        later = called(observed(running.pid), "libplugin.so")
    assert (mapped.origin, mapped.disk) == (later.origin, "replaced")
    assert mapped.build_id == later.build_id == b"old".hex()
    assert mapped.restart == Restart(path=os.fspath(plugin), build_id=b"new".hex())
    assert (later.disk, later.restart) == ("deleted", Restart(path=None, build_id=None))


def test_a_plugin_whose_symlink_leads_to_another_file_by_now_is_another_path(
    fixture_file: FixtureFile, folder: Path
) -> None:
    """A restart opens it by the same name; so does whatever needs it."""
    shared_object(folder / "libx.so.1.0", soname="libx.so.1", build_id=b"old")
    shared_object(folder / "libx.so.1.1", soname="libx.so.1", build_id=b"new")
    shared_object(folder / "libplugin.so", needed=("libx.so.1",), runpath="$ORIGIN")
    (folder / "libx.so.1").symlink_to("libx.so.1.0")
    with started([fixture_file("process/dlopen"), folder / "libplugin.so"], env={}) as running:
        running.expect("ready")
        assert codes(observed(running.pid)) == []
        (folder / "next").symlink_to("libx.so.1.1")
        (folder / "next").rename(folder / "libx.so.1")
        process = observed(running.pid)
    mapped = called(process, "libx.so.1.0")
    assert (mapped.origin, mapped.disk) == ("dlopen-needed", "same")
    assert mapped.restart == Restart(path=f"{folder}/libx.so.1", build_id=b"new".hex())
    assert codes(process) == ["other-path"]


@pytest.mark.parametrize("variant", ["", "-musl"])
@pytest.mark.parametrize("name", ["/proc/self/fd", "/dev/fd"])
def test_a_library_that_was_opened_by_the_number_of_a_descriptor_has_its_own_name(
    fixture_file: FixtureFile, folder: Path, name: str, variant: str
) -> None:
    """The number means another file, or none, to everybody else."""
    plugin = shutil.copy(fixture_file(f"process/plugins{variant}/libplain.so"), folder)
    descriptor = os.open(plugin, os.O_RDONLY)
    argv: list[Argument] = [fixture_file(f"process/dlopen{variant}"), f"{name}/{descriptor}"]
    try:
        with started(argv, pass_fds=[descriptor]) as running:
            running.expect("ready")
            with open("/dev/null") as other:
                os.dup2(other.fileno(), descriptor)
                processes_seen = [observed(running.pid)]
                os.close(descriptor)
                processes_seen.append(observed(running.pid))
                os.dup2(other.fileno(), descriptor)
    finally:
        os.close(descriptor)
    for process in processes_seen:
        mapped = called(process, "libplain.so")
        assert (mapped.loaded_as, mapped.disk, mapped.restart) == (f"{name}/{descriptor}", "same", None)
        assert codes(process) == []


# --- In general -------------------------------------------------------------------------------------------------------


def _agrees(process: Process) -> None:
    """What is needed is what the NEEDED entries of the mapped files lead to, from the program on, and nothing else."""
    closure, files = closure_in_memory(process.pid), elf_files(process.pid)
    for one in objects(process):
        place = files.get(one.path, files.get(f"{one.path} (deleted)"))
        if place is None or one.origin in ("executable", "interpreter", "preload", "audit"):
            continue
        assert (place in closure) == (one.origin == "needed"), f"{process.pid} {process.name}: {one}"


def test_in_every_process_of_the_machine_what_is_opened_is_in_no_closure_and_the_reverse(
    fixture_file: FixtureFile, require_tool: RequireTool
) -> None:
    needs_root()
    script = "import _ssl, _sqlite3, _ctypes, sys; print('ready', flush=True); sys.stdin.read()"
    plugins = fixture_file("process/plugins")
    with (
        started([require_tool("/usr/bin/python3"), "-c", script]) as python,
        started([fixture_file("process/dlopen"), plugins / "libneedy.so", "libm.so.6"]) as host,
        started([require_tool("gdb"), "-nx", "-q", "-ex", "echo ready\\n"]) as debugger,
    ):
        for one in (python, host, debugger):
            one.expect("ready")
        seen = 0
        for result in each_process(None):
            if isinstance(result, Process) and result.objects and result.executable:
                with suppress(OSError, KeyError):  # it has ended meanwhile, or become another program
                    _agrees(result)
                    seen += 1
    assert seen >= 3


def test_what_is_needed_is_what_the_loader_itself_lists(fixture_file: FixtureFile, require_tool: RequireTool) -> None:
    """ldd asks the loader about the file; the process has mapped just that, and the plugins on top."""
    script = "import _ssl, sys; print('ready', flush=True); sys.stdin.read()"
    programs: list[list[Argument]] = [
        [require_tool("/usr/bin/python3"), "-c", script],
        [fixture_file("process/dlopen"), "libm.so.6"],
    ]
    for argv in programs:
        with started(argv) as running:
            running.expect("ready")
            process = observed(running.pid)
            file = os.readlink(f"/proc/{running.pid}/exe")
        listed = {os.path.realpath(entry.path) for entry in trace.trace(file).entries if entry.path}
        found = {one.path for one in objects(process) if one.origin in ("needed", "interpreter")}
        assert found == listed


_SETTINGS = settings(
    max_examples=int(os.environ.get("LINKSCOPE_PROCESS_FORESTS", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
)


def _says_nothing_new(running: Held, forest: Forest) -> None:
    """A process whose files are as they were: its link map, nothing but needs and preloads, and nothing to report."""
    (process,) = processes([running.pid]).processes
    found = objects(process)
    assert _listed(process) == running.link_map(), forest
    assert {one.disk for one in found} == {"same"}, forest
    assert {one.origin for one in found} <= {"executable", "vdso", "interpreter", "needed", "preload"}, (found, forest)
    assert process.absent == [], forest
    assert set(codes(process)) <= {"preloaded"}, (process.findings, forest)
    assert {one.restart for one in found} == {None}, forest
    named = forest.preload or forest.system_preload
    assert named or "preload" not in {one.origin for one in found}, forest


def _start(forest: Forest, argv: Sequence[str], env: dict[str, str], cwd: str | None) -> None:
    try:
        with held(argv, env=env, cwd=cwd) as running:
            _says_nothing_new(running, forest)
    except AssertionError as error:
        if "has ended" not in str(error):
            raise  # the loader has refused the forest, which is no matter here


@_SETTINGS
@given(forests())
def test_any_forest_of_libraries_that_starts_is_all_needed(forest: Forest) -> None:
    """RPATH, RUNPATH, links, sonames, hwcaps, filters, variables: nothing was opened, nothing is missing or new."""
    with forest.planted() as planted:
        _start(forest, [planted.program], planted.environment, planted.cwd)


@_SETTINGS
@given(forests(libc=MUSL_X86_64))
def test_any_forest_under_musl_is_all_needed(forest: Forest) -> None:
    _is_here(MUSL_X86_64)
    with forest.planted(MUSL_X86_64) as planted:
        _start(forest, [planted.program], planted.environment, planted.cwd)


@_SETTINGS
@given(rooted_forests())
def test_any_forest_in_a_root_of_its_own_is_judged_in_there(forest: Forest) -> None:
    """A chroot in a mount namespace, with its own cache, default folders and /etc/ld.so.preload."""
    needs_root()
    with forest.planted() as planted:
        _start(forest, _in_root(planted.base, planted.program), {**_path(), **planted.environment}, None)
