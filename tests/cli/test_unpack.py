"""`--unpack` of inspect, who and check: what is said of a packed program, and what where it was not asked for."""

from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import FixtureFile, Linkscope
from tests.contents.samples import linked, said_by
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
        return {key: value for key, value in file.items() if key not in ("contents", "code", "limits", "problems")}

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


@pytest.fixture
def holder(tmp_path: Path) -> Path:
    """A packed static program that has zlib inside, and says its version."""
    use = (
        "#include <stdio.h>\n#include <zlib.h>\nint main(int n, char **a) { static char b[99]; unsigned long m = 9;\n"
        'if (n > 2) compress(b, &m, b, 1); printf("zlib=%s\\n", zlibVersion()); return 0; }\n'
    )
    (tmp_path / "dist").mkdir()
    return packed(linked(tmp_path / "plain", use, ["-static", "-lz"]), tmp_path / "holder", "-1").rename(
        tmp_path / "dist/holder"
    )


def test_who_holds_a_library_is_told_of_what_was_packed_too(linkscope: Linkscope, holder: Path) -> None:
    ran = linkscope("who", "zlib", "--unpack", "--format", "json", holder.parent)
    document = msgspec.json.decode(ran.stdout)
    (match,) = document["matches"]
    assert (match["version"], match["how"], match["unpacked"]) == (said_by(holder)["zlib"], "inside", True)
    assert (ran.returncode, document["packed"]) == (0, [])
    text = linkscope("who", "zlib", "--unpack", holder).stdout.decode()
    assert "in what was packed: " in text
    assert "not looked into" not in text
    assert linkscope("who", "expat", "--unpack", holder).returncode == 1


def test_without_being_asked_a_packed_file_is_named_as_not_looked_into(linkscope: Linkscope, holder: Path) -> None:
    ran = linkscope("who", "zlib", holder)
    assert ran.returncode == 1
    assert f"1 file is packed, and not looked into (--unpack: what UPX packed, too): {holder}" in " ".join(
        ran.stdout.decode().split()
    )


def test_a_packed_file_that_cannot_be_looked_into_is_an_error_of_who_and_check(
    linkscope: Linkscope, holder: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(holder.read_bytes()[:9000])
    for command in (["who", "zlib"], ["check", "--forbid", "zlib"]):
        ran = linkscope(*command, "--unpack", cut)
        assert ran.returncode == 2
        (line,) = ran.stderr.decode().splitlines()
        assert line.startswith(f"linkscope: {cut}: packed by UPX, and cannot be unpacked: it is truncated: ")


def test_what_is_forbidden_or_too_old_is_found_in_what_was_packed(
    linkscope: Linkscope, holder: Path, tmp_path: Path
) -> None:
    """Only where that was asked for; that the file is packed is said all the same."""
    policy = tmp_path / "policy.toml"
    policy.write_text('[[files]]\npaths = ["**"]\nforbid = ["zlib"]\nembedded = { zlib = "99" }\n')
    told = []
    for more in ((), ("--unpack",)):
        ran = linkscope("check", "--policy", policy, "--format", "json", *more, holder)
        found = msgspec.json.decode(ran.stdout)["findings"]
        told.append({one["rule"]: one["message"] for one in found})
        assert ran.returncode == bool(more)
    assert "packed" in told[0]
    assert not told[0].keys() & {"library-forbidden", "old-embedded"}
    assert told[1].keys() - told[0].keys() == {"library-forbidden", "old-embedded"}
    version = said_by(holder)["zlib"]
    assert told[1]["library-forbidden"] == f"holds zlib {version}, which the policy forbids"
    assert told[1]["old-embedded"] == f"holds zlib {version}, which is older than 99"
