"""The pack that LinkScope brings along: it is reproduced from Debian's packages, small, and open at once."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from linkscope.contents.fingerprints import Archive, Signature
from linkscope.contents.packs import SHIPPED, Learnt, Store
from packs.make import Wanted, learnt
from tests.cli.conftest import REPOSITORY, environment
from tests.oracle.availability import Unavailable

# Small ones that hardly ever change, of another machine than most of these tests run on.
_SUITES, _MACHINE, _PACKAGES = ("trixie", "bookworm", "bullseye"), "arm64", ["zlib1g-dev", "libbz2-dev", "liblz4-dev"]
_MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def shipped() -> Store:
    """It, open."""
    return Store(SHIPPED, fixed=True)


@pytest.fixture(scope="module")
def anew(shipped: Store) -> list[Learnt]:
    """What comes of the packages as Debian has them today, up to the first release with one that the pack has too."""
    packed = {(one.archive.package, one.archive.package_version) for one in shipped.filed()}
    made: list[Learnt] = []
    missing = ""
    for suite in _SUITES:
        try:
            made += learnt(Wanted([suite], [_MACHINE], _PACKAGES), 1)
        except Unavailable as unavailable:
            missing = str(unavailable)
        if any((one.archive.package, one.archive.package_version) in packed for one in made):
            break
    if not made:
        raise Unavailable(missing)
    return made


def _package(archive: Archive) -> tuple[str | None, ...]:
    return archive.name, archive.architecture, archive.package, archive.distribution


def _earlier(shipped: Store, anew: Iterable[Learnt]) -> list[Learnt]:
    """What the pack has of the same archives, in whatever version of their package."""
    packages = {_package(one.archive) for one in anew}
    return list(shipped.learnt(one.identity for one in shipped.filed() if _package(one.archive) in packages))


def test_it_is_reproduced_from_the_same_packages(shipped: Store, anew: list[Learnt]) -> None:
    """By the same code: this says nothing of whether that is right, which linker maps judge (test_attribution.py).

    A package that Debian has in a newer version by now is passed over; the next test looks at those, too.
    """
    known = {(*_package(one.archive), one.archive.package_version): one for one in _earlier(shipped, anew)}
    made = {(*_package(one.archive), one.archive.package_version): one for one in anew}
    same = known.keys() & made.keys()
    if not same:
        raise Unavailable("Debian has none of these packages in the version of the pack any more")
    assert {key: made[key] for key in same} == {key: known[key] for key in same}


def test_code_that_a_newer_package_still_has_has_the_same_fingerprints(shipped: Store, anew: list[Learnt]) -> None:
    """An update changes a few functions of a library, and its compiler is the release's."""
    earlier: dict[tuple[str | None, ...], dict[bytes, Signature]] = {}
    packed = _earlier(shipped, anew)
    assert packed
    for one in packed:
        signatures = {signature.digest: signature for signature in one.archive.signatures}
        earlier.setdefault(_package(one.archive), {}).update(signatures)
    assert earlier
    for one in anew:
        known = earlier[_package(one.archive)]
        same = [signature for signature in one.archive.signatures if signature.digest in known]
        assert 2 * len(same) >= len(one.archive.signatures), one.origin
        for signature in same:
            before = known[signature.digest]
            named = msgspec.structs.replace(signature, member=before.member, section=before.section)
            assert named == before


def test_it_has_the_most_linked_libraries_of_three_releases_and_two_machines(shipped: Store) -> None:
    libraries = (
        "glibc musl dietlibc gcc openssl zlib zstd bzip2 xz lz4 brotli sqlite curl expat libxml2 pcre2 libpng "
        "libjpeg-turbo freetype ncurses readline gmp libevent libuv c-ares nghttp2 mbedtls libsodium lua"
    ).split()
    there = {(one.archive.library, one.archive.distribution, one.archive.architecture) for one in shipped.filed()}
    assert [
        (name, number, machine)
        for name in libraries
        for number in (11, 12, 13)
        for machine in ("x86_64", "aarch64")
        if (name, f"debian {number}", machine) not in there
    ] == []
    assert all(one.archive.version and one.archive.package_version for one in shipped.filed())
    assert [one.origin for one in shipped.filed() if one.archive.version == "0"] == []  # whose package has a date


def test_it_is_small_and_names_nothing_of_the_machine_that_made_it(shipped: Store) -> None:
    assert os.path.getsize(SHIPPED) < 8 * _MEBIBYTE
    assert not [one.origin for one in shipped.filed() if one.origin.startswith("/")]


def test_it_is_open_in_less_than_50_milliseconds(shipped: Store) -> None:
    """Of the processor's time, and the best of many, for other tests run beside this one. numpy is imported before."""
    assert shipped.codes("x86_64") is not None
    took = []
    for _ in range(15):
        start = time.process_time()
        Store(SHIPPED, fixed=True).codes("x86_64")
        took.append(time.process_time() - start)
    assert min(took) < 0.050


def test_numpy_and_the_store_are_imported_only_for_contents() -> None:
    program = Path(sys.executable).resolve()
    for options, expected in ([], False), (["--contents"], True):
        ran = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "linkscope", "inspect", *options, program],
            env=environment(),
            cwd=REPOSITORY,
            capture_output=True,
        )
        assert [name in ran.stderr for name in (b" numpy\n", b" sqlite3\n")] == [expected, expected]
