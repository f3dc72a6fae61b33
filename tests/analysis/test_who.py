"""`who`: everything that holds a library, as the loader, the kernel and the programs themselves say it."""

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.diff import diff
from linkscope.analysis.holding import Held
from linkscope.analysis.inside import Search
from linkscope.analysis.inspect import inspect
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.who import who, who_of
from linkscope.errors import BadAssumption
from linkscope.policy.terms import Group, Policy
from tests.analysis.zlib_users import match_of, said_by, ways_in
from tests.analysis.zlib_users import zlib_users as zlib_users
from tests.analysis.zlib_users import zlib_version as zlib_version
from tests.contents.samples import linked, texts, with_constants
from tests.oracle.availability import Unavailable
from tests.oracle.elfwriter import executable, shared_object

FixtureFile = Callable[[str], Path]
_HOWS = ("needed", "indirect")


@pytest.mark.parametrize("name", ["zlib", "libz.so.1", "libz", "ZLIB"])
def test_one_question_finds_it_mapped_and_inside(zlib_users: Path, zlib_version: str, name: str) -> None:
    document = who(name, [str(zlib_users)])
    assert ways_in(document) == {
        "dynamic": ["needed"],
        "static": ["inside"],
        "libpacks.so": ["inside"],
        "through": ["inside"],
    }
    assert {match.version for match in document.matches if match.how == "inside"} == {zlib_version}
    through = match_of(document, "through")
    assert [os.path.basename(path) for path in through.via] == ["through", "libpacks.so"]
    assert through.library == str(zlib_users / "libpacks.so")
    assert (match_of(document, "static").library, match_of(document, "static").via) == (
        None,
        [str(zlib_users / "static")],
    )
    assert (document.summary.files, document.errors) == (5, [])


def test_the_version_of_a_shared_one_is_what_it_tells_the_program(zlib_users: Path) -> None:
    match = match_of(who("zlib", [str(zlib_users / "dynamic")]), "dynamic")
    assert (match.version, match.version_from) == (said_by(zlib_users / "dynamic"), "contents")


def test_a_path_means_that_very_file_and_nothing_inside(zlib_users: Path) -> None:
    library = match_of(who("zlib", [str(zlib_users)]), "dynamic").library
    assert library is not None
    for path in (library, os.path.realpath(library)):
        assert ways_in(who(path, [str(zlib_users)])) == {"dynamic": ["needed"]}
    copy = zlib_users.parent / "libz.so.1"
    shutil.copy(library, copy)
    assert who(str(copy), [str(zlib_users)]).matches == []


def test_the_library_itself_is_found_where_it_lies(zlib_users: Path, tmp_path: Path) -> None:
    library = match_of(who("zlib", [str(zlib_users)]), "dynamic").library
    shutil.copy(str(library), tmp_path / "other-name.so")
    (match,) = who("zlib", [str(tmp_path)]).matches
    assert (match.how, match.itself, match.soname, match.name) == ("inside", True, "libz.so.1", "zlib")


def test_in_a_package_it_is_found_by_the_members_name(zlib_users: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as archive:
        for name in ("static", "without", "through", "libpacks.so"):
            archive.write(zlib_users / name, f"bin/{name}")
    document = who("zlib", [str(tmp_path / "release.zip")])
    assert ways_in(document) == {"static": ["inside"], "through": ["inside"], "libpacks.so": ["inside"]}
    assert {match.path.partition("!")[0] for match in document.matches} == {str(tmp_path / "release.zip")}


# --- What auditwheel made of a wheel ----------------------------------------------------------------------------------

_GRAFTED = "libz-dd453c56.so.1.2.11"


@pytest.fixture
def repaired(zlib_users: Path, tmp_path: Path) -> Path:
    """A folder as auditwheel leaves it: a module that finds a renamed zlib, and a library beside that does not."""
    library = match_of(who("zlib", [str(zlib_users / "dynamic")]), "dynamic").library
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
    found = ways_in(who(name, [str(repaired)]))
    assert found == {_GRAFTED: ["inside"], "_ext.so": ["needed"], "libneeds-00112233.so.1": ["needed"]}


@pytest.mark.parametrize("name", ["libz.so.2", "libz.so.1.2.1", "libz.so.11", "libzz", "libz-2.so.1"])
def test_a_renamed_copy_of_another_version_or_library_is_not_meant(repaired: Path, name: str) -> None:
    assert who(name, [str(repaired)]).matches == []


def test_what_lies_beside_a_library_that_does_not_find_it_is_what_it_gets(repaired: Path, zlib_version: str) -> None:
    match = match_of(who("zlib", [str(repaired)]), "libneeds-00112233.so.1")
    assert (match.library, match.beside) == (str(repaired / "app.libs" / _GRAFTED), True)
    assert (match.version, match.version_from) == (zlib_version, "beside")


def test_a_program_does_not_get_what_lies_beside_it(zlib_users: Path, tmp_path: Path) -> None:
    """Nothing is loaded before it: its loader says that the library is not found."""
    library = match_of(who("zlib", [str(zlib_users / "dynamic")]), "dynamic").library
    shutil.copy(str(library), tmp_path / _GRAFTED)
    program = executable(tmp_path / "app", needed=(_GRAFTED,))
    said = subprocess.run([program], capture_output=True, text=True, timeout=30)
    assert f"{_GRAFTED}: cannot open shared object file" in said.stderr
    match = match_of(who(_GRAFTED, [str(program)]), "app")
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
    assert match_of(who("zlib", [str(repaired / "app")]), "_ext.so").library == expected
    (repaired / "elsewhere/deep").mkdir(parents=True)
    shutil.move(repaired / "app", repaired / "elsewhere/deep/app")
    shutil.copytree(repaired / "app.libs", repaired / "elsewhere/deep/app.libs")
    (repaired / "app").symlink_to("elsewhere/deep/app")
    behind = str(repaired / "elsewhere/deep/app.libs" / _GRAFTED)
    assert match_of(who("zlib", [str(repaired / "app/_ext.so")]), "_ext.so").library == behind


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


def test_a_part_of_the_same_project_does_not_have_it_inside(zlib_users: Path) -> None:
    """The loader and the C library are both glibc, and whoever asks for one soname does not mean the other."""
    loader = "ld-linux-x86-64.so.2"
    files = [str(zlib_users / "dynamic"), f"/lib64/{loader}"]
    if not os.path.exists(files[1]):
        raise Unavailable("this machine is no x86-64 one")
    assert ways_in(who("libc.so.6", files)) == {"dynamic": ["needed"]}


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


# --- Symlinks below a folder ------------------------------------------------------------------------------------------


def test_symlinks_to_files_elsewhere_are_followed_each_file_once(zlib_users: Path, tmp_path: Path) -> None:
    """So are most names of /usr/bin that lead to /usr/lib; `check` keeps to what lies in the folder itself."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, target in {
        "again": "dynamic",
        "dynamic": "dynamic",
        "gone": "not-there",
        "static": "static",
    }.items():
        (folder / name).symlink_to(zlib_users / target)
    (folder / "also").symlink_to("dynamic")
    (folder / "all").symlink_to(zlib_users)
    (folder / "mounts").symlink_to("/proc/self/mounts")
    (folder / "text").write_text("no ELF file")
    alone = who("zlib", [str(folder)])
    assert ways_in(alone) == {"again": ["needed"], "static": ["inside"]}
    assert {match.path for match in alone.matches} == {str(folder / "again"), str(folder / "static")}
    assert (alone.summary.files, alone.errors) == (2, [])
    both = who("zlib", [str(folder), str(zlib_users)])
    assert {os.path.dirname(match.path) for match in both.matches} == {str(zlib_users)}


def test_a_file_that_several_folders_hold_is_looked_at_once(zlib_users: Path, tmp_path: Path) -> None:
    """As in /bin and /usr/bin, which are one folder in most systems, and in / with a folder below it."""
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    shutil.copy(zlib_users / "static", root / "usr/bin/static")
    expected = [f"{root}/usr/bin/static"]
    for folders in (["usr/bin", "bin"], ["usr/bin", "usr"], ["usr", "bin"], ["usr/bin", "usr/bin/"], [".", "usr"]):
        document = who("zlib", [str(root / folder) for folder in folders])
        assert ([match.path for match in document.matches], document.summary.files) == (expected, 1), folders
        assert document.errors == []
    seen = who("zlib", ["/bin", "/usr"], Assumptions(root=str(root)))
    assert [match.path for match in seen.matches] == ["/bin/static"]
    named = who("zlib", [str(root / "usr/bin/static"), str(root)])
    assert [match.path for match in named.matches] == expected


def test_a_folder_whose_symlinks_lead_to_no_elf_file_is_still_an_error(tmp_path: Path) -> None:
    (tmp_path / "readme").symlink_to(__file__)
    (error,) = who("zlib", [str(tmp_path)]).errors
    assert "holds no ELF file" in error.error
    (error,) = check([str(tmp_path)]).errors
    assert "holds no ELF file" in error.error


def test_symlinks_lead_nowhere_outside_of_a_root(zlib_users: Path, tmp_path: Path) -> None:
    """An absolute one begins at the root."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "opt").mkdir()
    shutil.copy(zlib_users / "static", tmp_path / "opt/static")
    (tmp_path / "bin/inner").symlink_to("/opt/static")
    (tmp_path / "bin/outer").symlink_to(zlib_users / "static")
    document = who("zlib", ["/bin"], Assumptions(root=str(tmp_path)))
    assert ([match.path for match in document.matches], document.errors) == (["/bin/inner"], [])


def test_a_check_of_a_folder_follows_no_symlinks(zlib_users: Path, tmp_path: Path) -> None:
    (tmp_path / "static").symlink_to(zlib_users / "static")
    shutil.copy(zlib_users / "without", tmp_path / "without")
    assert who("zlib", [str(tmp_path)]).summary.files == 2
    assert check([str(tmp_path)]).summary.files == 1


# --- What a thorough search may tell ----------------------------------------------------------------------------------


def test_a_version_that_only_machine_code_tells_is_known_to_be_told_by_it(
    zlib_users: Path, zlib_version: str, tmp_path: Path
) -> None:
    """A plugin with all of zlib, whose texts are overwritten: its symbols have no version."""
    whole = [
        "-shared",
        "-fPIC",
        "-Wl,-Bsymbolic",
        "-Wl,--whole-archive",
        "-Wl,-Bstatic",
        "-lz",
        "-Wl,-Bdynamic",
        "-Wl,--no-whole-archive",
    ]
    plugin = linked(tmp_path / "plugin.so", "int plugin;\n", whole)
    for told in (b" deflate ", b" inflate "):
        plugin.write_bytes(plugin.read_bytes().replace(told, told.upper()))
    plugin.write_bytes(
        re.sub(rb"\0" + re.escape(zlib_version.encode()) + rb"\0", b"\0" * (len(zlib_version) + 2), plugin.read_bytes())
    )

    def held(path: Path, search: Search) -> Held:
        (one,) = who_of("zlib", [str(path)], Assumptions(), search=search)
        assert isinstance(one, Held)
        return one

    quick, thorough = held(plugin, Search()), held(plugin, Search(thorough=True))
    assert ([match.version for match in quick.matches], quick.unsure) == ([None], True)
    assert ([match.version for match in thorough.matches], thorough.unsure) == ([zlib_version], False)
    assert not held(zlib_users / "static", Search()).unsure
