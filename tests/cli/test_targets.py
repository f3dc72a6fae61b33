"""`linkscope targets`: its formats and its exit codes."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import pytest

from linkscope.model.targets import TargetsDocument
from tests.cli.conftest import Linkscope
from tests.oracle.elfwriter import executable

FixtureFile = Callable[[str], Path]


@pytest.mark.parametrize("columns", ["80", "200"])
def test_the_targets_are_listed_with_their_libc_and_where_that_was_read(linkscope: Linkscope, columns: str) -> None:
    ran = linkscope("targets", env={"COLUMNS": columns})
    assert (ran.returncode, ran.stderr) == (0, b"")
    lines = ran.stdout.decode().splitlines()
    assert lines[0].split()[:2] == ["target", "libc"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert "glibc 2.36" in rows["debian:12"]
    assert "verified" in rows["debian:12"]
    assert "cited" in rows["rhel:8"]
    assert "musl 1.2.5" in rows["alpine:3.20"]
    assert "glibc 2.17" in rows["manylinux_2_17"]


def test_a_file_is_told_the_oldest_release_and_what_the_one_before_lacks(
    linkscope: Linkscope, fixture_file: FixtureFile
) -> None:
    ran = linkscope("targets", fixture_file("hello/hello-dynamic-pie"))
    assert (ran.returncode, ran.stderr) == (0, b"")
    lines = {line.split()[0]: line.split()[1:] for line in ran.stdout.decode().splitlines()[1:] if line[2] != " "}
    assert lines["debian"][:5] == ["12", "not", "on", "11:", "GLIBC_2.34"]
    assert lines["debian"][5] == "(__libc_start_main)"
    assert lines["ubuntu"][:4] == ["22.04", "not", "on", "20.04:"]
    assert lines["alpine"][:5] == ["none", "of", "those", "known", "(newest:"]
    assert "/lib64/ld-linux-x86-64.so.2" in lines["alpine"]


def test_the_package_that_brings_a_library_is_named_and_apt_would_fetch_it(
    linkscope: Linkscope, tmp_path: Path
) -> None:
    """Debian's packages, as tests/policy/test_targets_debian.py reads them, are the judge."""
    executable(tmp_path / "app", needed=("libcurl.so.4", "libc.so.6"))
    ran = linkscope("targets", tmp_path / "app", "--target", "debian:12", "--target", "debian:13")
    [line] = ran.stdout.decode().splitlines()[1:]
    assert line.split(maxsplit=1) == ["debian", "none  not on 13: libcurl.so.4 (the package libcurl4t64 brings it)"]
    document = json.loads(linkscope("targets", tmp_path / "app", "--format", "json", "--target", "debian:12").stdout)
    [reason] = document["files"][0]["verdicts"][0]["reasons"]
    assert (reason["subject"], reason["package"]) == ("libcurl.so.4", "libcurl4")


def test_a_static_program_starts_wherever_its_machine_is(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    document = json.loads(linkscope("targets", "--format", "json", fixture_file("hello/hello-static")).stdout)
    assert all(verdict["starts"] for verdict in document["files"][0]["verdicts"])
    assert document["files"][0]["oldest"]["alpine"] == document["targets"][2]["release"]


def test_json_is_one_document_of_the_published_schema(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    written = linkscope("targets", "--format", "json", fixture_file("hello/hello-musl-dynamic-pie")).stdout
    document = json.loads(written)
    jsonschema.Draft202012Validator(json.loads(linkscope("schema", "targets").stdout)).validate(document)
    assert msgspec.json.encode(msgspec.json.decode(written, type=TargetsDocument)) + b"\n" == written
    assert {"name", "libc", "version", "source", "confidence"} <= document["targets"][0].keys()
    assert [verdict["target"] for verdict in document["files"][0]["verdicts"]] == [
        target["name"] for target in document["targets"]
    ]


def test_only_the_targets_that_are_named_are_looked_at(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    given = ("--target", "debian:bullseye", "--target", "rhel8", "--format", "json")
    document = json.loads(linkscope("targets", *given, fixture_file("hello/hello-dynamic-pie")).stdout)
    assert [target["name"] for target in document["targets"]] == ["debian:11", "rhel:8"]
    assert document["files"][0]["oldest"] == {"debian": None, "rhel": None}
    assert [verdict["because"] for verdict in document["files"][0]["verdicts"]] == ["GLIBC_2.34", "GLIBC_2.34"]


def test_a_package_is_one_answer_over_all_of_its_files(
    linkscope: Linkscope, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for name in ("hello-static", "hello-dynamic-pie"):
            archive.write(fixture_file(f"hello/{name}"), name)
    document = json.loads(linkscope("targets", "both.zip", "--target", "debian:11", "--format", "json").stdout)
    [file] = document["files"]
    assert (file["path"], file["files"]) == ("both.zip", 2)
    assert file["verdicts"][0]["because"] == "GLIBC_2.34"


def test_an_unknown_target_and_a_file_that_is_none_are_one_line_each(linkscope: Linkscope) -> None:
    unknown = linkscope("targets", "--target", "debain:12")
    assert (unknown.returncode, unknown.stdout, unknown.stderr.count(b"\n")) == (2, b"", 1)
    assert b"did you mean debian:12" in unknown.stderr
    absent = linkscope("targets", "nothing")
    assert (absent.returncode, absent.stdout) == (2, b"")
    assert absent.stderr == b"linkscope: nothing: no such file or directory\n"
