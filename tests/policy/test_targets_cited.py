"""The rows that are only cited: what they say that a library defines is what its release defines, which they name.

The judges are the libraries' own version scripts, and Debian's packages (whose rows test_targets_debian.py verifies).
"""

from collections.abc import Iterator

import msgspec
import pytest

from linkscope.elf.versions import version_number
from linkscope.policy.targets.catalogue import target, targets
from linkscope.policy.targets.offer import Library, Target
from tests.policy.version_scripts import SCRIPTS, Script

DEBIAN = [target(f"debian:{release}") for release in ("11", "12", "13")]
# What Debian's packages of the libraries are called by version there (dpkg-query, without what Debian adds).
RELEASES = {
    "11": "xz-utils 5.2.5 zlib 1.2.11 libselinux 3.1 gcc 10.2.1",
    "12": "xz-utils 5.4.1 zlib 1.2.13 libselinux 3.4 gcc 12.2.0",
    "13": "xz-utils 5.8.1 zlib 1.3.1 libselinux 3.8.1 gcc 14.2.0",
}
# Marks of a feature, which are in no order.
MARKS = {"CXXABI_TM_1", "CXXABI_FLOAT128"}
# Of these the sources do not name the release: a version of its script is all that can be asked for.
RELEASE_NOT_NAMED = ("libselinux.so.1",)


class Row(msgspec.Struct, frozen=True):
    """What a target says of one library on one machine."""

    system: Target
    machine: str
    library: Library

    @property
    def told(self) -> str:
        """Every word of the sources in which a release may be named."""
        return f"{self.library.evidence.source} {self.system.evidence.source}"

    @property
    def script(self) -> Script | None:
        """The library's version script."""
        soname = self.library.soname
        return SCRIPTS.get(soname) or SCRIPTS.get(f"{soname} of {self.machine}")

    @property
    def versions(self) -> set[str]:
        """What it is said to define."""
        return set(self.library.versions) - MARKS

    def __str__(self) -> str:
        """For the test's name."""
        return f"{self.system.name}-{self.machine}-{self.library.soname}"


def rows(systems: list[Target]) -> Iterator[Row]:
    for system in systems:
        if system.kind == "system" and system.libc == "glibc":
            for machine, libraries in system.libraries.items():
                yield from (Row(system, machine, one) for one in libraries.values() if one.versions != ("?",))


CITED = [row for row in rows(targets()) if row.system.distribution != "debian"]
SCRIPTED = [row for row in CITED if row.script]
OF_GLIBC = [row for row in CITED if row.versions and all(name.startswith("GLIBC_") for name in row.versions)]
OTHERS = [row for row in CITED if not row.script and row not in OF_GLIBC]


@pytest.mark.parametrize("row", SCRIPTED, ids=str)
def test_a_library_defines_what_the_release_that_its_source_names_does(row: Row) -> None:
    script = row.script
    assert script is not None
    release = script.release(row.told)
    if release is None:
        assert row.library.soname in RELEASE_NOT_NAMED
        assert row.versions in [set(step.split()) for step in script.steps.values()]
    else:
        assert row.versions == script.defined(release), release


@pytest.mark.parametrize("row", OF_GLIBC, ids=str)
def test_libraries_of_glibc_end_at_its_release(row: Row) -> None:
    known = [version_number(name) for name in row.versions]
    assert max(one[1] for one in known if one and one[0] == "GLIBC") == row.system.libc_number


@pytest.mark.parametrize("row", OTHERS, ids=str)
def test_what_no_release_has_changed_is_as_in_debian(row: Row) -> None:
    """No version script that a release has added to, as far as Debian's three go; what they lack has no versions."""
    same = [one for one in rows(DEBIAN) if one.library.soname == row.library.soname and one.machine == row.machine]
    there = [one.versions for one in same]
    if not there:
        assert row.versions == set()
    assert all(versions == row.versions for versions in there)


@pytest.mark.parametrize("row", [row for row in rows(DEBIAN) if row.script], ids=str)
def test_debians_packages_define_what_the_version_scripts_say(row: Row) -> None:
    script = row.script
    assert script is not None
    release = script.release(RELEASES[row.system.release])
    assert release is not None
    assert row.versions == script.defined(release)
