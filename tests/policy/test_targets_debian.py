"""The rows that are called verified are those of Debian's packages, read by pyelftools."""

from collections.abc import Mapping

import pytest

from linkscope.loader.root import Root
from linkscope.policy.targets import musl_symbols, packages_of
from linkscope.policy.targets.catalogue import target
from linkscope.policy.targets.offer import Library
from tests.oracle import roots
from tests.policy.minimal_install import ARCHITECTURES, SUITES, facts, highest

# Debian's names of architectures: the machine that their files are for.
PORTS = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "armel": "arm",
    "armhf": "arm",
    "i386": "386",
    "mips64el": "mips",
    "mipsel": "mips",
    "ppc64el": "ppc64",
    "riscv64": "riscv",
    "s390x": "s390",
}
# The release of musl that each of Debian's has.
MUSL = {(1, 2, 2): "11", (1, 2, 3): "12", (1, 2, 5): "13"}
_EVERY = [(release, architecture) for release in SUITES for architecture in ARCHITECTURES]


def compare(release: str, architecture: str) -> None:
    found = {one.soname: (one.package, highest(one.versions)) for one in facts(release, architecture).libraries}
    known: Mapping[str, Library] = target(f"debian:{release}").libraries[ARCHITECTURES[architecture]]
    assert found == {soname: (one.package, tuple(sorted(one.versions))) for soname, one in known.items()}
    assert all(one.evidence.confidence == "verified" for one in known.values())
    for one in facts(release, architecture).libraries:
        assert all(known[one.soname].defines(version) for version in one.versions)


@pytest.mark.parametrize("release", SUITES)
def test_a_minimal_install_offers_what_its_packages_define(release: str) -> None:
    compare(release, "amd64")


@pytest.mark.exhaustive
@pytest.mark.parametrize(("release", "architecture"), _EVERY)
def test_a_minimal_install_of_every_architecture_offers_what_its_packages_define(
    release: str, architecture: str
) -> None:
    compare(release, architecture)


@pytest.mark.parametrize("name", [name for name in roots.SMALL if name.startswith("debian:")])
def test_the_loader_stands_where_the_row_says_under_all_its_names(name: str) -> None:
    release, *_, architecture = name.split("/")
    wanted = ARCHITECTURES[architecture if architecture in ARCHITECTURES else "amd64"]
    machine = next(one for one in target(release).machines if one.name == wanted)
    root = roots.root(name)
    system = Root(str(root))
    assert machine.interpreter is not None
    assert len({system.real(path) for path in (machine.interpreter, *machine.also)}) == 1


@pytest.mark.parametrize("release", SUITES)
def test_a_library_that_is_not_installed_is_brought_by_the_package_that_is_named(release: str) -> None:
    read = facts(release, "amd64")
    installed = {one.soname for one in read.libraries}
    found = {one.soname: one.package for one in read.brought if one.soname not in installed}
    assert found == packages_of._packages("debian")[release]


@pytest.mark.parametrize("release", SUITES)
def test_the_machines_are_those_that_the_archive_lists(release: str) -> None:
    one = target(f"debian:{release}")
    if one.also is not None:
        names = {PORTS[name] for name in facts(release, "amd64").architectures}
        assert names == {*one.also, *(machine.machine for machine in one.machines)}


def test_the_symbols_of_each_release_of_musl_are_those_that_its_packages_define() -> None:
    """nm reads the musl of Debian 11, 12 and 13; what came with a release is not in the one before."""
    defined = {version: facts(release, "amd64").musl for version, release in MUSL.items()}
    for symbol, since in musl_symbols._since().items():
        brought = musl_symbols.number(since)
        for version, symbols in defined.items():
            assert (symbol in symbols) == (brought <= version), (symbol, since, version)
