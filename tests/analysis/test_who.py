"""`who`: everything that holds a library, as the loader, the kernel and the programs themselves say it."""

import contextlib
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.diff import diff
from linkscope.analysis.inside import Search
from linkscope.analysis.inspect import inspect
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.who import who, who_of
from linkscope.errors import BadAssumption
from linkscope.model.who import Match, WhoDocument
from linkscope.policy.terms import Group, Policy
from tests.contents.samples import linked, texts, with_constants
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import executable, shared_object
from tests.process.started import NOBODY, Started, as_user, started

FixtureFile = Callable[[str], Path]
_USES_ZLIB = (
    "#include <stdio.h>\n#include <zlib.h>\n"
    "int main(int argc, char **argv) { static char b[999]; unsigned long n = 9;\n"
    'if (argc > 2) { compress(b, &n, b, 1); uncompress(b, &n, b, 1); } printf("version=%s\\n", zlibVersion());\n'
    "fflush(stdout); getchar(); return 0; }\n"
)
_HOWS = ("needed", "indirect")


@pytest.fixture(scope="module")
def zlib_users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with programs that use zlib: as a shared library, inside, by a library that has it inside; or not."""
    folder = tmp_path_factory.mktemp("users")
    linked(folder / "dynamic", _USES_ZLIB, ["-lz"])
    linked(folder / "static", _USES_ZLIB, ["-static", "-lz"])
    source = (
        "#include <zlib.h>\nint packs(char *b, unsigned long *n) { return compress(b, n, b, 1) + *zlibVersion(); }\n"
    )
    linked(
        folder / "libpacks.so", source, ["-shared", "-fPIC", "-Wl,-Bsymbolic", "-Wl,-Bstatic", "-lz", "-Wl,-Bdynamic"]
    )
    through = "int packs(char *, unsigned long *); int main(void) { unsigned long n = 0; return packs(0, &n); }\n"
    linked(folder / "through", through, [f"-L{folder}", "-lpacks", "-Wl,-rpath,$ORIGIN"])
    linked(folder / "without", "int main(void) { return 0; }\n", [])
    for source_file in folder.glob("*.c"):
        source_file.unlink()
    return folder


@pytest.fixture(scope="module")
def zlib_version(zlib_users: Path) -> str:
    """What the linked library says of itself."""
    return _said_by(zlib_users / "static")


def _said_by(path: Path) -> str:
    done = subprocess.run([path], input="\n", capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip().partition("=")[2]


def _ways(document: WhoDocument) -> dict[str, list[str]]:
    """How each file holds it, by its name."""
    found: dict[str, list[str]] = {}
    for match in document.matches:
        found.setdefault(os.path.basename(match.path), []).append(match.how)
    return found


def _of(document: WhoDocument, name: str) -> Match:
    (match,) = (match for match in document.matches if os.path.basename(match.path) == name)
    return match


@pytest.mark.parametrize("name", ["zlib", "libz.so.1", "libz", "ZLIB"])
def test_one_question_finds_it_mapped_and_inside(zlib_users: Path, zlib_version: str, name: str) -> None:
    document = who(name, [str(zlib_users)])
    assert _ways(document) == {
        "dynamic": ["needed"],
        "static": ["inside"],
        "libpacks.so": ["inside"],
        "through": ["inside"],
    }
    assert {match.version for match in document.matches if match.how == "inside"} == {zlib_version}
    through = _of(document, "through")
    assert [os.path.basename(path) for path in through.via] == ["through", "libpacks.so"]
    assert through.library == str(zlib_users / "libpacks.so")
    assert (_of(document, "static").library, _of(document, "static").via) == (None, [str(zlib_users / "static")])
    assert (document.summary.files, document.errors) == (5, [])


def test_the_version_of_a_shared_one_is_what_it_tells_the_program(zlib_users: Path) -> None:
    match = _of(who("zlib", [str(zlib_users / "dynamic")]), "dynamic")
    assert (match.version, match.version_from) == (_said_by(zlib_users / "dynamic"), "contents")


def test_a_path_means_that_very_file_and_nothing_inside(zlib_users: Path) -> None:
    library = _of(who("zlib", [str(zlib_users)]), "dynamic").library
    assert library is not None
    for path in (library, os.path.realpath(library)):
        assert _ways(who(path, [str(zlib_users)])) == {"dynamic": ["needed"]}
    copy = zlib_users.parent / "libz.so.1"
    shutil.copy(library, copy)
    assert who(str(copy), [str(zlib_users)]).matches == []


def test_the_library_itself_is_found_where_it_lies(zlib_users: Path, tmp_path: Path) -> None:
    library = _of(who("zlib", [str(zlib_users)]), "dynamic").library
    shutil.copy(str(library), tmp_path / "other-name.so")
    (match,) = who("zlib", [str(tmp_path)]).matches
    assert (match.how, match.itself, match.soname, match.name) == ("inside", True, "libz.so.1", "zlib")


def test_in_a_package_it_is_found_by_the_members_name(zlib_users: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        for name in ("static", "without", "through", "libpacks.so"):
            archive.write(zlib_users / name, f"bin/{name}")
    document = who("zlib", [str(tmp_path / "release.zip")])
    assert _ways(document) == {"static": ["inside"], "through": ["inside"], "libpacks.so": ["inside"]}
    assert {match.path.partition("!")[0] for match in document.matches} == {str(tmp_path / "release.zip")}


# --- What auditwheel made of a wheel ----------------------------------------------------------------------------------

_GRAFTED = "libz-dd453c56.so.1.2.11"


@pytest.fixture
def repaired(zlib_users: Path, tmp_path: Path) -> Path:
    """A folder as auditwheel leaves it: a module that finds a renamed zlib, and a library beside that does not."""
    library = _of(who("zlib", [str(zlib_users / "dynamic")]), "dynamic").library
    libs = tmp_path / "app.libs"
    libs.mkdir()
    (tmp_path / "app").mkdir()
    shutil.copy(str(library), libs / _GRAFTED)
    shared_object(libs / "libneeds-00112233.so.1", needed=(_GRAFTED,))
    rpath = "$ORIGIN/../app.libs"
    shared_object(tmp_path / "app/_ext.so", needed=("libneeds-00112233.so.1", _GRAFTED), rpath=rpath)
    return tmp_path


@pytest.mark.parametrize("name", ["libz.so.1", "libz.so.1.2.11", "libz", "z", "zlib", _GRAFTED])
def test_a_copy_that_auditwheel_renamed_is_found_by_its_name_before(repaired: Path, name: str) -> None:
    found = _ways(who(name, [str(repaired)]))
    assert found == {_GRAFTED: ["inside"], "_ext.so": ["needed"], "libneeds-00112233.so.1": ["needed"]}


@pytest.mark.parametrize("name", ["libz.so.2", "libz.so.1.2.1", "libz.so.11", "libzz", "libz-2.so.1"])
def test_a_renamed_copy_of_another_version_or_library_is_not_meant(repaired: Path, name: str) -> None:
    assert who(name, [str(repaired)]).matches == []


def test_what_lies_beside_a_library_that_does_not_find_it_is_what_it_gets(repaired: Path, zlib_version: str) -> None:
    match = _of(who("zlib", [str(repaired)]), "libneeds-00112233.so.1")
    assert (match.library, match.beside) == (str(repaired / "app.libs" / _GRAFTED), True)
    assert (match.version, match.version_from) == (zlib_version, "beside")


def test_a_program_does_not_get_what_lies_beside_it(zlib_users: Path, tmp_path: Path) -> None:
    """Nothing is loaded before it: its loader says that the library is not found."""
    library = _of(who("zlib", [str(zlib_users / "dynamic")]), "dynamic").library
    shutil.copy(str(library), tmp_path / _GRAFTED)
    program = executable(tmp_path / "app", needed=(_GRAFTED,))
    said = subprocess.run([program], capture_output=True, text=True, timeout=30)
    assert f"{_GRAFTED}: cannot open shared object file" in said.stderr
    match = _of(who(_GRAFTED, [str(program)]), "app")
    assert (match.library, match.beside, match.version) == (None, False, None)


def test_a_library_of_the_same_package_is_named_as_its_other_files(repaired: Path) -> None:
    """In zipfile's words, behind the path that was given."""
    wheel = repaired / "app-1.0.zip"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(repaired.glob("app*/*.so*")):
            archive.write(path, str(path.relative_to(repaired)))
        names = archive.namelist()
    document = who("zlib", [str(wheel)])
    assert len(document.matches) == 3
    named = {path for match in document.matches for path in (match.library, *match.via) if path is not None}
    assert named == {f"{wheel}!/{name}" for name in names}


def test_a_library_is_named_without_a_way_back_where_that_is_the_same_file(repaired: Path) -> None:
    expected = str(repaired / "app.libs" / _GRAFTED)
    assert _of(who("zlib", [str(repaired / "app")]), "_ext.so").library == expected
    (repaired / "elsewhere/deep").mkdir(parents=True)
    shutil.move(repaired / "app", repaired / "elsewhere/deep/app")
    shutil.copytree(repaired / "app.libs", repaired / "elsewhere/deep/app.libs")
    (repaired / "app").symlink_to("elsewhere/deep/app")
    behind = str(repaired / "elsewhere/deep/app.libs" / _GRAFTED)
    assert _of(who("zlib", [str(repaired / "app/_ext.so")]), "_ext.so").library == behind


# --- Versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "found"), [("1.0", False), ("{}", False), ("{}.1", True), ("99", True)], ids=["1.0", "same", "next", "99"]
)
def test_only_what_is_below_the_version(zlib_users: Path, zlib_version: str, bound: str, found: bool) -> None:
    document = who("zlib", [str(zlib_users / "static")], older_than=bound.format(zlib_version))
    assert [match.older for match in document.matches] == (["yes"] if found else [])


def test_a_version_that_is_not_told_is_kept_and_marked(tmp_path: Path) -> None:
    shared_object(tmp_path / "libz.so.1", soname="libz.so.1")
    (match,) = who("zlib", [str(tmp_path)], older_than="1.2.12").matches
    assert (match.version, match.older) == (None, "unknown")


def test_a_bound_that_is_no_version_is_refused() -> None:
    with pytest.raises(BadAssumption, match="is no version"):
        who("zlib", ["/nothing"], older_than="latest")


def test_a_library_of_the_same_soname_may_be_another_projects() -> None:
    """Debian's libjpeg.so.62 is libjpeg-turbo."""
    library = next(Path("/usr/lib").glob("*/libjpeg.so.62"), None)
    if library is None:
        raise Unavailable("libjpeg.so.62 is not here (Debian package libjpeg62-turbo)")
    assert who("libjpeg", [str(library)]).matches == []
    assert [match.itself for match in who("libjpeg-turbo", [str(library)]).matches] == [True]
    assert [match.itself for match in who("libjpeg.so.62", [str(library)]).matches] == [True]


def test_a_missing_library_is_needed_all_the_same(fixture_file: FixtureFile) -> None:
    (match,) = who("libgone.so.1", [str(fixture_file("needed/missing-library"))]).matches
    assert (match.how, match.library, match.version) == ("needed", None, None)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("chain/middle-rpath-serves-below/app", "libleaf.so"),
        ("chain/exe-rpath-serves-grandchild/app", "libleaf.so"),
        ("chain/no-search-path/app", "libc.so.6"),
    ],
)
def test_the_way_to_an_indirect_one_is_what_the_files_ask_for(
    fixture_file: FixtureFile, name: str, library: str
) -> None:
    """Each along the way has the next one in NEEDED, by readelf, and the last one asks for the library."""
    app = fixture_file(name)
    (match,) = who(library, [str(app)]).matches
    wanted = [*(os.path.basename(path) for path in match.via[1:]), library]
    for path, name_wanted in zip(match.via, wanted, strict=True):
        text = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True).stdout
        assert f"[{name_wanted}]" in text
    assert match.how == ("needed" if len(match.via) == 1 else "indirect")


@pytest.mark.parametrize("library", ["libz.so.1", "libtinfo.so.6", "liblzma.so.5"])
def test_the_loader_lists_the_library_for_exactly_those(library: str) -> None:
    """`ld.so --list` of every program in a sample of /usr/bin."""
    loader = "/lib64/ld-linux-x86-64.so.2"
    if not os.path.exists(loader):
        raise Unavailable("the judge is the loader of x86-64")
    sample = [path for path in sorted(Path("/usr/bin").iterdir()) if path.is_file() and not path.is_symlink()][::12]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    expected = set()
    for path in sample:
        done = subprocess.run([loader, "--list", path], capture_output=True, text=True, env=environment, timeout=30)
        if done.returncode == 0 and re.search(rf"^\s*{re.escape(library)} =>", done.stdout, re.MULTILINE):
            expected.add(str(path))
    elf = [str(path) for path in sample if path.open("rb").read(4) == b"\x7fELF"]
    found = who(library, elf)
    assert {match.path for match in found.matches if match.how in _HOWS} == expected


def test_many_files_are_divided_among_processes_with_the_same_answer(zlib_users: Path, tmp_path: Path) -> None:
    for number in range(140):
        shutil.copy(zlib_users / ("static" if number % 7 == 0 else "without"), tmp_path / f"{number:03}")
    folder = [str(tmp_path)]
    assert list(who_of("zlib", folder, Assumptions(), None, 2)) == list(who_of("zlib", folder, Assumptions()))


def test_what_is_found_by_name_is_what_inspect_finds_among_everything(zlib_users: Path) -> None:
    files = [str(path) for path in sorted(zlib_users.iterdir())]
    contents = {file.path: file.contents or [] for file in inspect(files, depth=Depth(contents=True)).files}
    expected = {
        path: (one.version, one.evidence) for path, found in contents.items() for one in found if one.name == "zlib"
    }
    inside = [
        match
        for match in who("zlib", files, search=Search(thorough=True)).matches
        if match.how == "inside" and match.library is None
    ]
    assert {match.path: (match.version, match.evidence) for match in inside} == expected


# --- Processes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(zlib_users: Path, tmp_path: Path) -> Iterator[dict[str, Started]]:
    """The programs, each from a copy, waiting for a line."""
    copies = {name: shutil.copy(zlib_users / name, tmp_path / name) for name in ("dynamic", "static")}
    with started([copies["dynamic"]]) as dynamic, started([copies["static"]]) as static:
        dynamic.expect("version=")
        static.expect("version=")
        yield {"dynamic": dynamic, "static": static}


def _by_pid(document: WhoDocument) -> dict[int | None, Match]:
    return {match.pid: match for match in document.matches}


def test_processes_hold_it_mapped_or_inside(running: dict[str, Started], zlib_version: str) -> None:
    document = who("zlib")
    found = _by_pid(document)
    mapped, inside = found[running["dynamic"].pid], found[running["static"].pid]
    assert (mapped.how, mapped.disk, mapped.command) == ("mapped", "same", "dynamic")
    assert str(mapped.library) in Path(f"/proc/{running['dynamic'].pid}/maps").read_text()
    assert f"version={mapped.version}" in running["dynamic"].lines
    assert (inside.how, inside.library, inside.version) == ("inside", None, zlib_version)
    for pid, match in found.items():
        if match.how == "mapped":
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # others end when they like
                assert os.path.basename(match.library or "") in Path(f"/proc/{pid}/maps").read_text()


def test_without_being_asked_processes_are_left_out_where_there_are_paths(
    running: dict[str, Started], zlib_users: Path
) -> None:
    pids = {match.pid for match in who("zlib", [str(zlib_users)]).matches}
    both = {match.pid for match in who("zlib", [str(zlib_users)], processes=True).matches}
    assert pids == {None}
    assert both >= {None, running["static"].pid}


def test_a_deleted_program_still_tells_what_is_inside(running: dict[str, Started], zlib_version: str) -> None:
    os.unlink(os.readlink(f"/proc/{running['static'].pid}/exe"))
    match = _by_pid(who("zlib"))[running["static"].pid]
    assert (match.how, match.disk, match.version) == ("inside", "deleted", zlib_version)


def _with_own_library(zlib_users: Path, folder: Path) -> tuple[Path, Path]:
    """A program and its own zlib, beside one another."""
    system = _of(who("zlib", [str(zlib_users / "dynamic")]), "dynamic").library
    folder.chmod(0o755)
    library = Path(shutil.copy(str(system), folder / "libz.so.1"))
    return linked(folder / "app", _USES_ZLIB, ["-lz", "-Wl,-rpath,$ORIGIN"]), library


def test_a_library_that_was_replaced_is_told_in_the_version_that_is_mapped(zlib_users: Path, tmp_path: Path) -> None:
    """What stands at its path now is another version: the process has to be restarted."""
    app, library = _with_own_library(zlib_users, tmp_path)
    with started([app]) as program:
        told = program.expect("version=").partition("=")[2]
        patched = library.with_suffix(".new")
        patched.write_bytes(library.read_bytes().replace(told.encode(), told[:-1].encode() + b"~"))
        patched.rename(library)
        match = _by_pid(who("libz.so.1"))[program.pid]
        assert (match.disk, match.version, match.library) == ("replaced", told, str(library))
        assert _by_pid(who(str(library)))[program.pid].disk == "replaced"


def test_whoever_may_only_read_memory_has_the_version_from_there(zlib_users: Path, folder: Path) -> None:
    """The links to deleted files are for the administrator alone; the user's own memory is not."""
    app, library = _with_own_library(zlib_users, folder)
    with as_user([app]) as program:
        told = program.expect("version=").partition("=")[2]
        library.unlink()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                match = _by_pid(who("zlib"))[program.pid]
                os.write(writing, f"{match.disk} {match.version}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as said:
            assert said.read() == f"deleted {told}"
        os.waitpid(child, 0)


def test_what_was_opened_leads_to_what_it_needs(fixture_file: FixtureFile, tmp_path: Path) -> None:
    """Of copies: the fixtures may be made anew meanwhile."""
    program = Path(shutil.copy(fixture_file("process/dlopen"), tmp_path / "dlopen"))
    plugin, needed = (
        Path(shutil.copy(fixture_file(f"process/plugins/{name}"), tmp_path / name))
        for name in ("libneedy.so", "libneeded.so")
    )
    with started([program, plugin]) as host:
        host.expect("ready")
        assert f"map {needed}" in host.lines
        document = who("libneeded.so")
    matches = [match for match in document.matches if match.pid == host.pid]
    assert len(matches) == 1, document.errors
    (match,) = matches
    assert match.via == [str(program), str(plugin)]
    assert match.library == str(needed)


def test_a_process_that_never_stays_the_same_program_is_counted_and_no_error(tmp_path: Path) -> None:
    source = '#include <unistd.h>\nint main(int c, char **v) { execv("/proc/self/exe", v); return 1; }\n'
    program = linked(tmp_path / "restless", source, ["-static"])
    document = who("libnobody-has-this.so.1")
    with started([program]) as restless:
        deadline = time.monotonic() + 30
        while not document.summary.unsteady and time.monotonic() < deadline:
            document = who("libnobody-has-this.so.1")
            assert (restless.process.poll(), document.errors) == (None, [])
    assert document.summary.unsteady


def test_a_part_of_the_same_project_does_not_have_it_inside(zlib_users: Path) -> None:
    """The loader and the C library are both glibc, and whoever asks for one soname does not mean the other."""
    loader = "ld-linux-x86-64.so.2"
    files = [str(zlib_users / "dynamic"), f"/lib64/{loader}"]
    if not os.path.exists(files[1]):
        raise Unavailable("this machine is no x86-64 one")
    assert _ways(who("libc.so.6", files)) == {"dynamic": ["needed"]}


# --- Two versions of one library in one file --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_zlibs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program with the constants of two zlibs, as Node.js has them: its own, and that of V8."""
    constants = [
        f" {what} {version} Copyright 1995-{year} {'Jean-loup Gailly and ' if what == 'deflate' else ''}Mark Adler "
        for version, year in (("1.3.1", 2024), ("1.2.13", 2022))
        for what in ("deflate", "inflate")
    ]
    return with_constants(tmp_path_factory.mktemp("two") / "both", texts(*constants))


@pytest.mark.parametrize(
    ("bound", "versions"),
    [
        (None, ["1.2.13", "1.3.1"]),
        ("1.3", ["1.2.13"]),
        ("1.3.1", ["1.2.13"]),
        ("1.4", ["1.2.13", "1.3.1"]),
        ("1.2", []),
    ],
)
def test_each_of_two_versions_inside_is_a_match_of_its_own(
    two_zlibs: Path, bound: str | None, versions: list[str]
) -> None:
    found = who("zlib", [str(two_zlibs)], older_than=bound).matches
    assert [match.version for match in found] == versions
    for match in found:
        assert all(f" {match.version} " in (proof.text or "") for proof in match.evidence)
        assert len(match.evidence) == 2


def test_a_policy_objects_to_the_older_of_two_versions_alone(two_zlibs: Path) -> None:
    policy = Policy(groups=(Group(paths=("**",), settings={"embedded": {"zlib": "1.3"}}),))
    found = [one for one in check([str(two_zlibs)], policy).findings if one.rule == "old-embedded"]
    assert [one.message for one in found] == ["holds zlib 1.2.13, which is older than 1.3"]


def test_a_difference_names_both_versions(two_zlibs: Path, tmp_path: Path) -> None:
    old = with_constants(tmp_path / "both", texts(" inflate 1.2.13 Copyright 1995-2022 Mark Adler "))
    changes = diff(str(old), str(two_zlibs)).changes
    (change,) = [change for change in changes if change.code == "contents-version"]
    assert (change.subject, change.old, change.new) == ("zlib", "1.2.13", "1.2.13 and 1.3.1")


def test_a_part_of_a_project_that_lies_beside_tells_the_version_of_the_other_part(tmp_path: Path) -> None:
    """libssl of a wheel tells none, its libcrypto does, and neither finds the other from where it is."""
    crypto, ssl = "libcrypto-2ade47cd.so.1.1", "libssl-3a880ada.so.1.1"
    shared_object(tmp_path / ssl, soname=ssl, needed=(crypto,))
    source = 'const char *const told[] = { "OPENSSLDIR: \\"/usr\\"", "OpenSSL 1.1.1r  11 Oct 2022" };\n'
    linked(tmp_path / crypto, source, ["-shared", "-fPIC", f"-Wl,-soname,{crypto}"])
    shared_object(tmp_path / "client.so", needed=(ssl, crypto))
    matches = who("openssl", [str(tmp_path / "client.so"), str(tmp_path / ssl)]).matches
    assert {(os.path.basename(match.path), match.version) for match in matches} == {
        ("client.so", "1.1.1r"),
        (ssl, "1.1.1r"),
    }
