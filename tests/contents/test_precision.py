"""What the code of this machine's own files is said to hold: dpkg knows what they were built of."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.facts import file_facts
from linkscope.contents import libraries
from linkscope.contents.attribution import explained
from linkscope.contents.identify import identify
from linkscope.contents.packs import SHIPPED, Store
from linkscope.elf.image import Image
from tests.contents import machine
from tests.contents.suites import package_files
from tests.elf.samples import ask, elf_files, opened, spread
from tests.oracle.availability import Unavailable

_FOLDERS = ("/usr/bin", "/usr/sbin")
_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
_SAMPLE = 90
# Files that one member of some library's archive once accused: each carries a copy of that one's source.
_COPIES = (
    "/usr/bin/gpg",
    "/usr/bin/gpgv",
    "/usr/bin/msoelim",
    "/usr/bin/col",
    "/usr/bin/localedef",
    f"{_LIBRARIES}/libgstreamer-1.0.so.0",
    f"{_LIBRARIES}/libtirpc.so.3",
)
# What is inside though no control file says so, by the source package and the library.
_REVIEWED = {
    ("bash", "readline"): "bash brings its own readline (lib/readline in its sources), from which the library is made",
    ("nodejs", "openssl"): "`node -p process.versions.openssl` says so: NodeSource's package is built with its own",
    ("google-cloud-cli-local-extract", "glibc"): "a static program: file(1) says so, and its NT_GNU_ABI_TAG",
}


# Files of other releases, and the library of which they have several files in their own sources.
_OTHERS = {
    ("trixie", "coreutils", "usr/bin/df"): "gnutls",  # modules of gnulib
    ("bullseye", "openssh-client", "usr/bin/ssh-add"): "libssh",  # OpenSSH's own, which libssh has
    ("bullseye", "libc6", "lib/x86_64-linux-gnu/libm-2.31.so"): "musl",  # Arm's Optimized Routines
}


class Finding(msgspec.Struct, frozen=True):
    """A library whose machine code was found in a file, and the archives of it that were."""

    path: str
    library: str
    archives: frozenset[str]


@pytest.fixture(scope="module")
def shipped() -> Store:
    """The pack that LinkScope brings along."""
    return Store(SHIPPED, fixed=True)


def _findings(paths: Iterable[str], shipped: Store) -> list[Finding]:
    found: list[Finding] = []
    for path in paths:
        with opened(path) as (reader, image):
            contents = identify(reader, image, file_facts(reader, image).file, [shipped])
        for one in contents:
            archives = frozenset(e.archive for e in one.evidence if e.kind == "fingerprint" and e.archive)
            if archives:
                found.append(Finding(path, one.name, archives))
    return found


def _unexplained(found: Iterable[Finding], there: dict[str, machine.Built]) -> list[Finding]:
    return [one for one in found if not _is_explained(one, there[one.path])]


def _is_explained(found: Finding, built: machine.Built) -> bool:
    sources = {built.source, *built.using}
    if any(libraries.library_of("", source) == found.library for source in sources):
        return True
    if found.library == "gcc":
        return _is_runtime(found)
    return any((source, found.library) in _REVIEWED for source in sources)


def _is_runtime(found: Finding) -> bool:
    """GCC links libgcc.a into all that it makes; libstdc++.a only where the file does not need the shared one."""
    if all(name.startswith("libgcc") for name in found.archives):
        return True
    return not any(name.startswith("libstdc++.so") for name in ask(_needed, found.path))


def _needed(_: object, image: Image) -> tuple[str, ...]:
    return tuple(image.needed)


def _all_files() -> list[str]:
    shared = {os.path.realpath(path) for path in Path(_LIBRARIES).glob("*.so*")}
    return sorted({*elf_files(*_FOLDERS), *shared.intersection(elf_files(_LIBRARIES))})


def _owned(paths: Iterable[str]) -> dict[str, machine.Built]:
    there = machine.built(paths)
    if not there:
        raise Unavailable("no file of this machine belongs to a package of dpkg")
    return there


def test_files_that_carry_a_copy_of_one_source_accuse_no_library(shipped: Store) -> None:
    there = _owned({os.path.realpath(path) for path in _COPIES if os.path.exists(path)})
    assert _unexplained(_findings(there, shipped), there) == []


@pytest.mark.parametrize("file", _OTHERS, ids=lambda file: file[1])
def test_several_copied_files_accuse_no_library_either(file: tuple[str, str, str], shipped: Store) -> None:
    suite, package, path = file
    name = str(package_files(suite, package) / path)
    with opened(name) as (reader, image):
        known = explained(reader, image, [shipped]).known
    assert any(archive.called == _OTHERS[file] for archive in known.archives.values())
    assert _OTHERS[file] not in {one.library for one in _findings([name], shipped)}


def test_whose_code_is_found_in_a_file_is_what_its_package_was_built_of(shipped: Store) -> None:
    there = _owned(spread(_all_files(), _SAMPLE))
    found = _findings(there, shipped)
    assert found
    assert _unexplained(found, there) == []


@pytest.mark.exhaustive
def test_the_same_for_every_file_of_the_machine(shipped: Store) -> None:
    there = _owned(_all_files())
    found = _findings(there, shipped)
    print(f"{len(there)} files, {len(found)} libraries found in them by their code")
    assert len(found) >= len(there) // 10
    assert _unexplained(found, there) == []
    reviewed = {(source, one.library) for one in found for source in (there[one.path].source,)}
    assert [reason for reason in _REVIEWED if reason[0] in _sources(there) and reason not in reviewed] == []


def _sources(there: dict[str, machine.Built]) -> set[str]:
    return {built.source for built in there.values()}
