"""One library has one name, whichever table or pack names it: dpkg says which files are whose."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkscope.contents import banners, libraries, symbols
from linkscope.contents.packs import SHIPPED, Store
from tests.contents import machine, released

_FOLDER = "/usr/lib/x86_64-linux-gnu"
_FEWEST = 100  # shared libraries of which a table knows the soname, on a machine with compilers and their libraries


@pytest.fixture(scope="module")
def shipped() -> Store:
    """The pack that LinkScope brings along."""
    return Store(SHIPPED, fixed=True)


def _plain(name: str) -> str:
    return re.sub(r"^lib|[^a-z0-9]", "", name)


def _rows() -> set[str]:
    return {row.name for row in banners.libraries()} | {row.name for row in symbols.libraries()}


def test_a_shared_library_is_called_as_an_archive_of_the_same_source_is() -> None:
    """Of two libraries that have the same soname, either may be meant."""
    paths = [str(path) for path in Path(_FOLDER).glob("*.so.*")]
    known = {path: names for path in paths if (names := released.called([path]))}
    there = machine.built(known)
    wrong = {
        f"{Path(path).name} of {one.source}: {sorted(known[path])}, and {called}"
        for path, one in there.items()
        if (called := libraries.library_of(Path(path).name, one.source)) not in known[path]
    }
    assert len(there) >= _FEWEST
    assert wrong == set()


def test_no_two_names_differ_only_in_how_they_are_written(shipped: Store) -> None:
    """As `mpc` and `libmpc` would: the same library, found twice."""
    names = _rows() | {one.archive.library or "" for one in shipped.filed()} | set(_given())
    alike: dict[str, set[str]] = {}
    for name in names:
        alike.setdefault(_plain(name), set()).add(name)
    assert {one: both for one, both in alike.items() if len(both) > 1} == {}


def _given() -> Iterator[str]:
    """The names that packages and archives are given."""
    names = libraries.names()
    for table in (names.patterns, names.sources, names.archives):
        yield from table.values()


def test_an_archive_without_its_package_is_called_as_with_it(shipped: Store) -> None:
    """What the pack knows of Debian's packages says whose an archive of that name is."""
    owners: dict[str, set[str | None]] = {}
    for one in shipped.filed():
        owners.setdefault(one.archive.name, set()).add(one.archive.library)
    named = {name: library for name, library in libraries.names().archives.items() if name in owners}
    assert len(named) >= len(libraries.names().archives) // 2
    assert {name: library for name, library in named.items() if library not in owners[name]} == {}
