"""Which package each of a few files belongs to: nothing is kept of files that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from linkscope.contents.databases import installed_packages, names_of

if TYPE_CHECKING:
    from linkscope.loader.root import Root


class Installed:
    """The packages of the files of one root; what was asked once is known."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._known: dict[str, str | None] = {}

    def of(self, paths: Iterable[str]) -> dict[str, str | None]:
        """The name of the package of each of PATHS (absolute, without symlinks); None where it is nobody's.

        Of packages that have the same file, as those of two architectures may, the first by name counts.
        """
        asked = dict.fromkeys(paths)
        unknown = [path for path in asked if path not in self._known]
        self._known.update(dict.fromkeys(unknown))
        wanted = {name: path for path in unknown for name in names_of(path)}
        if wanted:
            self._look_for(wanted)
        return {path: self._known[path] for path in asked}

    def _look_for(self, wanted: dict[str, str]) -> None:
        """Enter the packages of the files that are WANTED, by each name that a package may have for them."""
        for package in installed_packages(self._root, []):
            for name in wanted.keys() & package.files:
                if self._known[wanted[name]] is None:
                    self._known[wanted[name]] = package.metadata.name
