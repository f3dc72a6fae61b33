"""`linkscope check`: its options, its policy file, its baseline, its reports, its exit codes."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from linkscope.cli.invocation import run
from linkscope.policy.catalogue import rules
from linkscope.report import formats
from tests.cli.conftest import Linkscope, environment

FixtureFile = Callable[[str], Path]


@pytest.fixture
def broken(dist: Path, fixture_file: FixtureFile) -> Path:
    """In that release, a program that lacks a library."""
    return Path(shutil.copy(fixture_file("chain/no-search-path/app"), dist / "broken"))


def _found(linkscope: Linkscope, *arguments: str | Path, code: int) -> set[tuple[str, str, str]]:
    """The rule, path and status of each error."""
    ran = linkscope("check", "--format", "json", *arguments)
    assert (ran.returncode, ran.stderr.count(b"Traceback")) == (code, 0), ran.stderr
    findings = json.loads(ran.stdout)["findings"]
    return {(one["rule"], one["path"], one["status"]) for one in findings if one["level"] == "error"}


def test_a_plain_compilers_programs_pass(linkscope: Linkscope, dist: Path, fixture_file: FixtureFile) -> None:
    names = ["hello-dynamic-pie", "hello-static", "hello-cpp", "hello-dynamic-nonpie", "hello-dynamic-stripped"]
    ran = linkscope("check", dist, *(fixture_file(f"hello/{name}") for name in names))
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_json_is_the_published_document(linkscope: Linkscope, broken: Path) -> None:
    ran = linkscope("check", "--format", "json", broken, "absent")
    document = json.loads(ran.stdout)
    jsonschema.Draft202012Validator(json.loads(linkscope("schema", "check").stdout)).validate(document)
    assert [error["path"] for error in document["errors"]] == ["absent"]
    assert ran.stderr == b""


@pytest.mark.parametrize("form", formats.names())
@pytest.mark.usefixtures("broken")
def test_the_exit_code_is_the_same_in_every_format(linkscope: Linkscope, form: str) -> None:
    assert linkscope("check", "--format", form, "dist/app").returncode == 0
    assert linkscope("check", "--format", form, "dist/app", "dist/broken").returncode == 1
    assert linkscope("check", "--format", form, "dist/app", "dist/broken", "absent").returncode == 2


def test_what_could_not_be_checked_is_told(linkscope: Linkscope, dist: Path) -> None:
    ran = linkscope("check", "absent", "/etc/passwd", dist / "app")
    assert ran.stderr.splitlines() == [
        b"linkscope: absent: no such file or directory",
        b"linkscope: /etc/passwd: not an ELF file",
    ]


ASKED = {
    "static": (["--static"], {"wrong-linkage"}),
    "linkage": (["--linkage", "dynamic"], set()),
    "no-libraries": (["--linkage", "no-libraries"], {"wrong-linkage"}),
    "glibc": (["--glibc", "2.17"], {"glibc-floor"}),
    "glibc that has to do": (["--glibc", "2.99"], set()),
    "floor": (["--floor", "GLIBC=2.17", "--floor", "GLIBCXX=3.4"], {"glibc-floor"}),
    "floor of another family": (["--floor", "GLIBCXX=3.4"], set()),
    "allow": (["--allow", "libc.so.6,libm.so.6"], set()),
    "allow twice": (["--allow", "libm.so.6", "--allow", "libc.so.6"], set()),
    "allow by glob": (["--allow", "libc.*"], set()),
    "allow another": (["--allow", "libm.so.6"], {"library-not-allowed"}),
    "forbid": (["--forbid", "libm.so.6,libc.so.6"], {"library-forbidden"}),
    "forbid another": (["--forbid", "libssl*"], set()),
    "forbid a project": (["--forbid", "glibc"], {"library-forbidden"}),
    "forbid another project": (["--forbid", "musl,openssl"], set()),
    "rule": (["--rule", "not-judged=error", "--rule", "lazy-binding=error"], {"lazy-binding"}),
    "rule off": (["--static", "--rule", "wrong-linkage=off"], set()),
    "rule lowered": (["--static", "--rule", "wrong-linkage=warning"], set()),
    "no build paths": (["--no-build-paths"], set()),
}


@pytest.mark.parametrize(
    ("forbidden", "said"),
    [
        ("opensll", "no library is known as opensll, only a file libopensll.so would count; did you mean openssl?"),
        ("frobnicator", "no library is known as frobnicator, only a file libfrobnicator.so would count"),
        ("openssl,ssl,OpenSSL,libssl,lua5.4", ""),
        ("*foo*,libfoo.so.1,cargo:opensll,example.org/x", ""),
        ("stdlib,dietlibc,zig", ""),
    ],
)
@pytest.mark.usefixtures("dist")
def test_a_forbidden_name_that_is_nobodys_is_told_once_and_is_no_fault(
    linkscope: Linkscope, forbidden: str, said: str
) -> None:
    ran = linkscope("check", "--forbid", forbidden, "dist/app", "dist/app")
    assert ran.returncode == 0
    assert ran.stderr.decode() == (f"linkscope: forbid: {said}\n" if said else "")


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.usefixtures("dist")
def test_an_option_asks_for(linkscope: Linkscope, name: str) -> None:
    options, rules = ASKED[name]
    found = _found(linkscope, *options, "dist/app", code=1 if rules else 0)
    assert {rule for rule, _, _ in found} == rules


def test_no_build_paths_makes_an_error_of_them(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    built = str(fixture_file("policy/runpath-home"))
    assert "build-path" not in {rule for rule, _, _ in _found(linkscope, built, "--rule", "build-path=warning", code=0)}
    assert "build-path" in {rule for rule, _, _ in _found(linkscope, built, "--no-build-paths", code=1)}


@pytest.mark.usefixtures("dist")
def test_a_target_asks_for_a_start_there(linkscope: Linkscope) -> None:
    assert "glibc-floor" in {rule for rule, _, _ in _found(linkscope, "--target", "debian:11", "dist/app", code=1)}
    assert _found(linkscope, "--target", "debian:11", "dist/tool", code=0) == set()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Name at least one file"),
        (["--static", "--linkage", "dynamic", "app"], "contradict"),
        (["--linkage", "elastic", "app"], "is not one of"),
        (["--glibc", "2.x", "app"], 'is no version'),
        (["--glibc", "", "app"], 'is no version'),
        (["--glibc", "GLIBC_2.28", "app"], 'write "2.28"'),
        (["--glibc", "2.28", "--floor", "GLIBC=2.17", "app"], "named twice"),
        (["--floor", "2.28", "app"], "is not FAMILY=VERSION"),
        (["--floor", "glibc=2.28", "app"], "did you mean GLIBC?"),
        (["--target", "debain:12", "app"], "did you mean debian:12"),
        (["--allow", "", "app"], "the name is empty"),
        (["--allow", "a,,b", "app"], "the name is empty"),
        (["--rule", "missing-library", "app"], "is not RULE=LEVEL"),
        (["--rule", "mising-library=error", "app"], "did you mean missing-library?"),
        (["--rule", "zzz=error", "app"], "`linkscope explain` lists them"),
        (["--rule", "missing-library=warn", "app"], "did you mean warning?"),
        (["--policy", "", "app"], "the name is empty"),
        (["--cwd", "", "app"], "the name is empty"),
        (["--files-from", "", "app"], "the name is empty"),
        (["--baseline", "", "app"], "the name is empty"),
        (["--baseline", "", "--write-baseline", "app"], "the name is empty"),
        (["--write-baseline", "app"], "needs --baseline"),
        (["--policy", "x", "--no-policy", "app"], "leave nothing together"),
        (["--output", "sarif", "app"], "is not FORMAT=FILE"),
        (["--output", "pdf=x", "app"], "there is no format pdf"),
        (["--output", "sarif=x", "--output", "junit=./x", "app"], "cannot take two reports"),
        (["--output", "sarif=-", "--output", "junit=-", "app"], "takes one report"),
        (["--format", "json", "--output", "junit=-", "app"], "takes one report"),
        (["--output", "sarif=absent/x", "app"], "absent/x: no such file or directory"),
        (["--output", "sarif=.", "app"], ".: is a directory"),
        (["--policy", "absent.toml", "app"], "absent.toml: no such file or directory"),
        (["--baseline", "absent.json", "app"], "absent.json: no such file or directory"),
        (["--root", "absent", "app"], "absent"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_command_line_is_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["check", *options]) == 2
    out, err = capfd.readouterr()
    told = [line for line in err.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    assert (out, len(told)) == ("", 1)
    assert words in told[0]


def test_every_option_that_asks_is_a_setting_of_some_rule() -> None:
    """So that none of them can be without effect."""
    taken = {field for rule in rules().values() for field in rule.settings.__struct_fields__}
    assert taken >= {"linkage", "floors", "target", "allow", "forbid", "build_paths"}


def test_the_policy_of_the_working_directory_is_used_and_that_is_said(
    linkscope: Linkscope, tmp_path: Path, dist: Path
) -> None:
    (tmp_path / "linkscope.toml").write_text('[[files]]\npaths = ["dist/*"]\nlinkage = "static"\n')
    ran = linkscope("check", "dist")
    assert ran.returncode == 1
    assert b"goes by linkscope.toml, which lies here" in ran.stderr
    assert linkscope("check", "--no-policy", "dist").stderr == b""
    assert linkscope("check", "--no-policy", "dist").returncode == 0
    (tmp_path / "other.toml").write_text("")
    assert linkscope("check", "--policy", "other.toml", "dist").returncode == 0
    assert linkscope("check", "--policy", "linkscope.toml", dist).returncode == 1  # whatever the path is like


@pytest.mark.usefixtures("dist")
def test_options_come_after_the_sections_of_the_policy(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('[[files]]\nlinkage = "static"\nfloors = { GLIBC = "2.17", GCC = "1" }\n')
    found = _found(linkscope, "--policy", "p.toml", "--linkage", "dynamic", "--glibc", "2.99", "dist/app", code=0)
    assert found == set()


def test_every_mistake_of_a_policy_is_a_line_and_nothing_is_checked(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('[[files]]\nlinkage = "statc"\n[files.rules]\nmising-library = "off"\n')
    ran = linkscope("check", "--policy", "p.toml", "absent")
    assert (ran.returncode, ran.stdout) == (2, b"")
    first, second = ran.stderr.decode().splitlines()
    assert first.startswith("linkscope: p.toml:2: linkage: ")
    assert second == 'linkscope: p.toml:4: there is no rule "mising-library"; did you mean missing-library?'


def _waiver(path: str, until: str = "2099-01-01") -> str:
    return f'[[waivers]]\nrule = "missing-library"\npath = "{path}"\nreason = "later"\nuntil = {until}\n'


@pytest.mark.usefixtures("broken")
def test_a_waiver_accepts_until_its_day_and_an_ended_one_is_told(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "linkscope.toml").write_text(_waiver("dist/broken"))
    assert _found(linkscope, "dist", code=0) == {("missing-library", "dist/broken", "waived")}
    (tmp_path / "linkscope.toml").write_text(_waiver("dist/broken", "2020-02-29"))
    assert _found(linkscope, "dist", code=1) == {("missing-library", "dist/broken", "new")}
    told = linkscope("check", "dist").stderr.decode().splitlines()
    assert told[1:] == [
        "linkscope: linkscope.toml:1: the waiver of missing-library for dist/broken ended on 2020-02-29"
    ]


@pytest.mark.usefixtures("dist")
def test_a_waiver_that_accepts_nothing_is_told(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "linkscope.toml").write_text("\n" + _waiver("dist/app") + _waiver("dist/absent"))
    ran = linkscope("check", "dist")
    assert ran.returncode == 0
    idle, gone = ran.stderr.decode().splitlines()[1:]
    named = "the waiver of missing-library for dist"
    assert idle == f"linkscope: linkscope.toml:2: {named}/app accepts nothing that was found: it can go"
    assert gone == f"linkscope: linkscope.toml:7: {named}/absent is about a file that does not exist"


@pytest.mark.usefixtures("broken")
def test_a_baseline_accepts_today_and_fails_on_what_is_new(
    linkscope: Linkscope, tmp_path: Path, fixture_file: FixtureFile
) -> None:
    assert linkscope("check", "dist", "--baseline", "accepted.json", "--write-baseline").returncode == 0
    assert _found(linkscope, "--baseline", "accepted.json", "dist", code=0) == {
        ("missing-library", "dist/broken", "baseline")
    }
    shutil.copy(fixture_file("chain/no-search-path/app"), tmp_path / "dist/another")
    found = _found(linkscope, "--baseline", "accepted.json", "dist", code=1)
    assert ("missing-library", "dist/another", "new") in found
    assert ("missing-library", "dist/broken", "baseline") in found


@pytest.mark.usefixtures("broken")
def test_a_baseline_is_the_same_for_every_way_to_name_the_files(linkscope: Linkscope, tmp_path: Path) -> None:
    written = []
    for way in ("dist", "./dist/", "../" + tmp_path.name + "/dist", str(tmp_path / "dist")):
        assert linkscope("check", way, "--baseline", "accepted.json", "--write-baseline").returncode == 0
        written.append((tmp_path / "accepted.json").read_bytes())
    assert len(set(written)) == 1
    assert str(tmp_path).encode() not in written[0]
    other = tmp_path / "checkout"
    shutil.copytree(tmp_path / "dist", other / "dist", symlinks=True)
    shutil.copy(tmp_path / "accepted.json", other)
    assert linkscope("check", other / "dist", "--baseline", other / "accepted.json").returncode == 0


def test_what_a_baseline_accepts_in_vain_is_told(linkscope: Linkscope, broken: Path) -> None:
    linkscope("check", "dist", "--baseline", "accepted.json", "--write-baseline")
    broken.unlink()
    ran = linkscope("check", "dist", "--baseline", "accepted.json")
    assert ran.returncode == 0
    assert b"accepts what is not there any more: " in ran.stderr
    assert b" in dist/broken" in ran.stderr
    assert linkscope("check", "dist/app", "--baseline", "accepted.json", "--write-baseline").returncode == 0
    assert linkscope("check", "dist/app", "--baseline", "accepted.json").stderr == b""


@pytest.mark.usefixtures("broken")
def test_no_baseline_is_written_while_some_file_could_not_be_analysed(linkscope: Linkscope, tmp_path: Path) -> None:
    """What it held of that file would be new again the next time."""
    (tmp_path / "accepted.json").write_text("as it was")
    ran = linkscope("check", "dist", "absent", "--baseline", "accepted.json", "--write-baseline")
    assert ran.returncode == 2
    assert b"linkscope: accepted.json: is not written, as 1 file could not be analysed\n" in ran.stderr
    assert (tmp_path / "accepted.json").read_text() == "as it was"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--output", "json=dist/app"], "dist/app: is not written over: this command reads it"),
        (["--output", "json=link"], "link: is not written over: this command reads it"),
        (["--output", "json=dist/tool"], "dist/tool: is not written over: it is an ELF file"),
        (["--output", "json=a.zip"], "a.zip: is not written over: it is a package"),
        (["--output", "json=linkscope.toml"], "linkscope.toml: is not written over: this command reads it"),
        (["--output", "json=a.json", "--baseline", "a.json"], "--output and --baseline: one file cannot be both"),
        (["--output", "json=b.json", "--baseline", "a.json"], "b.json: is not written over: this command reads it"),
        (["--baseline", "dist/tool", "--write-baseline"], "dist/tool: is not written over: it is an ELF file"),
        (["--root", "{here}", "--output", "json=dist/app"], "dist/app: is not written over: this command reads it"),
    ],
)  # fmt: skip
def test_no_report_is_written_over_what_is_checked(
    linkscope: Linkscope, tmp_path: Path, dist: Path, options: list[str], words: str
) -> None:
    (tmp_path / "link").symlink_to(dist / "app")
    (tmp_path / "linkscope.toml").touch()
    (tmp_path / "a.json").touch()
    (tmp_path / "b.json").hardlink_to(tmp_path / "a.json")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    given = [option.format(here=tmp_path) for option in options]
    ran = linkscope("check", "/dist/app" if "--root" in options else "dist/app", *given)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert words in ran.stderr.decode()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.usefixtures("dist")
def test_a_file_that_is_no_baseline_is_refused(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "accepted.json").write_text("{")
    ran = linkscope("check", "dist", "--baseline", "accepted.json")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr.startswith(b"linkscope: accepted.json: is no baseline")


@pytest.mark.usefixtures("broken")
def test_several_reports_at_once_are_those_of_each_alone(linkscope: Linkscope, tmp_path: Path) -> None:
    others = [name for name in formats.names() if name != "text"]
    ran = linkscope("check", "dist", *(word for name in others for word in ("--output", f"{name}=report.{name}")))
    assert ran.returncode == 1
    assert ran.stdout == linkscope("check", "dist").stdout
    for name in others:
        alone = linkscope("check", "dist", "--format", name).stdout
        assert (tmp_path / f"report.{name}").read_bytes() == alone == linkscope(
            "check", "dist", "--output", f"{name}=-"
        ).stdout  # fmt: skip


@pytest.mark.usefixtures("dist")
def test_a_report_that_cannot_be_written_is_told(linkscope: Linkscope) -> None:
    ran = linkscope("check", "dist/app", "--output", "sarif=/dev/full")
    assert ran.returncode == 2
    assert ran.stderr == b"linkscope: /dev/full: no space left on device\n"


def test_no_variable_of_the_environment_counts_unless_an_option_says_so(
    linkscope: Linkscope, broken: Path, fixture_file: FixtureFile
) -> None:
    folder = str(fixture_file("chain/no-search-path/app").parent / "leaf")
    assert linkscope("check", broken, env={"LD_LIBRARY_PATH": folder}).returncode == 1
    assert linkscope("check", broken, "--library-path", folder).returncode == 0


@pytest.mark.usefixtures("broken")
def test_names_come_from_a_list_too(linkscope: Linkscope) -> None:
    ran = linkscope("check", "--format", "json", "--files-from", "-", "-0", stdin=b"dist/app\0dist/broken\0")
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["summary"]["files"] == 2
    assert linkscope("check", "--files-from", "-", stdin=b"").returncode == 0


def test_a_working_directory_that_was_removed_is_not_needed(tmp_path: Path, dist: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && exec "$2" -m linkscope check --glibc 2.17 "$3"'
    ran = subprocess.run(
        ["sh", "-c", script, "sh", gone, sys.executable, dist / "app"], env=environment(), capture_output=True
    )
    assert (ran.returncode, ran.stderr) == (1, b"")
