"""Rules on search paths, judged by readelf (what is written) and by the loader (what it does with that)."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.model.check import Finding
from linkscope.policy.evaluate import Evaluation
from linkscope.policy.searchpaths import build_folder, store
from linkscope.policy.terms import Group, Policy
from tests.analysis.test_subject import subject_of

FixtureFile = Callable[[str], Path]
LEADING = ("home", "jenkins", "nix", "gone", "idle", "system", "tmp", "beside", "escaping", "colon", "eaten")
NOTHING_ASKED = Policy()


def findings(path: Path, **settings: object) -> dict[str, Finding]:
    document = check([str(path)], Policy(groups=(Group(paths=("**",), settings=settings),)))
    assert not document.errors
    return {one.rule: one for one in document.findings if one.rule.endswith("-path")}


def written(path: Path) -> list[str]:
    listed = subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True).stdout
    return [part for text in re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", listed) for part in text.split(":")]


def loaded(path: Path, cwd: Path) -> list[str]:
    """The files that the loader says it has opened, in a real start."""
    ran = subprocess.run([path], env={"LD_DEBUG": "files"}, cwd=cwd, capture_output=True, text=True)
    return re.findall(r"calling init: (\S+)", ran.stderr)


@pytest.mark.parametrize("name", LEADING)
def test_every_fault_is_about_an_element_that_readelf_shows(name: str, fixture_file: FixtureFile) -> None:
    path = fixture_file(f"policy/runpath-{name}")
    found = findings(path)
    assert {one.subject for one in found.values()} <= set(written(path))
    assert found or name == "beside"


def test_a_search_path_of_the_releases_own_has_no_fault(fixture_file: FixtureFile) -> None:
    for name in ("chain/lib-runpath-serves-own-needs/app", "chain/rpath-serves/app", "hello/hello-dynamic-pie"):
        assert findings(fixture_file(name)) == {}


@pytest.mark.parametrize("name", ["chain/runpath-relative/app", "chain/runpath-empty-element/app"])
def test_the_loader_takes_relative_and_empty_elements_from_wherever_it_is_started(
    name: str, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """Somebody else's library, from a folder of theirs: what the two rules warn of."""
    path = fixture_file(name)
    rule = "relative-search-path" if "relative" in name else "empty-search-path"
    element = findings(path)[rule].subject
    assert (rule == "empty-search-path") == (element == "")
    planted = tmp_path / element / "libleaf.so"
    planted.parent.mkdir(exist_ok=True)
    shutil.copy(fixture_file("policy/lib/libleaf.so"), planted)
    assert os.path.join(element, "libleaf.so") in loaded(path, tmp_path)


def test_a_folder_that_anybody_can_make_is_one_that_the_loader_then_uses(
    fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """The fixture's own copy is taken away, so that the second element of its path counts."""
    copy = tmp_path / "app"
    shutil.copy(fixture_file("policy/runpath-tmp"), copy)
    assert "world-writable-search-path" in findings(copy)
    place = Path("/tmp/app/lib")
    if place.exists():
        pytest.skip(f"{place} is somebody's")
    place.mkdir(parents=True)
    try:
        shutil.copy(fixture_file("policy/lib/libleaf.so"), place)
        assert f"{place}/libleaf.so" in loaded(copy, tmp_path)
    finally:
        shutil.rmtree(place.parent)


@pytest.mark.parametrize("name", ["gone", "idle"])
def test_a_dead_element_is_one_from_which_the_loader_takes_nothing(
    name: str, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    path = fixture_file(f"policy/runpath-{name}")
    dead = findings(path)["dead-search-path"].subject
    files = loaded(path, tmp_path)
    assert not [file for file in files if os.path.dirname(file) == dead]
    assert f"{path.parent}/lib/libleaf.so" in files


def test_origin_leads_out_of_what_is_checked_or_stays_within(fixture_file: FixtureFile) -> None:
    """Of a file named by itself it cannot be told; of a folder that is checked as a whole it can."""
    path = fixture_file("chain/lib-runpath-serves-own-needs/app").parent / "lib/libmid.so"  # $ORIGIN/../leaf
    for top, escapes in ((None, False), (path.parent.parent, False), (path.parent, True)):
        subject = subject_of(path, top=None if top is None else str(top))
        found = {one.rule for one in Evaluation(NOTHING_ASKED, frozenset()).findings(subject)}
        assert ("escaping-search-path" in found) == escapes, top


def test_a_path_of_the_build_machine_is_an_error_only_where_that_was_asked_for(fixture_file: FixtureFile) -> None:
    path = fixture_file("policy/runpath-home")
    assert findings(path)["build-path"].level == "warning"
    assert findings(path, build_paths=False)["build-path"].level == "error"


@pytest.mark.parametrize(
    "path",
    [
        "/home/me/lib",
        "/home/runner/work/app/app/build",
        "/root",
        "/github/workspace/out",
        "/__w/app/app",
        "/builds/group/app/lib",
        "/build/app-1.0/lib",
        "/builddir/build/BUILD/app",
        "/var/lib/jenkins/workspace/x",
        "/tmp/tmp.X/lib",
        "//tmp//x",
        "/opt/../home/me",
        "/Users/me/lib",
        "/opt/x/.conan2/p/lib",
    ],
)
def test_folders_of_builds_and_homes_are_known(path: str) -> None:
    assert build_folder(path)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib",
        "/opt/app/lib",
        "/usr/local/lib",
        "/homes/app",
        "/builders/lib",
        "/rootfs/lib",
        "/nix/store/x/lib",
        "/home/linuxbrew/.linuxbrew/lib",
        "home/me",
        "$ORIGIN/../build/lib",
        "",
    ],
)
def test_other_folders_are_none_of_a_build(path: str) -> None:
    assert build_folder(path) is None


def test_stores_are_told_from_build_folders() -> None:
    assert store("/nix/store/abc-zlib/lib") == "the store of Nix"
    assert store("/home/linuxbrew/.linuxbrew/lib") == "the folder of Homebrew"
    assert store("/nix/var/lib") is None
