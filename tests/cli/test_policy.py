"""`linkscope policy`: a first policy out of files as they are, and what is wrong with one."""

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Linkscope

FixtureFile = Callable[[str], Path]


def test_what_init_writes_is_what_check_then_goes_by(
    linkscope: Linkscope, dist: Path, fixture_file: FixtureFile
) -> None:
    ran = linkscope("policy", "init", "dist")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert linkscope("policy", "check").returncode == 0
    assert linkscope("check", "dist").returncode == 0
    shutil.copy(fixture_file("hello/hello-musl-dynamic-pie"), dist / "tool")
    ran = linkscope("check", "dist")
    assert ran.returncode == 1
    assert b"[wrong-linkage]" in ran.stdout


def test_a_policy_is_the_same_for_every_way_to_name_the_files(linkscope: Linkscope, tmp_path: Path, dist: Path) -> None:
    written = [linkscope("policy", "init", "--file", "-", way).stdout for way in ("dist", "./dist/", str(dist))]
    assert len(set(written)) == 1
    assert {"dist/app", "dist/tool"} == {
        path for section in tomllib.loads(written[0].decode())["files"] for path in section.get("paths", [])
    }
    (tmp_path / "ci").mkdir()
    assert linkscope("policy", "init", "--file", "ci/release.toml", "dist").returncode == 0
    assert linkscope("check", "--policy", "ci/release.toml", "dist").returncode == 0


@pytest.mark.usefixtures("dist")
def test_a_policy_that_is_there_stays_unless_force_is_given(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "linkscope.toml").write_text("# mine\n")
    ran = linkscope("policy", "init", "dist")
    assert ran.returncode == 2
    assert ran.stderr == b"linkscope: linkscope.toml: is there already; --force writes over it\n"
    assert (tmp_path / "linkscope.toml").read_text() == "# mine\n"
    assert linkscope("policy", "init", "dist", "--force").returncode == 0
    assert "# mine" not in (tmp_path / "linkscope.toml").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dist/app", b"dist/app: is not written over: it is an ELF file"),
        ("notes.txt", b"notes.txt: is not written over: this command reads it"),
        ("", b"the name is empty"),
    ],
)
@pytest.mark.usefixtures("dist")
def test_force_does_not_write_over_what_the_policy_is_about(
    linkscope: Linkscope, tmp_path: Path, name: str, words: bytes
) -> None:
    (tmp_path / "notes.txt").touch()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ran = linkscope("policy", "init", "dist", "notes.txt", "--force", "--file", name)
    assert ran.returncode == 2
    assert words in ran.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("dist")
def test_without_files_an_empty_policy_is_written(linkscope: Linkscope, tmp_path: Path) -> None:
    assert linkscope("policy", "init").returncode == 0
    assert tomllib.loads((tmp_path / "linkscope.toml").read_text()) == {"files": [{"rules": {}}]}
    assert linkscope("check", "dist").returncode == 0


@pytest.mark.usefixtures("dist")
def test_what_cannot_be_analysed_is_told_and_the_policy_is_about_the_rest(linkscope: Linkscope, tmp_path: Path) -> None:
    ran = linkscope("policy", "init", "dist", "absent")
    assert (ran.returncode, ran.stderr) == (2, b"linkscope: absent: no such file or directory\n")
    assert (tmp_path / "linkscope.toml").exists()
    ran = linkscope("policy", "init", "absent", "--file", "other.toml")
    assert ran.returncode == 2
    assert b"no file to make a policy of" in ran.stderr
    assert not (tmp_path / "other.toml").exists()


@pytest.mark.usefixtures("dist")
def test_a_policy_that_cannot_be_written_is_told(linkscope: Linkscope) -> None:
    ran = linkscope("policy", "init", "dist", "--file", "absent/linkscope.toml")
    assert (ran.returncode, ran.stderr) == (2, b"linkscope: absent/linkscope.toml: no such file or directory\n")


def test_policy_check_tells_every_mistake(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "linkscope.toml").write_text('[[files]]\nlinkge = "static"\npaths = [""]\n')
    ran = linkscope("policy", "check")
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert [line.partition(": ")[2].split(" ")[0] for line in ran.stderr.decode().splitlines()] == [
        "linkscope.toml:2:", "linkscope.toml:3:",
    ]  # fmt: skip
    ran = linkscope("policy", "check", "absent.toml")
    assert (ran.returncode, ran.stderr) == (2, b"linkscope: absent.toml: no such file or directory\n")


def test_policy_check_tells_of_waivers_that_have_ended(linkscope: Linkscope, tmp_path: Path) -> None:
    (tmp_path / "linkscope.toml").write_text(
        '\n[[waivers]]\nrule = "packed"\npath = "a"\nreason = "b"\nuntil = 2020-01-01\n'
    )
    ran = linkscope("policy", "check")
    assert ran.returncode == 0
    assert ran.stderr == b"linkscope: linkscope.toml:2: the waiver of packed for a ended on 2020-01-01\n"


def test_policy_alone_shows_its_help(linkscope: Linkscope) -> None:
    ran = linkscope("policy")
    assert ran.returncode == 2
    assert b"init" in ran.stderr + ran.stdout
