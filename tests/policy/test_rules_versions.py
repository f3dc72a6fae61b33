"""The floors of symbol versions, judged by objdump over real programs and libraries."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.analysis.request import Assumptions
from linkscope.model.check import Finding
from linkscope.policy.terms import Group, Policy
from tests.elf.samples import PROGRAMS, elf_files
from tests.oracle import roots

FixtureFile = Callable[[str], Path]
FAMILIES = {"glibc-floor": ("GLIBC",), "version-floor": ("GLIBCXX", "CXXABI", "GCC", "OPENSSL", "LIBSELINUX")}
NOTHING = {family: "0" for families in FAMILIES.values() for family in families}
EVERY_NTH = 12


def findings(*paths: Path, **settings: object) -> list[Finding]:
    document = check([str(path) for path in paths], Policy(groups=(Group(paths=("**",), settings=settings),)))
    return [finding for finding in document.findings if finding.rule in FAMILIES]


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.rpartition("_")[2].split(".")))


def needed_versions(path: Path) -> set[str]:
    """From the version references that objdump -p lists."""
    listed = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True).stdout
    references = listed.partition("Version References:")[2]
    return set(re.findall(r"^ {4}0x\w+ 0x\w+ \d+ (\S+)$", references, re.MULTILINE))


def definitions(path: Path) -> str:
    listed = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True).stdout
    return listed.partition("Version definitions:")[2].partition("Version References:")[0]


def has_search_path(path: str) -> bool:
    listed = subprocess.run(["objdump", "-p", path], capture_output=True, text=True).stdout
    return bool(re.search(r"^ +(RPATH|RUNPATH) ", listed, re.MULTILINE))


def symbols_with(path: Path, version: str) -> set[str]:
    """The undefined symbols that objdump -T lists with a version."""
    listed = subprocess.run(["objdump", "-T", path], capture_output=True, text=True, check=True).stdout
    pattern = rf"\*UND\*\s+\S+\s+\(?{re.escape(version)}\)?\s+(\S+)$"
    return set(re.findall(pattern, listed, re.MULTILINE))


def test_highest_version_of_each_family_is_objdumps(fixture_file: FixtureFile) -> None:
    """Over a sample of the machine's programs that bring nothing along, and the fixtures in C++ and Rust."""
    paths = [Path(path) for path in elf_files(*PROGRAMS)[::EVERY_NTH] if not has_search_path(path)]
    paths += [fixture_file(name) for name in ("hello/hello-cpp", "hello/hello-rust", "versions/relr")]
    found: dict[str, set[str]] = {}
    for one in findings(*paths, floors=NOTHING):
        found.setdefault(one.path, set()).add(one.subject)
    for path in paths:
        highest: dict[str, str] = {}
        for version in needed_versions(path):
            family = version.rpartition("_")[0]
            if family in NOTHING and re.fullmatch(r".*_[\d.]+", version):
                highest[family] = max(highest.get(family, version), version, key=number)
        if "GLIBC_ABI_DT_RELR" in needed_versions(path) and number(highest["GLIBC"]) < (2, 36):
            highest["GLIBC"] = "GLIBC_ABI_DT_RELR"
        assert found.get(str(path), set()) == set(highest.values()), path
    assert len(found) > len(paths) / 2


@pytest.mark.parametrize("name", ["hello/hello-dynamic-pie", "hello/hello-cpp", "hello/hello-rust"])
def test_symbols_that_force_a_floor_are_those_that_objdump_lists_with_it(name: str, fixture_file: FixtureFile) -> None:
    path = fixture_file(name)
    for one in findings(path, floors={"GLIBC": "2.33", "GLIBCXX": "3.4.8"}):
        named = {line.split(" ")[0] for line in one.evidence if " (from " in line and "@" not in line}
        assert named == symbols_with(path, one.subject)
        assert all(f"(from {path}" in line for line in one.evidence if " (from " in line)


def test_symbols_below_the_highest_version_are_named_with_theirs(fixture_file: FixtureFile) -> None:
    path = fixture_file("versions/relr")
    (one,) = findings(path, floors={"GLIBC": "2.2"})
    with_version = {tuple(line.split(" ")[0].split("@")) for line in one.evidence if "@" in line}
    versions = needed_versions(path) - {"GLIBC_ABI_DT_RELR"}
    assert with_version == {(symbol, version) for version in versions for symbol in symbols_with(path, version)}


def test_weak_references_are_told_apart(fixture_file: FixtureFile) -> None:
    """They come last, and their version counts all the same: glibc checks it (see test_versioncheck)."""
    (one,) = findings(fixture_file("versions/relr"), floors={"GLIBC": "2.2"})
    weak = [line for line in one.evidence if "weak reference" in line]
    assert [line.split("@")[0] for line in weak] == ["__cxa_finalize"]


def test_versions_of_what_is_brought_along_count_where_it_asks_the_system(fixture_file: FixtureFile) -> None:
    """libleaf.so asks for nothing but what the start files need; the program's own library asks in its own name."""
    path = fixture_file("chain/lib-runpath-serves-own-needs/app")
    (one,) = findings(path, floors={"GLIBC": "2.2"})
    askers = set(re.findall(r"\(from (\S+?)[;)]", "\n".join(one.evidence)))
    expected = {str(path)} | {
        str(lib) for lib in path.parent.rglob("*.so") if any(v.startswith("GLIBC_") for v in needed_versions(lib))
    }
    assert {Path(asker).resolve() for asker in askers} == {Path(asker) for asker in expected}


@pytest.mark.parametrize("release", ["debian:11", "debian:12", "debian:13"])
def test_what_a_target_offers_is_what_its_libc_defines(release: str, fixture_file: FixtureFile) -> None:
    """By the highest GLIBC version that objdump lists of that system's own (2.31 is libpthread's, in Debian 11)."""
    folder = next(roots.root(release).glob("**/x86_64-linux-gnu/libc.so.6")).parent
    defined = "".join(definitions(folder / name) for name in ("libc.so.6", "libm.so.6", "libpthread.so.0"))
    offered = max({number(name) for name in re.findall(r"\bGLIBC_[\d.]+", defined)})
    for name in ("hello/hello-dynamic-pie", "versions/relr"):
        path = fixture_file(name)
        asked = {(2, 36) if one == "GLIBC_ABI_DT_RELR" else number(one) for one in needed_versions(path)}
        found = [one for one in findings(path, target=(release,)) if one.rule == "glibc-floor"]
        assert bool(found) == (max(asked) > offered)
        for one in found:
            assert f"{release} offers {'.'.join(map(str, offered))}" in one.message
            assert one.level == "error"
            assert any(line.startswith("leaves behind ") and release in line for line in one.evidence)


def test_versions_that_a_root_lacks_are_one_error_with_the_symbols_that_ask_for_them(fixture_file: FixtureFile) -> None:
    """As many as objdump lists and that root's libc does not define; a target of that name says the same of them."""
    root, path = roots.root("debian:11"), fixture_file("versions/relr")
    folder = next(root.glob("**/x86_64-linux-gnu/libc.so.6")).parent
    lacking = {version for version in needed_versions(path) if version not in definitions(folder / "libc.so.6").split()}
    with tempfile.TemporaryDirectory(dir=root) as inside:
        copy = Path(shutil.copy(path, inside))
        document = check([f"/{copy.relative_to(root)}"], Policy(), Assumptions(root=str(root)))
    (one,) = (finding for finding in document.findings if finding.level == "error")
    assert (one.rule, one.subject) == ("missing-version", "GLIBC_ABI_DT_RELR")
    named = {line.split(" (from ")[0] for line in one.evidence}
    with_symbols = {f"{symbol}@{version}" for version in lacking for symbol in symbols_with(path, version)}
    assert named == {"GLIBC_ABI_DT_RELR"} | with_symbols
    assert len(lacking) > 1
    (by_target,) = findings(path, target=("debian:11",))
    assert by_target.subject == one.subject
    assert named == {line.split(" (from ")[0] for line in by_target.evidence if " (from " in line}


def test_a_version_of_a_library_that_is_brought_along_is_missed_with_its_symbols(fixture_file: FixtureFile) -> None:
    path = fixture_file("versions/v2-with-old")
    (one,) = (finding for finding in check([str(path)], Policy()).findings if finding.rule == "missing-version")
    assert one.evidence == [f"{symbol} (from {path})" for symbol in symbols_with(path, "V2")]
    assert "libver.so" in one.message


def test_several_bounds_of_one_family_are_one_finding(fixture_file: FixtureFile) -> None:
    (one,) = findings(fixture_file("versions/relr"), floors={"GLIBC": "2.28"}, target=("debian:11", "manylinux_2_17"))
    assert one.message.count("needs ") == 1
    for bound in ("the floor is 2.28", "debian:11 offers 2.31", "manylinux_2_17 allows 2.17"):
        assert bound in one.message


def test_without_a_floor_or_target_nothing_is_said_of_versions(fixture_file: FixtureFile) -> None:
    assert findings(fixture_file("versions/relr")) == []
