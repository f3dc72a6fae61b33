"""The pack that LinkScope brings along: it is what comes of Debian's packages, small, and open at once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linkscope.contents.packs import SHIPPED, Store
from packs.make import Wanted, learnt
from tests.cli.conftest import REPOSITORY, environment
from tests.oracle.availability import Unavailable

# Small ones that hardly ever change, of another machine than most of these tests run on.
_PART = Wanted(["trixie"], ["arm64"], ["zlib1g-dev", "libbz2-dev", "liblz4-dev"])
_MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def shipped() -> Store:
    """It, open."""
    return Store(SHIPPED, fixed=True)


def test_a_part_of_it_that_is_made_anew_is_the_same(shipped: Store) -> None:
    """A package that Debian has in a newer version by now is passed over."""
    made = {one.identity.hex(): one for one in learnt(_PART, 1)}
    known = {(one.archive.package, one.archive.package_version) for one in shipped.filed()}
    same = {
        identity: one for identity, one in made.items() if (one.archive.package, one.archive.package_version) in known
    }
    if not same:
        raise Unavailable("Debian has newer packages than the pack was made of: make pack")
    assert {one.identity.hex(): one for one in shipped.learnt(same)} == same


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


def test_it_is_small_and_names_nothing_of_the_machine_that_made_it(shipped: Store) -> None:
    assert os.path.getsize(SHIPPED) < 8 * _MEBIBYTE
    assert not [one.origin for one in shipped.filed() if one.origin.startswith("/")]


def test_it_is_open_in_less_than_50_milliseconds(shipped: Store) -> None:
    """The best of five, for other tests run beside this one. numpy is imported before."""
    assert shipped.codes("x86_64") is not None
    took = []
    for _ in range(5):
        start = time.perf_counter()
        Store(SHIPPED, fixed=True).codes("x86_64")
        took.append(time.perf_counter() - start)
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
