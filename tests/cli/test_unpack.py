"""`inspect --contents --unpack`: what it says of a packed program, and what is said where it was not asked for."""

from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import FixtureFile, Linkscope
from tests.oracle.upx import packed


@pytest.fixture
def program(fixture_file: FixtureFile, tmp_path: Path) -> Path:
    """A packed static program."""
    return packed(fixture_file("hello/hello-musl-static"), tmp_path / "app", "-1")


def test_the_text_of_a_packed_file_says_how_to_ask(linkscope: Linkscope, program: Path) -> None:
    """Under the same circumstances, and as a command that works; also where only its contents were asked for."""
    for options in ((), ("--contents",), ("--clean-env",)):
        ran = linkscope("inspect", *options, program)
        given = " --clean-env" if "--clean-env" in options else ""
        asking = f"packed, and not unpacked; `linkscope inspect --contents --unpack{given} {program}` does"
        assert asking in " ".join(ran.stdout.decode().split())
        assert ran.returncode == 0
    assert linkscope("inspect", "--contents", "--unpack", program).returncode == 0


def test_with_it_the_contents_are_those_of_what_was_packed(linkscope: Linkscope, program: Path) -> None:
    text = linkscope("inspect", "--contents", "--unpack", program).stdout.decode()
    assert "inside the file itself" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("    ")}
    assert "UPX (NRV2B" in rows["upx"]
    assert "musl" in rows
    assert "! packed by UPX: what is inside was unpacked" in text


def test_all_else_stays_about_the_file_as_it_is(linkscope: Linkscope, program: Path) -> None:
    def asked(*options: str) -> dict[str, object]:
        ran = linkscope("inspect", "--format", "json", *options, program)
        (file,) = msgspec.json.decode(ran.stdout)["files"]
        return {key: value for key, value in file.items() if key not in ("contents", "code", "problems")}

    assert asked("--contents", "--unpack") == asked("--contents") == asked()


def test_a_file_that_is_not_packed_is_told_as_ever(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    plain = fixture_file("hello/hello-musl-static")
    asked = [
        linkscope("inspect", "--format", "json", "--contents", *more, plain).stdout for more in ((), ("--unpack",))
    ]
    assert asked[0] == asked[1]


def test_what_cannot_be_unpacked_is_an_error_of_one_line(linkscope: Linkscope, program: Path, tmp_path: Path) -> None:
    """The others are still told, and without --unpack nothing is wrong with it."""
    cut = tmp_path / "cut"
    cut.write_bytes(program.read_bytes()[:3000])
    ran = linkscope("inspect", "--contents", "--unpack", "--format", "jsonl", cut, program)
    assert ran.returncode == 2
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith(f"linkscope: {cut}: packed by UPX, and cannot be unpacked: it is truncated: ")
    assert program.name in ran.stdout.decode()
    assert linkscope("inspect", "--contents", cut).returncode == 1  # what is to be mapped is not all there


def test_an_sbom_has_what_was_packed(linkscope: Linkscope, program: Path) -> None:
    names = [
        {one["name"] for one in msgspec.json.decode(ran.stdout)["components"]}
        for ran in (linkscope("inspect", "--format", "cyclonedx", *more, program) for more in ((), ("--unpack",)))
    ]
    assert names[1] - names[0] >= {"musl", "upx"}


def test_it_goes_with_contents_alone(linkscope: Linkscope, program: Path) -> None:
    ran = linkscope("inspect", "--unpack", program)
    assert (ran.returncode, b"--unpack go with --contents" in ran.stderr) == (2, True)
