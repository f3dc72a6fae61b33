"""A first policy: the files that it was made of pass it, and files that are worse do not."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.check import check
from linkscope.analysis.initial import observe_each
from linkscope.model.check import Finding
from linkscope.policy.config import parse
from linkscope.policy.evaluate import counted
from linkscope.policy.initial import Observed, empty, written
from linkscope.policy.terms import Policy

FixtureFile = Callable[[str], Path]


@pytest.fixture
def release(tmp_path: Path, fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a dynamic and a static program in it; the working directory is the one around it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "dist"
    folder.mkdir()
    shutil.copy(fixture_file("hardening/all"), folder / "app")
    shutil.copy(fixture_file("hello/hello-musl-static"), folder / "tool")
    return folder


def _observed(*paths: str) -> list[Observed]:
    return [one for one in observe_each(paths) if isinstance(one, Observed)]


def _policy(*paths: str) -> Policy:
    return parse(written(_observed(*paths)).encode())


def _errors(policy: Policy, *paths: str) -> list[Finding]:
    return list(filter(counted, check(paths, policy).findings))


def test_the_files_pass_as_they_are(release: Path) -> None:
    assert check(["dist"]).summary.files == len(list(release.iterdir()))
    assert not _errors(_policy("dist"), "dist")


def test_every_fixture_passes_the_policy_that_is_made_of_it(fixtures_dir: Path) -> None:
    """Whatever is wrong with it: what does not hold today is not asked for."""
    folders = [str(fixtures_dir / name) for name in ("hello", "hardening", "chain", "needed", "symbols", "kinds")]
    policy = _policy(*folders)
    assert check(folders).summary.errors
    assert _errors(policy, *folders) == []


def test_each_fixture_alone_passes_too(fixtures_dir: Path) -> None:
    for path in map(str, sorted((fixtures_dir / "hello").iterdir())):
        assert _errors(_policy(path), path) == []


@pytest.mark.parametrize(
    ("name", "worse", "rule"),
    [
        ("tool", "hello/hello-musl-dynamic-pie", "wrong-linkage"),
        ("tool", "hello/hello-dynamic-pie", "wrong-linkage"),
        ("app", "hello/hello-static", "wrong-linkage"),
        ("app", "hello/hello-cpp", "library-not-allowed"),
        ("app", "hardening/none", "executable-stack"),
        ("app", "hardening/relro-partial", "partial-relro"),
        ("app", "chain/runpath-relative/app", "relative-search-path"),
        ("app", "chain/no-search-path/app", "missing-library"),
    ],
)
def test_a_file_that_was_built_worse_fails(
    release: Path, fixture_file: FixtureFile, name: str, worse: str, rule: str
) -> None:
    policy = _policy("dist")
    shutil.copy(fixture_file(worse), release / name)
    assert rule in {finding.rule for finding in _errors(policy, "dist")}


@pytest.mark.parametrize(
    ("before", "after", "rules"),
    [
        ("hello/hello-dynamic-pie", "versions/relr", {"glibc-floor"}),
        ("kinds/runnable.so", "process/plugins/libopener.so", {"glibc-floor"}),
        ("hello/hello-rust", "hello/hello-cpp", {"library-not-allowed"}),
    ],
)
def test_a_file_that_was_rebuilt_and_needs_newer_versions_fails(
    tmp_path: Path, fixture_file: FixtureFile, before: str, after: str, rules: set[str]
) -> None:
    file = tmp_path / "file"
    shutil.copy(fixture_file(before), file)
    policy = _policy(str(file))
    shutil.copy(fixture_file(after), file)
    assert {finding.rule for finding in _errors(policy, str(file))} >= rules


def test_floors_are_those_that_objdump_shows(fixture_file: FixtureFile, require_tool: Callable[[str], str]) -> None:
    path = fixture_file("hello/hello-cpp")
    shown = subprocess.run([require_tool("objdump"), "-p", path], capture_output=True, text=True, check=True).stdout
    numbers: dict[str, tuple[int, ...]] = {}
    for family, number in re.findall(r" ([A-Z]+)_([\d.]+)$", shown.partition("Version References")[2], re.MULTILINE):
        numbers[family] = max(numbers.get(family, ()), tuple(map(int, number.split("."))))
    assert _observed(str(path))[0].floors == numbers


def _file(path: str, **changes: object) -> Observed:
    plain = Observed(path=path, linkage="static", needs=(), floors={}, faults=frozenset())
    return msgspec.structs.replace(plain, **changes)


def _sections(*files: Observed) -> Iterator[list[str]]:
    for section in tomllib.loads(written(files))["files"]:
        yield section.get("paths", ["**"])


def test_files_that_are_alike_share_a_section() -> None:
    dynamic = {"linkage": "dynamic", "needs": ("libc.so.6",)}
    files = [_file("dist/a"), _file("dist/b", **dynamic), _file("dist/c")]
    assert list(_sections(*files)) == [["**"], ["dist/a", "dist/c"], ["dist/b"]]
    assert list(_sections(*files[::2])) == [["**"]]


def test_a_folder_of_files_that_are_alike_stands_for_them() -> None:
    dynamic = {"linkage": "dynamic", "needs": ("libc.so.6",)}
    files = [_file("dist/bin/a"), _file("dist/bin/sub/b"), _file("dist/lib/c", **dynamic), _file("tool")]
    assert list(_sections(*files)) == [["**"], ["dist/bin/**", "tool"], ["dist/lib/c"]]


def test_few_sections_are_made_of_many_files_with_different_needs() -> None:
    needs = ["libc.so.6", "libm.so.6", "libz.so.1", "libX11.so.6"]
    files = [_file(f"dist/{i}", linkage="dynamic", needs=tuple(needs[: i % 4 + 1])) for i in range(12)]
    files += [_file(f"tools/{i}") for i in range(12)]
    text = written(files)
    assert list(_sections(*files)) == [["**"], ["dist/**"], ["tools/**"]]
    assert tomllib.loads(text)["files"][1]["allow"] == sorted(needs)


def test_a_missing_library_is_not_allowed_and_lowers_the_rule_for_its_file_alone(
    release: Path, fixture_file: FixtureFile
) -> None:
    broken = Path(shutil.copy(fixture_file("chain/no-search-path/app"), release / "broken"))
    needed = {finding.subject for finding in check(["dist"]).findings if finding.rule == "missing-library"}
    assert needed
    text = written(_observed("dist"))
    allowed = {name for section in tomllib.loads(text)["files"] for name in section.get("allow", ())}
    assert allowed
    assert not allowed & needed
    policy = parse(text.encode())
    assert not _errors(policy, "dist")
    shutil.copy(broken, release / "app")
    assert {finding.rule for finding in _errors(policy, "dist")} >= {"missing-library", "library-not-allowed"}
    assert {finding.path for finding in _errors(policy, "dist")} == {"dist/app"}


def test_what_no_file_obeys_is_lowered_for_all_and_of_some_for_these() -> None:
    rule = "missing-library"
    failing = [_file(f"dist/{name}", faults=frozenset((rule,))) for name in "ab"]
    sections = tomllib.loads(written(failing))["files"]
    assert [(section.get("paths"), section["rules"][rule]) for section in sections] == [(None, "warning")]
    sections = tomllib.loads(written([*failing, _file("dist/c")]))["files"]
    assert [section.get("paths") for section in sections if rule in section["rules"]] == [["dist/a", "dist/b"]]


@pytest.mark.parametrize("path", ["dist/a[1]*?", 'dist/"quoted"\\', "dist/new\nline\x7f\t", "dist/caf\u00e9\ufffd"])
def test_an_odd_name_is_a_glob_for_itself(path: str) -> None:
    policy = parse(written([_file(path), _file("other", linkage="dynamic", needs=("libc.so.6",))]).encode())
    assert len(policy.groups_of(path)) == 2
    assert len(policy.groups_of("other")) == 2
    assert len(policy.groups_of("elsewhere/other2")) == 1


def test_an_empty_policy_asks_for_nothing_and_its_examples_are_right() -> None:
    assert parse(empty().encode()).groups[0].settings == {}
    uncommented = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and (" = " in line or line == "# [[waivers]]") else line
        for line in empty().splitlines()
    )
    policy = parse(uncommented.encode())
    assert len(policy.groups[0].settings) == 4
    assert len(policy.waivers) == 1
