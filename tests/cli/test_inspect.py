"""`linkscope inspect`: its formats, its lists of names, its exit codes."""

import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import pytest

from linkscope.model.inspect import InspectDocument
from tests.cli.conftest import Linkscope

FixtureFile = Callable[[str], Path]


@pytest.fixture
def programs(fixture_file: FixtureFile) -> list[Path]:
    """A dynamic and a static program."""
    return [fixture_file("hello/hello-dynamic-pie"), fixture_file("hello/hello-static")]


@pytest.fixture
def broken(fixture_file: FixtureFile) -> Path:
    """A program that lacks a library."""
    return fixture_file("chain/no-search-path/app")


def test_json_is_one_document_of_the_published_schema(linkscope: Linkscope, programs: list[Path]) -> None:
    ran = linkscope("inspect", "--format", "json", *programs, "/etc/passwd")
    document = json.loads(ran.stdout)
    schema = json.loads(linkscope("schema", "inspect").stdout)
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [file["path"] for file in document["files"]] == list(map(str, programs))
    assert [error["path"] for error in document["errors"]] == ["/etc/passwd"]
    assert ran.stderr == b""


def test_json_is_exactly_the_encoded_document(linkscope: Linkscope, programs: list[Path]) -> None:
    written = linkscope("inspect", "--format", "json", *programs).stdout
    assert msgspec.json.encode(msgspec.json.decode(written, type=InspectDocument)) + b"\n" == written


def test_jsonl_has_a_line_for_each_file_and_errors_on_standard_error(
    linkscope: Linkscope, programs: list[Path]
) -> None:
    ran = linkscope("inspect", "--format", "jsonl", programs[0], "nothing", programs[1])
    assert [json.loads(line)["path"] for line in ran.stdout.splitlines()] == list(map(str, programs))
    assert ran.stderr == b"linkscope: nothing: no such file or directory\n"


def test_text_has_errors_on_standard_error_and_everything_else_all_the_same(
    linkscope: Linkscope, programs: list[Path]
) -> None:
    ran = linkscope("inspect", "nothing", programs[0])
    assert ran.stdout.startswith(os.fsencode(programs[0]) + b"\n  dynamic PIE ")
    assert ran.stderr == b"linkscope: nothing: no such file or directory\n"


@pytest.mark.parametrize("layout", ["text", "json", "jsonl", "paths"])
@pytest.mark.parametrize(("names", "code"), [([0], 0), ([0, 1], 0), ([0, 2], 1), ([0, 3], 2), ([3, 2, 0], 2)], ids=str)
def test_the_exit_code_is_that_of_the_worst_file(
    linkscope: Linkscope, programs: list[Path], broken: Path, layout: str, names: list[int], code: int
) -> None:
    files = [*programs, broken, Path("nothing")]
    assert linkscope("inspect", "--format", layout, *(files[name] for name in names)).returncode == code


def test_paths_are_the_files_that_the_real_loader_opens(
    linkscope: Linkscope, fixture_file: FixtureFile, require_tool: Callable[[str], str]
) -> None:
    app = fixture_file("chain/diamond/app")
    traced = subprocess.run([require_tool("ldd"), app], capture_output=True, check=True).stdout.split()
    loaded = [word for word in traced if word.startswith(b"/")]
    assert linkscope("inspect", "--format", "paths", app).stdout.splitlines() == [os.fsencode(app), *loaded]


def test_paths_say_on_standard_error_what_is_missing(linkscope: Linkscope, broken: Path) -> None:
    ran = linkscope("inspect", "--format", "paths", broken)
    assert b"not found" in ran.stderr
    assert b"libleaf.so" in ran.stderr
    assert os.fsencode(broken) + b"\n" in ran.stdout


def test_paths_end_with_nul_and_keep_their_bytes(linkscope: Linkscope, programs: list[Path], tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9\n"
    shutil.copy(os.fsencode(programs[1]), odd)
    assert linkscope("inspect", "--format", "paths", "-0", odd).stdout == odd + b"\0"


@pytest.mark.parametrize(("options", "separator"), [([], b"\n"), (["-0"], b"\0")], ids=["lines", "nul"])
@pytest.mark.parametrize("source", ["-", "list"])
def test_names_come_from_a_list(
    linkscope: Linkscope, programs: list[Path], tmp_path: Path, options: list[str], separator: bytes, source: str
) -> None:
    names = separator.join(map(os.fsencode, programs)) + separator
    (tmp_path / "list").write_bytes(names)
    ran = linkscope("inspect", *options, "--format", "json", "--files-from", source, stdin=names)
    assert [file["path"] for file in json.loads(ran.stdout)["files"]] == list(map(str, programs))


@pytest.mark.parametrize(
    ("layout", "printed"),
    [("json", b'{"schema":"linkscope/inspect/1","files":[],"errors":[]}\n'), ("jsonl", b""), ("text", b"")],
)
def test_a_list_without_names_is_an_answer_without_files(linkscope: Linkscope, layout: str, printed: bytes) -> None:
    ran = linkscope("inspect", "--files-from", "-", "--format", layout)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, printed, b"")


def test_a_script_is_followed_to_its_interpreter_when_asked(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh -e\n")
    assert linkscope("inspect", "script").returncode == 2
    followed = json.loads(linkscope("inspect", "--follow-scripts", "--format", "json", "script").stdout)["files"]
    assert [file["path"] for file in followed] == ["/bin/sh"]
    assert followed[0]["script"] == {"path": "script", "interpreter": "/bin/sh", "argument": "-e"}


@pytest.mark.parametrize("name", ["wheel", "tar"])
def test_of_a_package_it_is_said_who_looks_inside(linkscope: Linkscope, tmp_path: Path, name: str) -> None:
    paths = {"wheel": tmp_path / "app-1-py3-none-any.whl", "tar": tmp_path / "app.tar.xz"}
    tree = {"app/tool": Path("/bin/true").read_bytes(), "app-1.dist-info/WHEEL": b"Wheel-Version: 1.0\n"}
    with zipfile.ZipFile(paths["wheel"], "w") as wheel, tarfile.open(paths["tar"], "w:xz") as tar:
        for path, data in tree.items():
            wheel.writestr(path, data)
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    ran = linkscope("inspect", paths[name])
    said = f"not an ELF file but a package ({name}), into which check, diff, targets and who look"
    assert (ran.stderr.decode(), ran.returncode) == (f"linkscope: {paths[name]}: {said}\n", 2)
    for command in (["check"], ["targets"], ["who", "glibc"], ["diff", paths[name]]):
        assert linkscope(*command, paths[name]).returncode in (0, 1)


_RETURN = "the carriage return at the end of its #! line counts"
_FOLLOW = "--follow-scripts inspects what it is for"
# The first line of a script, what is said of it, and what when it is followed (None: all is well).
SCRIPTS = {
    "an interpreter that is missing": (
        b"#!/nonexist/python",
        "is a script for /nonexist/python, not an ELF file; --follow-scripts inspects what it is for",
        "its interpreter /nonexist/python: no such file or directory",
    ),
    "a carriage return": (
        b"#!/bin/sh\r",
        rf"is a script for /bin/sh\x0d, not an ELF file ({_RETURN}); {_FOLLOW}",
        r"its interpreter /bin/sh\x0d: no such file or directory (the #! line ends with a carriage return)",
    ),
    "no interpreter": (
        b"#! \t ",
        "is a script without an interpreter, not an ELF file",
        "is a script without an interpreter, not an ELF file",
    ),
    "what env is asked for": (
        b"#! /usr/bin/env\tsh ",
        "is a script for /usr/bin/env sh, not an ELF file; --follow-scripts inspects what it is for",
        None,
    ),
    "an interpreter that is no program": (
        b"#!/etc/passwd",
        "is a script for /etc/passwd, not an ELF file; --follow-scripts inspects what it is for",
        "its interpreter /etc/passwd: not an ELF file",
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_told_from_its_interpreter(linkscope: Linkscope, tmp_path: Path, name: str) -> None:
    """The kernel finds an interpreter where following the script does."""
    line, plain, followed = SCRIPTS[name]
    script = tmp_path / "script"
    script.write_bytes(line + b"\nexit 0\n")
    script.chmod(0o755)
    assert linkscope("inspect", "script").stderr.decode() == f"linkscope: script: {plain}\n"
    ran = linkscope("inspect", "--follow-scripts", "script")
    assert ran.stderr.decode() == ("" if followed is None else f"linkscope: script: {followed}\n")
    try:
        starts = subprocess.run([script]).returncode == 0
    except OSError:
        starts = False
    assert starts == (ran.returncode == 0)


def test_as_many_scripts_lead_on_to_one_another_as_the_kernel_allows(linkscope: Linkscope, tmp_path: Path) -> None:
    named = shutil.which("true")
    assert named is not None
    starts, followed = [], []
    for count in range(1, 8):
        script = tmp_path / f"script{count}"
        script.write_text(f"#!{named}\n")
        script.chmod(0o755)
        try:
            starts.append(subprocess.run([script]).returncode == 0)
        except OSError:
            starts.append(False)
        followed.append(linkscope("inspect", "--follow-scripts", script).returncode == 0)
        named = str(script)
    assert followed == starts
    assert {*starts} == {True, False}


def test_how_to_look_into_scripts_is_said_once(linkscope: Linkscope, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("#!/bin/sh -e\n")
    ran = linkscope("inspect", "one", "two")
    assert [b"--follow-scripts" in line for line in ran.stderr.splitlines()] == [True, False]
    errors = json.loads(linkscope("inspect", "--format", "json", "one", "two").stdout)["errors"]
    assert [error["script"] for error in errors] == ["/bin/sh", "/bin/sh"]
    assert "--follow-scripts" not in str(errors)


@pytest.mark.parametrize("arguments", [["inspect"], ["why"]], ids=" ".join)
def test_a_file_of_this_machine_outside_the_root_is_said_to_be_outside(
    linkscope: Linkscope, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "file").touch()
    library = ["libc.so.6"] if arguments == ["why"] else []
    outside = linkscope(*arguments, "--root", "root", tmp_path / "file", *library)
    root = tmp_path.resolve() / "root"
    said = f"linkscope: {tmp_path}/file: not inside --root {root} (nothing outside it is read)\n"
    assert (outside.returncode, outside.stderr.decode()) == (2, said)
    nowhere = linkscope(*arguments, "--root", "root", "/no/such/file", *library)
    assert nowhere.stderr == b"linkscope: /no/such/file: no such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspect"], b"Name at least one file"),
        (["inspect", "--format", "yaml", "x"], b"'yaml' is not one of"),
        (["inspect", "--secure", "maybe", "x"], b"'maybe' is not one of"),
        (["inspect", "--nonsense", "x"], b"--nonsense"),
        (["inspect", "--files-from", "nothing"], b"linkscope: nothing: no such file or directory\n"),
        (["inspect", "--root", "nothing", "x"], b"linkscope: nothing: no such file or directory\n"),
        (["inspekt", "x"], b"No such command 'inspekt'"),
        (["/etc/passwd"], b"Did you mean `linkscope inspect /etc/passwd`?"),
        (["inspect", "--\x1b[31m"], b"\\x1b[31m"),
        (["schema"], b"Choose from:\n    inspect,\n    why,\n    pid,\n    ps,"),
        (["why", "/bin/sh", ""], b"The name of the library is empty."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_explained(linkscope: Linkscope, arguments: list[str], said: bytes) -> None:
    ran = linkscope(*arguments)
    assert ran.returncode == 2
    assert ran.stdout == b""
    assert said in ran.stderr
    assert b"\x1b" not in ran.stderr


def test_the_command_that_a_report_shows_speaks_of_the_same_start(
    linkscope: Linkscope, broken: Path, tmp_path: Path
) -> None:
    """It is run as it stands there: every option that was given is an assumption of its answer too."""
    library_path = tmp_path / "a folder"
    library_path.mkdir()
    options = ["--library-path", str(library_path), "--secure", "no", "--cpu", "x86-64-v2", "--clean-env"]
    shown = linkscope("inspect", *options, broken).stdout.decode()
    command = shlex.split(shown.partition("`")[2].partition("`")[0])
    assert [word for word in command if word in options] == sorted(options, key=command.index)
    assert f"{library_path}/" in linkscope(*command[1:]).stdout.decode()


@pytest.mark.parametrize("value", ["", "1", "0"])
def test_ld_bind_now_of_the_caller_decides_whether_a_symbol_is_missed_at_the_start(
    linkscope: Linkscope, fixture_file: FixtureFile, value: str
) -> None:
    """The program never calls the function that nobody defines."""
    app = fixture_file("symbols/function-lazy")
    started = subprocess.run([app], env={"LD_BIND_NOW": value}, capture_output=True)
    ran = linkscope("inspect", "--symbols", "--format", "json", app, env={"LD_BIND_NOW": value})
    (missed,) = json.loads(ran.stdout)["files"][0]["unresolved"]
    assert (missed["fails"] == "start") is (b"symbol lookup error" in started.stderr)
    cleaned = linkscope("inspect", "--symbols", "--clean-env", "--format", "json", app, env={"LD_BIND_NOW": value})
    assert json.loads(cleaned.stdout)["files"][0]["unresolved"][0]["fails"] == "first-call"
