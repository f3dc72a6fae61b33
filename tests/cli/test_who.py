"""`linkscope who`: its formats, its exit codes, its looks on a narrow and a wide page, and what it refuses."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import pytest

from linkscope.model.who import Match, WhoDocument
from tests.cli.conftest import COMMAND, Linkscope, environment
from tests.cli.processes import as_nobody
from tests.contents.samples import linked, texts, with_constants
from tests.oracle.elfwriter import shared_object
from tests.process.started import started

FixtureFile = Callable[[str], Path]
_ZLIB = (
    " deflate 1.2.11 Copyright 1995-2017 Jean-loup Gailly and Mark Adler ",
    " inflate 1.2.11 Copyright 1995-2017 Mark Adler ",
)


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A folder with a static program that has zlib 1.2.11 inside, and one that has nothing."""
    (tmp_path / "files").mkdir()
    with_constants(tmp_path / "files/holds", texts(*_ZLIB))
    with_constants(tmp_path / "files/plain", texts("nothing of note"))
    return tmp_path / "files"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("zlib", "{}"), 0),
        (("libz.so.1", "{}"), 0),
        (("bzip2", "{}"), 1),
        (("zlib", "{}/plain"), 1),
        (("zlib", "--older-than", "1.2.12", "{}"), 0),
        (("zlib", "--older-than", "1.2.11", "{}"), 1),
        (("zlib", "{}", "nothing-here"), 2),
        (("./nothing-here.so", "{}"), 2),
        (("zlib", "--older-than", "new", "{}"), 2),
        (("zlib", "--root", "/nowhere", "{}"), 2),
        (("zlib", "--root", "{}", "--processes", "/"), 2),
        (("zlib", "--root", "{}"), 2),
        ((), 2),
        (("", "{}"), 2),
        (("zlib", "--store", "{}/absent.db", "{}"), 2),
        (("zlib", "--store", "", "{}"), 2),
        ((" ", "{}"), 2),
    ],
)
def test_the_exit_code_tells_whether_something_holds_it(
    linkscope: Linkscope, inside: Path, arguments: tuple[str, ...], code: int
) -> None:
    ran = linkscope("who", *(word.format(inside) for word in arguments))
    assert ran.returncode == code
    assert b"Traceback" not in ran.stderr


def test_json_is_one_document_of_the_published_schema(linkscope: Linkscope, inside: Path) -> None:
    ran = linkscope("who", "--format", "json", "zlib", inside)
    document = json.loads(ran.stdout)
    jsonschema.Draft202012Validator(json.loads(linkscope("schema", "who").stdout)).validate(document)
    assert msgspec.json.encode(msgspec.json.decode(ran.stdout, type=WhoDocument)) + b"\n" == ran.stdout
    (match,) = document["matches"]
    assert match.keys() >= {"path", "pid", "how", "library", "version", "via"}
    path = str(inside / "holds")
    assert (match["path"], match["pid"], match["how"], match["library"]) == (path, None, "inside", None)
    assert (match["version"], match["via"]) == ("1.2.11", [path])


def test_jsonl_is_a_line_for_each_match(linkscope: Linkscope, inside: Path) -> None:
    ran = linkscope("who", "--format", "jsonl", "zlib", inside)
    assert [msgspec.json.decode(line, type=Match).version for line in ran.stdout.splitlines()] == ["1.2.11"]


def test_jsonl_tells_of_a_file_before_the_next_ones_are_looked_at(inside: Path, tmp_path: Path) -> None:
    """Whoever wants the first line alone does not wait for a whole folder."""
    many = tmp_path / "many"
    many.mkdir()
    for number in range(150):
        shutil.copy(inside / "plain", many / f"{number:03}")
    last = Path(shutil.copy(inside / "holds", many / "last"))
    arguments = [*COMMAND, "who", "--format", "jsonl", "zlib", str(inside / "holds"), str(many)]
    with subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout is not None
        assert msgspec.json.decode(running.stdout.readline(), type=Match).path == str(inside / "holds")
        last.unlink()
        assert running.stdout.read() == b""
    assert running.returncode == 2


def test_text_names_the_version_the_file_and_how_many_hold_it(linkscope: Linkscope, inside: Path) -> None:
    lines = linkscope("who", "zlib", inside).stdout.decode().splitlines()
    assert lines[0] == "inside, linked in  zlib  1.2.11"
    assert lines[1].split()[0] == str(inside / "holds")
    assert lines[-1] == "zlib: held by 1 of 2 files · 1 has it inside"


@pytest.mark.parametrize("columns", [80, 200])
def test_no_line_is_wider_than_the_page(
    linkscope: Linkscope, fixture_file: FixtureFile, inside: Path, columns: int
) -> None:
    app = fixture_file("chain/middle-rpath-serves-below/app")
    for name in ("zlib", "libleaf.so", "libc.so.6"):
        text = linkscope("who", name, inside, app.parent, env={"COLUMNS": str(columns)}).stdout.decode()
        assert max(map(len, text.splitlines())) <= columns, text


def test_a_version_that_is_not_known_is_marked(linkscope: Linkscope, tmp_path: Path) -> None:
    shared_object(tmp_path / "libz.so.1", soname="libz.so.1")
    text = linkscope("who", "zlib", "--older-than", "1.2.12", tmp_path / "libz.so.1").stdout.decode()
    assert "version unknown" in text
    assert "may be older" in text


def test_files_whose_version_is_not_known_are_counted_and_not_their_ways(linkscope: Linkscope, tmp_path: Path) -> None:
    """One file that needs both libraries of a project is one file."""
    for name in ("libssl.so.3", "libcrypto.so.3"):
        shared_object(tmp_path / name, soname=name)
    shared_object(tmp_path / "both.so", needed=("libssl.so.3", "libcrypto.so.3"), rpath="$ORIGIN")
    ran = linkscope("who", "openssl", "--older-than", "3.0.1", tmp_path / "both.so")
    *_, count, advice = ran.stdout.decode().splitlines()
    assert count == "openssl, older than 3.0.1: held by 1 of 1 file · of 1 the version is not known"
    assert advice == "  of 1 --thorough may tell the version: only texts and symbols were looked at"


@pytest.mark.parametrize("name", ["libssl", "ssl", "libssl.so.3"])
def test_who_names_a_library_by_its_soname_is_not_asked_what_was_meant(
    linkscope: Linkscope, inside: Path, name: str
) -> None:
    ran = linkscope("who", name, inside)
    assert (ran.returncode, ran.stderr) == (1, b"")


def test_a_name_that_nearly_fits_is_answered_with_the_one_that_was_meant(linkscope: Linkscope, inside: Path) -> None:
    assert b"did you mean openssl?" in linkscope("who", "opensl", inside).stderr


@pytest.mark.parametrize(
    ("package", "soname"),
    [("libssl3", "libssl.so.3"), ("libssl1.1", "libssl.so.1.1"), ("libpng16-16t64", "libpng16.so.16")],
)
def test_who_gives_a_package_is_told_the_soname_in_it(
    linkscope: Linkscope, inside: Path, package: str, soname: str
) -> None:
    """Debian calls packages of libraries after these (its Policy, 8.1); NSS has a libssl3.so indeed."""
    ran = linkscope("who", package, inside)
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (1, f"{package}: held by none of 2 files".encode())
    assert f"did you mean {soname}?" in ran.stderr.decode()


@pytest.mark.parametrize("name", ["libxml2", "libssh2", "bzip2"])
def test_a_project_is_no_package_whose_name_was_given(linkscope: Linkscope, inside: Path, name: str) -> None:
    assert linkscope("who", name, inside).stderr == b""


def test_the_name_that_a_linker_looks_for_is_any_version(linkscope: Linkscope, tmp_path: Path) -> None:
    """`libz.so` is a link to the library with its version, and nobody's soname."""
    shared_object(tmp_path / "libz.so.1", soname="libz.so.1")
    shared_object(tmp_path / "user.so", needed=("libz.so.1",), rpath="$ORIGIN")
    ran = linkscope("who", "libz.so", "--format", "paths", tmp_path)
    assert ran.stdout.decode().splitlines() == [f"{tmp_path}/libz.so.1", f"{tmp_path}/user.so"]
    assert linkscope("who", "libz.so.2", tmp_path).returncode == 1


def test_a_name_that_stands_in_no_table_is_said_to_be_compared_alone(linkscope: Linkscope, inside: Path) -> None:
    """Nobody must take that for the answer that it is nowhere. A Go module has a path, by which it is found."""
    said = "no text, symbol or code of {} is known: only the names of shared libraries were compared"
    assert said.format("log4j") in linkscope("who", "log4j", inside).stdout.decode()
    assert said.format("log4j/v2") not in linkscope("who", "log4j/v2", inside).stdout.decode()


@pytest.mark.parametrize("name", ["zig", "libmd", "dietlibc"])
def test_a_name_by_which_something_could_be_found_is_what_was_meant(
    linkscope: Linkscope, inside: Path, name: str
) -> None:
    """A run-time system, and a library of which only machine code is known, though others are called alike."""
    ran = linkscope("who", name, inside)
    assert (ran.returncode, ran.stderr) == (1, b"")


def test_what_nobody_can_know_is_said_and_changes_no_exit_code(linkscope: Linkscope, inside: Path) -> None:
    """Of a name that no table has, only the names of shared libraries can be compared."""
    shared_object(inside / "libdynamic.so")
    ran = linkscope("who", "bzip2", inside)
    assert ran.returncode == 1
    assert ran.stdout.decode().splitlines() == [
        "bzip2: held by none of 3 files",
        "  1 file looked at by texts and symbols alone (--thorough: by machine code, too)",
    ]
    thorough = linkscope("who", "--thorough", "--format", "json", "bzip2", inside)
    assert (thorough.returncode, json.loads(thorough.stdout)["summary"]["by_texts"]) == (1, 0)
    unknown = linkscope("who", "libnobody-has-this.so.1", inside)
    assert unknown.returncode == 1
    assert b"only the names of shared libraries were compared" in unknown.stdout


def test_the_signatures_that_count_are_those_that_were_named(linkscope: Linkscope, tmp_path: Path) -> None:
    """Without any, a static program without texts and symbols of it does not show the library."""
    source = "#include <zlib.h>\nint main(int c, char **v) { return crc32_combine(c, c, c) + adler32(c, v[0], c); }\n"
    program = linked(tmp_path / "program", source, ["-static", "-s", "-lz"])
    ran = linkscope("who", "zlib", "--format", "jsonl", program)
    assert (ran.returncode, msgspec.json.decode(ran.stdout, type=Match).proof) == (0, "code")
    assert linkscope("who", "zlib", "--no-shipped", program).returncode == 1
    store = tmp_path / "own.db"
    assert linkscope("sigs", "add", "--store", store, _archive("libz.a")).returncode == 0
    assert linkscope("who", "zlib", "--no-shipped", "--store", store, program).returncode == 0


def test_a_store_that_is_not_needed_may_be_broken(linkscope: Linkscope, tmp_path: Path) -> None:
    """Of a dynamic file only texts and symbols are looked at, also where these tell no version."""
    shared_object(tmp_path / "libz.so.1", soname="libz.so.1")
    (tmp_path / "broken.db").write_bytes(b"no store")
    ran = linkscope("who", "libz.so.1", "--store", tmp_path / "broken.db", tmp_path / "libz.so.1")
    assert (ran.returncode, ran.stderr) == (0, b"")


def _archive(name: str) -> str:
    return subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_list_of_names_is_read(linkscope: Linkscope, inside: Path) -> None:
    ran = linkscope("who", "zlib", "-0", "--files-from", "-", stdin=b"\0".join((bytes(inside / "holds"), b"")))
    assert ran.returncode == 0


def test_a_process_whose_library_was_replaced_is_told(
    linkscope: Linkscope, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    app = Path(tmp_path / "holder")
    app.write_bytes(fixture_file("process/holder").read_bytes())
    app.chmod(0o755)
    library = tmp_path / "libheld.so"
    library.write_bytes(fixture_file("process/libheld.so").read_bytes())
    with started([app], cwd=tmp_path) as holder:
        holder.expect("ready")
        library.unlink()
        ran = linkscope("who", "libheld.so")
        text = ran.stdout.decode()
        by_path = linkscope("who", "--format", "json", str(library))
    assert ran.returncode == 0
    assert f"{holder.pid}  holder" in text
    assert "deleted" in text
    assert re.search(r"[1-9]\d* to be restarted", text)  # a test that runs beside this one may have some, too
    assert [match["pid"] for match in json.loads(by_path.stdout)["matches"]] == [holder.pid]


def test_what_others_run_is_counted_and_no_failure(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/holder")]) as holder:
        holder.expect("ready")
        ran = as_nobody("who", "libnobody-has-this.so.1", "--format", "json")
        document = msgspec.json.decode(ran.stdout, type=WhoDocument)
    assert (ran.returncode, document.errors, document.matches) == (1, [], [])


# --- The bare list of paths -------------------------------------------------------------------------------------------


def test_paths_are_what_holds_it_each_once_and_ended_as_asked_for(linkscope: Linkscope, inside: Path) -> None:
    """For xargs; the bytes are the file system's own, also where they are no UTF-8."""
    odd = os.path.join(bytes(inside), b"odd\n\xff")
    shutil.copy(bytes(inside / "holds"), odd)
    (inside / "link").symlink_to("holds")
    ran = linkscope("who", "--format", "paths", "-0", "zlib", inside, inside / "holds")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == bytes(inside / "holds") + b"\0" + odd + b"\0"
    assert linkscope("who", "--format", "paths", "zlib", inside / "holds").stdout == bytes(inside / "holds") + b"\n"
    none = linkscope("who", "--format", "paths", "bzip2", inside)
    assert (none.returncode, none.stdout) == (1, b"")
    failed = linkscope("who", "--format", "paths", "zlib", "nothing-here")
    assert (failed.returncode, failed.stdout) == (2, b"")
    assert b"nothing-here" in failed.stderr


def test_a_folder_of_symlinks_alone_is_looked_at(linkscope: Linkscope, inside: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/mine").symlink_to(inside / "holds")
    ran = linkscope("who", "zlib", tmp_path / "links")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.decode().splitlines()[-1] == "zlib: held by 1 of 1 file · 1 has it inside"


def test_linkscope_is_not_among_the_processes_that_hold_something() -> None:
    """It is a Python that has the C library mapped, as whoever started it has."""
    asking = [*COMMAND, "who", "--format", "json", "libc.so.6"]
    with subprocess.Popen(asking, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout is not None
        pids = {match["pid"] for match in json.loads(running.stdout.read())["matches"]}
    assert os.getpid() in pids
    assert running.pid not in pids


def test_those_that_may_not_be_looked_into_are_named_in_the_text(fixture_file: FixtureFile) -> None:
    with started([fixture_file("process/holder")]) as holder:
        holder.expect("ready")
        said = as_nobody("who", "libnobody-has-this.so.1").stdout.decode()
    if os.geteuid() == 0:
        assert re.search(r"[\d,]+ process(es)? may not be looked into: \d+ \S", said)


def test_those_that_may_not_be_looked_into_are_all_listed_in_the_document(fixture_file: FixtureFile) -> None:
    """Each by its number and its name, as /proc has them for everybody, and why it is closed."""
    with started([fixture_file("process/holder")]) as holder:
        holder.expect("ready")
        document = json.loads(as_nobody("who", "libnobody-has-this.so.1", "--format", "json").stdout)
    closed = {one["pid"]: (one["command"], one["reason"]) for one in document["closed"]}
    assert len(closed) == document["summary"]["closed"]
    if os.geteuid() == 0:
        command, reason = closed[holder.pid]
        assert (command, "root may look into it" in reason) == ("holder", True)


def test_a_version_that_only_machine_code_may_tell_is_counted_in_the_document(
    linkscope: Linkscope, tmp_path: Path
) -> None:
    shared_object(tmp_path / "libssl.so.3", soname="libssl.so.3")
    ran = linkscope("who", "openssl", "--format", "json", tmp_path / "libssl.so.3")
    assert json.loads(ran.stdout)["summary"]["unsure"] == 1
    thorough = linkscope("who", "openssl", "--thorough", "--format", "json", tmp_path / "libssl.so.3")
    assert json.loads(thorough.stdout)["summary"]["unsure"] == 0
