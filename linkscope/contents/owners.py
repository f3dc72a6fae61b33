"""Which package each archive of a system belongs to, and which system it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from linkscope.contents.databases import installed_packages, names_of, text_of
from linkscope.packages.metadata import Metadata

if TYPE_CHECKING:
    from linkscope.loader.root import Root

_ENDING = ".a"


class Owners(msgspec.Struct, frozen=True):
    """packages: by the path of each archive, as the package has it. problems: what could not be read, a line each.

    distribution: the system's own name and release (`debian 12`), None where it does not say. root: where they are.
    """

    packages: dict[str, Metadata]
    problems: list[str]
    distribution: str | None
    root: Root

    def of(self, path: str) -> Metadata | None:
        """The package of the file at PATH (absolute, without symlinks); None where it is nobody's."""
        return next((self.packages[name] for name in names_of(self.root, path) if name in self.packages), None)


def owners(root: Root) -> Owners:
    """All archives of the packages that are installed in a root."""
    packages: dict[str, Metadata] = {}
    problems: list[str] = []
    for package in installed_packages(root, problems):
        packages.update((path, package.metadata) for path in package.files if path.endswith(_ENDING))
    return Owners(packages, problems, distribution(root), root)


def distribution(root: Root) -> str | None:
    """ID and VERSION_ID of os-release(5), as `debian 12`; None where there is none."""
    return " ".join(word for word in release(root) if word) or None


def release(root: Root) -> tuple[str | None, str | None]:
    """ID and VERSION_ID of os-release(5), `debian` and `12`; each None where it does not say."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        text = text_of(root, path)
        if text:
            rows = (line.partition("=") for line in text.splitlines())
            said = {name: value.strip().strip("\"'") for name, equals, value in rows if equals}
            return said.get("ID") or None, said.get("VERSION_ID") or None
    return None, None
