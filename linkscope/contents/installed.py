"""Which package each of a few files belongs to: nothing is kept of files that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from linkscope.contents.databases import Package, installed_packages, names_of
from linkscope.contents.owners import release
from linkscope.model.ownership import Owner

if TYPE_CHECKING:
    from linkscope.loader.root import Root


# How often all that the packages say is read anew, before what may be asked for once more is kept: 170 bytes for each
# file outside of the folders in which there are hardly any programs and libraries.
_OFTEN = 4
_HARDLY = ("/usr/share/", "/usr/include/", "/usr/src/", "/etc/")


class Installed:
    """The packages of the files of one root; what was asked once is known.

    problems: the databases that could not be read, a line each, as far as was asked: then a file may be nobody's, or of
    one of their packages.
    """

    def __init__(self, root: Root) -> None:
        self.problems: list[str] = []
        self._root = root
        self._readings = 0
        self._index: dict[str, Owner] = {}
        self._known: dict[str, Owner | None] = {}

    def of(self, paths: Iterable[str]) -> dict[str, str | None]:
        """The name of the package of each of PATHS (absolute, without symlinks); None where it is nobody's.

        Of packages that have the same file, as those of two architectures may, the first by name counts; and before
        all of them one that has it by this very name.
        """
        return {path: None if owner is None else owner.name for path, owner in self.owners(paths).items()}

    def owners(self, paths: Iterable[str]) -> dict[str, Owner | None]:
        """The same with all that is known of each package. Best asked of all paths at once: all is read for it."""
        asked = dict.fromkeys(paths)
        unknown = [path for path in asked if path not in self._known]
        if unknown:
            names = {path: names_of(self._root, path) for path in unknown}
            found = self._found({name for some in names.values() for name in some})
            for path, some in names.items():
                self._known[path] = next((found[name] for name in some if name in found), None)
        return {path: self._known[path] for path in asked}

    def _found(self, wanted: set[str]) -> Mapping[str, Owner]:
        """The package of each name that is WANTED, as far as one has it; of others perhaps too."""
        if self._index and not any(name.startswith(_HARDLY) for name in wanted):
            return self._index
        self._readings += 1
        found: dict[str, Owner] = {}
        for owner, files in self._read():
            for name in wanted.intersection(files):
                found.setdefault(name, owner)
            if self._readings == _OFTEN:
                for name in files:
                    if not name.startswith(_HARDLY):
                        self._index.setdefault(name, owner)
        return found

    def _read(self) -> Iterator[tuple[Owner, list[str]]]:
        """Every package with its files."""
        system, number = release(self._root)
        problems: list[str] = []
        for package in installed_packages(self._root, problems):
            owner = _owner(package, system, number)
            if owner is not None:
                yield owner, package.files
        self.problems += (problem for problem in problems if problem not in self.problems)


def _owner(package: Package, system: str | None, number: str | None) -> Owner | None:
    """None of a package without a name, which a damaged database may have. system, number: as `release` has them."""
    said = package.metadata
    if not said.name:
        return None
    return Owner(
        manager=package.manager,
        name=said.name,
        version=said.version,
        architecture=said.architecture,
        source=said.source,
        source_version=said.source_version,
        distribution=None if system is None else system.lower(),
        release=number,
    )
