"""A loader that is started as a program: what it reads of its command line, and what it then maps. The real ones judge.

A program of the ELF writer prints its own link map, in which the loader stands by the name that it was called by.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from linkscope.elf.image import read_image
from linkscope.loader.environment import Environment
from linkscope.loader.explicit import ExplicitLoader, Family, parse_loader_command
from linkscope.loader.linkmap import Loaded
from linkscope.loader.program import Program, Start
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.system import System
from tests.oracle import roots, runner
from tests.oracle.answers import VDSO
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import GLIBC_X86_64, executable, shared_object
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.runner import NOBODY, Request

LOADERS: dict[Family, str] = {"glibc": GLIBC_X86_64, "musl": MUSL_X86_64}


@pytest.fixture
def room(tmp_path: Path, require_tool: Callable[[str], str]) -> Path:
    """Programs for both loaders, and a libx.so in each of several folders."""
    for loader in LOADERS.values():
        require_tool(loader)
    for folder in ("a", "b", "c"):
        own = tmp_path / folder
        own.mkdir()
        shared_object(own / "libx.so", soname="libx.so", needed=("liby.so",), runpath=str(own))
        shared_object(own / "liby.so")
    (tmp_path / "p").mkdir()
    for name in ("libp.so", "libq.so", "libr.so"):
        shared_object(tmp_path / "p" / name)
    for folder in ("a", "a/glibc-hwcaps/mine", "a/glibc-hwcaps/x86-64-v2"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        shared_object(tmp_path / folder / "libcaps.so")
    (tmp_path / "link").mkdir()
    for family, interp in LOADERS.items():
        _programs(tmp_path, family, interp)
    return tmp_path


def _programs(at: Path, family: Family, interp: str) -> None:
    a, c_library = str(at / "a"), "libc.so.6" if family == "glibc" else "libc.so"
    executable(at / f"{family}-app", interp=interp, needed=("libx.so",), runpath=a)
    executable(at / f"{family}-fixed", interp=interp, pie=False, needed=("libx.so",), runpath=a)
    executable(at / f"{family}-origin", interp=interp, needed=("libx.so",), runpath="$ORIGIN/a")
    executable(at / f"{family}-bare", interp=interp, needed=("libx.so",))
    executable(at / f"{family}-called", interp=interp, soname="libme.so", needed=("libme.so", "libx.so"), runpath=a)
    executable(at / f"{family}-foreign", interp="/none/ld.so", needed=("libx.so",), runpath=a)
    executable(at / f"{family}-asks", interp=interp, needed=("libx.so", "my-loader", c_library), runpath=a)
    executable(at / f"{family}-interp", interp=interp, needed=("libx.so", interp, c_library), runpath=a)
    executable(at / f"{family}-hwcaps", interp=interp, needed=("libcaps.so",), runpath=a)
    (at / "link" / f"{family}-origin").symlink_to(f"../{family}-origin")


# A command line behind the loader's name, and the variables that are set. @: the room, %: the family's name.
STARTS: dict[str, tuple[str, dict[str, str]]] = {
    "as it is": ("./%-app", {}),
    "fixed addresses": ("./%-fixed", {}),
    "an interpreter that is not there": ("./%-foreign", {}),
    "--library-path stands in the place of the variable": ("--library-path @/b ./%-app", {"LD_LIBRARY_PATH": "@/c"}),
    "an empty one as well": ("--library-path \0 ./%-app", {"LD_LIBRARY_PATH": "@/c"}),
    "the last of two counts": ("--library-path @/c --library-path @/b ./%-app", {}),
    "$ORIGIN in --library-path is the program's": ("--library-path $ORIGIN/b ./%-bare", {}),
    "relative to the working directory": ("--library-path b ./%-bare", {}),
    "without it the variable counts": ("./%-bare", {"LD_LIBRARY_PATH": "@/c"}),
    "--preload": ("--preload @/p/libp.so:@/p/libr.so ./%-app", {}),
    "--preload and LD_PRELOAD": ("--preload @/p/libp.so ./%-app", {"LD_PRELOAD": "@/p/libq.so"}),
    "the last --preload counts": ("--preload @/p/libp.so --preload @/p/libr.so ./%-app", {}),
    "an empty --preload": ("--preload \0 ./%-app", {"LD_PRELOAD": "@/p/libq.so"}),
    "a preload that is not there": ("--preload gone.so ./%-app", {}),
    "--argv0": ("--argv0 another ./%-app", {}),
    "$ORIGIN by the folder that was given": ("./%-origin", {}),
    "$ORIGIN by an absolute path": ("@/%-origin", {}),
    "$ORIGIN of a link is the link's folder": ("link/%-origin", {}),
    "its DT_SONAME": ("./%-called", {}),
    "a need that is the path of the loader": ("./%-interp", {}),
    "a need that nothing leads to": ("./%-asks", {}),
    "options behind the program are its own": ("./%-app --library-path @/b", {}),
}
ONLY_GLIBC = {
    "--inhibit-cache": ("--inhibit-cache ./%-app", {}),
    "--inhibit-rpath of the program": ("--inhibit-rpath \0 ./%-app", {"LD_LIBRARY_PATH": "@/c"}),
    "the program has no other name there": ("--inhibit-rpath ./%-app:@/%-app ./%-app", {}),
    "an empty name before a colon": ("--inhibit-rpath :x ./%-app", {}),
    "an empty name between colons": ("--inhibit-rpath x::y ./%-app", {}),
    "an empty name behind the last colon": ("--inhibit-rpath x: ./%-app", {}),
    "--inhibit-rpath of a library": ("--inhibit-rpath @/b/libx.so:@/a/libx.so ./%-app", {}),
    "the last --inhibit-rpath counts": ("--inhibit-rpath @/a/libx.so --inhibit-rpath x ./%-app", {}),
    "--glibc-hwcaps-prepend": ("--glibc-hwcaps-prepend other:mine ./%-hwcaps", {}),
    "--glibc-hwcaps-mask": ("--glibc-hwcaps-mask x86-64-v2 ./%-hwcaps", {}),
    "--glibc-hwcaps-mask without the one that is there": ("--glibc-hwcaps-mask x86-64-v3 ./%-hwcaps", {}),
    "an empty mask": ("--glibc-hwcaps-mask \0 ./%-hwcaps", {}),
    "a mask and more": ("--glibc-hwcaps-mask x --glibc-hwcaps-prepend ::x86-64-v2: ./%-hwcaps", {}),
    "--audit": ("--audit @/none.so ./%-app", {}),
}
ONLY_MUSL = {
    "the end of the options": ("-- ./%-app", {}),
    "a value behind =": ("--library-path=@/b --preload=@/p/libp.so --argv0=x ./%-app", {}),
    "an empty value behind =": ("--library-path= ./%-app", {"LD_LIBRARY_PATH": "@/c"}),
    "a value that looks like an option": ("--library-path --list ./%-app", {}),
    "a value that looks like the end": ("--preload -- ./%-app", {}),
    "a bare name is a file of the working directory": ("%-app", {}),
    "and its folder is the working directory": ("%-origin", {}),
    "$ORIGIN of a bare name in --library-path is not a token": ("--library-path $ORIGIN/b %-bare", {}),
}
CASES = [
    *((family, *case) for family in LOADERS for case in STARTS.values()),
    *(("glibc", *case) for case in ONLY_GLIBC.values()),
    *(("musl", *case) for case in ONLY_MUSL.values()),
]
IDS = [*(f"{family}: {name}" for family in LOADERS for name in STARTS), *ONLY_GLIBC, *ONLY_MUSL]


@pytest.mark.parametrize(("family", "line", "variables"), CASES, ids=IDS)
def test_a_start_through_the_loader_is_predicted(
    family: Family, line: str, variables: dict[str, str], room: Path
) -> None:
    argv, env = _asked(family, line, variables, room)
    assert _predicted(argv, family, room, env) == _started(argv, room, env)


@pytest.mark.parametrize("release", ["debian:11", "debian:13"])
def test_loaders_of_other_releases_start_programs_as_predicted(release: str, room: Path) -> None:
    """glibc 2.31, which does not know --argv0 and hwcaps, and 2.41, which lists itself always."""
    loader = roots.loader_and_ldconfig(release)[0]
    cases = [*STARTS.values(), *(ONLY_GLIBC.values() if release == "debian:13" else ())]
    for line, variables in cases:
        if "-interp" in line or ("--argv0" in line and release == "debian:11"):
            continue  # the first needs a C library, and this machine's is not this loader's
        (_, *words), env = _asked("glibc", line, variables, room)
        argv = (loader, *words)
        assert _predicted(argv, "glibc", room, env, loader) == _started(argv, room, env), line


def test_what_one_command_line_says_does_not_touch_the_next_one_of_a_run(room: Path) -> None:
    system = System(Root("/"))
    for _ in range(2):
        for family, line, variables in CASES:
            argv, env = _asked(family, line, variables, room)
            together = _l_names(_prediction(argv, family, room, env, LOADERS[family], system), argv)
            assert together == _predicted(argv, family, room, env), line
            plain = Environment(cwd=str(room), library_path=env.get("LD_LIBRARY_PATH"))
            by_kernel = [_l_names(_start(f"{family}-app", plain, one), argv) for one in (system, System(Root("/")))]
            assert by_kernel[0] == by_kernel[1]


@pytest.mark.parametrize("family", LOADERS)
@pytest.mark.parametrize("program", ["asks", "interp"])
def test_a_loader_answers_to_what_it_was_called_by(family: Family, program: str, room: Path) -> None:
    """glibc's to the PT_INTERP of the program as well."""
    argv = ("my-loader", f"./{family}-{program}")
    done = subprocess.run(argv, executable=LOADERS[family], cwd=room, env={}, capture_output=True)
    expected = _without_program(done.stdout) if done.returncode == 0 else None
    assert expected is None or "my-loader" in expected
    assert _predicted(argv, family, room, {}) == expected


def test_musls_path_file_is_looked_for_above_the_folder_of_its_name(room: Path) -> None:
    (room / "etc").mkdir()
    (room / "etc/ld-musl-x86_64.path").write_text(str(room / "c"))
    name = str(room / "lib/any")
    argv = (name, "./musl-bare")
    done = subprocess.run(argv, executable=MUSL_X86_64, cwd=room, env={}, capture_output=True)
    assert _without_program(done.stdout) == [str(room / "c/libx.so"), str(room / "c/liby.so")]
    assert _predicted(argv, "musl", room, {}) == _without_program(done.stdout)


# Command lines that start no program, behind the loader's name.
NO_STARTS: dict[Family, tuple[str, ...]] = {
    "glibc": (
        *("--list ./%-app", "--verify ./%-app", "--version", "--help ./%-app", "--list-tunables ./%-app"),
        *("--list-diagnostics ./%-app", "--unknown ./%-app", "--library-path", "--library-path=@/b ./%-app", ""),
        *("--inhibit-cache", "--preload ./%-app", "--inhibit-cache --list ./%-app"),
    ),
    "musl": (
        *("--list ./%-app", "--unknown ./%-app", "--library-path", "--library-pathx @/b ./%-app", "--preload ./%-app"),
        *("--list=x ./%-app", "--argv0x=1 ./%-app", "--=x ./%-app", "--", "", "--inhibit-cache ./%-app"),
    ),
}


@pytest.mark.parametrize(("family", "line"), [(family, line) for family in LOADERS for line in NO_STARTS[family]])
def test_a_command_line_that_starts_no_program_is_told(family: Family, line: str, room: Path) -> None:
    argv = (LOADERS[family], *_words(line, room, family)) if line else (LOADERS[family],)
    done = subprocess.run(argv, cwd=room, env={}, capture_output=True)
    assert b"libx.so\0" not in done.stdout
    assert parse_loader_command(argv, family) is None


def test_a_musl_loader_called_ldd_starts_no_program(room: Path) -> None:
    argv = ("/any/ldd", "./musl-app")
    done = subprocess.run(argv, executable=MUSL_X86_64, cwd=room, env={}, capture_output=True)
    assert b"\t" in done.stdout
    assert parse_loader_command(argv, "musl") is None
    assert parse_loader_command((), "musl") is None


@pytest.mark.parametrize("family", LOADERS)
@pytest.mark.parametrize("kind", ["library", "program without interpreter"])
def test_what_has_no_interpreter_is_started_through_the_loader(family: Family, kind: str, room: Path) -> None:
    """The same is mapped as for --list, which names what a start would map."""
    needed = ("libx.so", "./main.so", "liby.so") if kind == "library" else ("libx.so", "liby.so")
    if kind == "library":
        shared_object(room / "main.so", needed=needed, runpath=str(room / "a"))
    else:
        executable(room / "main.so", interp=None, needed=needed, runpath="$ORIGIN/a")
    (room / "link/main.so").symlink_to("../main.so")
    for given in ("./main.so", "link/main.so"):
        argv = (LOADERS[family], "--library-path", str(room / "p"), given)
        done = subprocess.run((*argv[:-1], "--list", given), cwd=room, env={}, capture_output=True, text=True)
        made = _prediction(argv, family, room, {})
        lines = [line.partition(" (0x")[0].strip() for line in done.stdout.splitlines()]
        names = dict.fromkeys(line.rpartition(" => ")[2] for line in lines)
        listed = [name for name in names if name not in (*VDSO, LOADERS[family], "not found")]
        assert [loaded.path for loaded in made.link_map.mapped()] == listed
        assert bool(_missing(made)) == ("not found" in names or done.returncode != 0)


@pytest.mark.parametrize("argv", [(GLIBC_X86_64, "./own"), ("./own",)], ids=["by the loader", "by the kernel"])
def test_a_program_does_not_answer_to_the_path_by_which_it_is_started(argv: tuple[str, ...], room: Path) -> None:
    executable(room / "own", needed=("./own", "libx.so"), runpath=str(room / "a"))
    done = subprocess.run(argv, cwd=room, env={}, capture_output=True, text=True)
    assert "./own: cannot dynamically load position-independent executable" in done.stderr
    parsed = parse_loader_command(argv, "glibc")
    environment = Environment(cwd=str(room), explicit=parsed[0] if parsed else None)
    made = _start("./own", environment, System(Root("/")))
    assert [loaded.requested for loaded in _missing(made)] == ["./own"]


@pytest.mark.parametrize("release", [None, "debian:11", "debian:13"])
def test_what_needs_no_loader_is_handed_on_to_the_kernel(release: str | None, room: Path) -> None:
    """From 2.35 on; before that, it is mapped with all that is preloaded."""
    executable(room / "alone", interp=None)
    loader = GLIBC_X86_64 if release is None else roots.loader_and_ldconfig(release)[0]
    env = {"LD_PRELOAD": str(room / "p/libp.so")}
    done = subprocess.run((loader, "./alone"), cwd=room, env={**env, "LD_DEBUG": "files"}, capture_output=True)
    assert done.returncode == 0
    made = _prediction((loader, "./alone"), "glibc", room, env, loader)
    assert (made.rules is None) == (b"libp.so" not in done.stderr)
    assert any(loaded.role == "preload" for loaded in made.link_map.objects) == (b"libp.so" in done.stderr)
    assert not made.link_map.problems


@pytest.fixture
def cached(tmp_path: Path, require_tool: Callable[[str], str]) -> Path:
    """A root of its own with a cache: /app needs a library that is in a folder which only the cache knows."""
    root = tmp_path / "root"
    for folder in ("lib64", "etc", "opt/own/x"):
        (root / folder).mkdir(parents=True)
    shutil.copy(GLIBC_X86_64, root / GLIBC_X86_64.removeprefix("/"))
    shared_object(root / "opt/own/libown.so.1", soname="libown.so.1")
    shared_object(root / "opt/own/x/libx.so")
    executable(root / "app", needed=("libown.so.1",))
    executable(root / "opt/own/libmain.so.1", soname="libmain.so.1", needed=("libx.so",), runpath="$ORIGIN/x")
    (root / "etc/ld.so.conf").write_text("/opt/own\n")
    subprocess.run([require_tool("/sbin/ldconfig"), "-r", root], check=True)
    return root


# What stands behind the loader's name, and the path of the program.
FROM_CACHE = {
    "the cache counts": ("./app", "/app"),
    "--inhibit-cache": ("--inhibit-cache ./app", "/app"),
    "a program without a slash is looked for in the cache": ("libmain.so.1", "/opt/own/libmain.so.1"),
}


@pytest.mark.parametrize(("line", "path"), FROM_CACHE.values(), ids=FROM_CACHE)
def test_the_cache_of_a_root_counts_unless_it_is_inhibited(line: str, path: str, cached: Path) -> None:
    argv = (GLIBC_X86_64, *line.split())
    outcome = runner.run(Request(argv=argv, root=str(cached), cwd="/"))
    parsed = parse_loader_command(argv, "glibc")
    assert parsed is not None
    made = _start(path, Environment(cwd="/", explicit=parsed[0]), System(Root(str(cached))))
    assert _l_names(made, argv) == (_without_program(outcome.stdout) if outcome.status == 0 else None)


def test_rights_of_the_programs_file_do_not_count(room: Path) -> None:
    """The kernel starts the loader, whose file has none: LD_LIBRARY_PATH is heeded."""
    if os.geteuid() != 0:
        raise Unavailable("only root can make a file that gives another user's rights")
    for family, loader in LOADERS.items():
        program = room / f"{family}-app"
        os.chown(program, NOBODY, NOBODY)
        program.chmod(0o6755)
        argv, env = (loader, f"./{family}-app"), {"LD_LIBRARY_PATH": str(room / "b")}
        started = _started(argv, room, env)
        assert started == [str(room / "b/libx.so"), str(room / "b/liby.so")]
        assert _predicted(argv, family, room, env) == started


@pytest.mark.parametrize("family", LOADERS)
@pytest.mark.parametrize("secure", [True, False])
def test_what_was_seen_of_secure_execution_counts(family: Family, secure: bool, room: Path) -> None:
    """A start by the kernel, and one through the loader: whatever the files say."""
    argv, env = (LOADERS[family], f"./{family}-bare"), {"LD_LIBRARY_PATH": str(room / "b")}
    parsed = parse_loader_command(argv, family)
    assert parsed is not None
    os.chmod(room / f"{family}-bare", 0o4755 if not secure else 0o755)
    for explicit in (None, parsed[0]):
        environment = Environment(
            cwd=str(room), library_path=env["LD_LIBRARY_PATH"], secure=secure, ordinary_user=True, explicit=explicit
        )
        made = _start(f"./{family}-bare", environment, System(Root("/")))
        assert made.secure == secure
        assert bool(_missing(made)) == secure


def test_auditors_of_the_command_line_are_told_behind_the_variables(
    room: Path, fixture_file: Callable[[str], Path]
) -> None:
    auditor = str(fixture_file("runtime/audited").parent / "auditor.so")
    argv = (GLIBC_X86_64, "--audit", auditor, "--audit", "/none/b.so", "./glibc-app")
    env = {"LD_AUDIT": "/none/a.so"}
    done = subprocess.run(argv, cwd=room, env=env, capture_output=True)
    refused = [line for line in done.stderr.decode().splitlines() if "cannot be loaded as audit interface" in line]
    assert [name in line for name, line in zip(("/none/a.so", "/none/b.so"), refused, strict=True)] == [True, True]
    assert b"audited" in done.stdout
    problems = _prediction(argv, "glibc", room, env).link_map.problems
    assert [(problem.code, problem.subject) for problem in problems if "audit" in problem.code] == [
        ("missing-audit", "/none/a.so"),
        ("audit", auditor),
        ("missing-audit", "/none/b.so"),
    ]


def test_an_argument_for_the_program_is_kept() -> None:
    loader = ExplicitLoader(path="ld.so", name="ld.so", program="./app", argv0="another", audit=("a", "b:c"))
    argv = ("ld.so", "--audit", "a", "--argv0", "another", "--audit", "b:c", "./app", "--list")
    assert parse_loader_command(argv, "glibc") == (loader, 7)


def _asked(
    family: Family, line: str, variables: Mapping[str, str], room: Path
) -> tuple[tuple[str, ...], dict[str, str]]:
    """A case as a command line and an environment."""
    env = {name: value.replace("@", str(room)) for name, value in variables.items()}
    return (LOADERS[family], *_words(line, room, family)), env


def _words(line: str, room: Path, family: Family) -> list[str]:
    r"""The arguments of a case; \0 is an empty one."""
    text = line.replace("@", str(room)).replace("%", family)
    return [word.replace("\0", "") for word in text.split(" ")]


def _started(argv: Sequence[str], room: Path, env: Mapping[str, str]) -> list[str] | None:
    """The l_names behind the program's own, without the vdso's; None where the start failed."""
    done = subprocess.run(argv, cwd=room, env=env, capture_output=True)
    return _without_program(done.stdout) if done.returncode == 0 else None


def _without_program(output: bytes) -> list[str]:
    return [name for name in map(os.fsdecode, output.split(b"\0")[1:-1]) if name not in ("", *VDSO)]


def _predicted(
    argv: Sequence[str], family: Family, room: Path, env: Mapping[str, str], loader: str | None = None
) -> list[str] | None:
    return _l_names(_prediction(argv, family, room, env, loader), argv)


def _l_names(made: Start, argv: Sequence[str]) -> list[str] | None:
    """What a start by this command line would print; None where it would fail."""
    if any(problem.fatal for problem in made.link_map.problems) or _missing(made):
        return None
    return [argv[0] if one.role == "interpreter" else one.path or "" for one in made.link_map.mapped()]


def _missing(made: Start) -> list[Loaded]:
    return [loaded for loaded in made.link_map.objects if loaded.image is None]


def _prediction(
    argv: Sequence[str],
    family: Family,
    room: Path,
    env: Mapping[str, str],
    loader: str | None = None,
    system: System | None = None,
) -> Start:
    parsed = parse_loader_command(argv, family)
    assert parsed is not None
    explicit, place = parsed
    environment = Environment(
        cwd=str(room),
        library_path=env.get("LD_LIBRARY_PATH"),
        preload=env.get("LD_PRELOAD"),
        audit=env.get("LD_AUDIT"),
        explicit=msgspec.structs.replace(explicit, path=loader or LOADERS[family]),
    )
    return _start(argv[place], environment, system or System(Root("/")))


def _start(given: str, environment: Environment, system: System) -> Start:
    path = os.path.join(environment.cwd, given)
    with system.open(path) as reader:
        program = Program(read_image(reader), path, given, system.root.locate(path))
    return start(system, program, environment)
