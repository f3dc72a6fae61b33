"""The packages that are installed in a root and the files of each, as dpkg, apk and rpm write them down.

Nothing is executed. Sources: dpkg(1), /var/lib/dpkg; dpkg-divert(1); apk-installed(5), lib/apk/db/installed. rpm's
database is in `rpmdb`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import rpmdb
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.model.ownership import Manager
from linkscope.packages.limits import Broken
from linkscope.packages.metadata import Metadata, fields

if TYPE_CHECKING:
    from linkscope.loader.root import Root

_DPKG = "/var/lib/dpkg"
_APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_RPM = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
_LARGEST = 256 << 20  # bytes of one such file


class Package(msgspec.Struct, frozen=True):
    """One package, the absolute paths of what it has (files, and of dpkg also folders), and whose database has it."""

    metadata: Metadata
    files: list[str]
    manager: Manager


def names_of(root: Root, path: str) -> list[str]:
    """The names that a package may have for the file at PATH, which is absolute and without symlinks; its own first.

    /lib may be /usr/lib by now, while the package still says /lib (Debian's merged /usr). Where both are folders of
    their own, as on Alpine, the other name is that of another file.
    """
    other = path.removeprefix("/usr") if path.startswith("/usr/") else f"/usr{path}"
    return [path, other] if _folder(root, other) == _parent(path) else [path]


def _folder(root: Root, path: str) -> str | None:
    """The folder, without symlinks, in which PATH stands; None where there is none."""
    try:
        return root.real(_parent(path))
    except OSError:
        return None


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def installed_packages(root: Root, problems: list[str]) -> Iterator[Package]:
    """Every package of a root, those of dpkg by their names. PROBLEMS gets what could not be read, a line each."""
    yield from _dpkg(root)
    yield from _apk(root)
    for folder in _RPM:
        try:
            found = rpmdb.packages(root, folder)
            if found is not None:
                yield from (Package(metadata, files, "rpm") for metadata, files in found)
                return
        except Broken as error:
            problems.append(f"{folder}: rpm's database cannot be read: {error.reason}")
            return


def _dpkg(root: Root) -> Iterator[Package]:
    """From `status` what each package is, from `info/PACKAGE[:ARCHITECTURE].list` its files, one a line.

    What was diverted lies elsewhere, and the path is the diverting package's.
    """
    diversions = list(_diversions(root))
    moved = {path: (place, package) for path, place, package in diversions}
    for package in sorted(_of_status(root), key=lambda one: (one.name or "", one.architecture or "")):
        files = _listed(root, package)
        for path in moved.keys() & files:
            place, diverting = moved[path]
            if diverting != package.name:
                files[files.index(path)] = place
        files += (path for path, _, diverting in diversions if diverting == package.name)
        yield Package(package, files, "deb")


def _of_status(root: Root) -> Iterator[Metadata]:
    for paragraph in text_of(root, f"{_DPKG}/status").split("\n\n"):
        said = fields(paragraph.encode("utf-8", "surrogateescape"))
        name = said.get("package")
        if name and "installed" in said.get("status", "").split()[2:]:
            source, _, version = said.get("source", name).partition(" ")  # deb-control(5): `glibc (2.36-9)`
            yield Metadata(
                name=name,
                version=said.get("version"),
                architecture=said.get("architecture"),
                source=source,
                source_version=version.strip("() ") or None,
            )


def _listed(root: Root, package: Metadata) -> list[str]:
    for name in (f"{package.name}:{package.architecture}", package.name):
        text = text_of(root, f"{_DPKG}/info/{name}.list")
        if text:
            return text.splitlines()
    return []


def _diversions(root: Root) -> Iterator[tuple[str, str, str]]:
    """Three lines each: the path, where another package's file of that name lies now, and whose the path is."""
    lines = text_of(root, f"{_DPKG}/diversions").splitlines()
    yield from zip(lines[::3], lines[1::3], lines[2::3], strict=False)


def _apk(root: Root) -> Iterator[Package]:
    """Paragraphs: P package, V version, A architecture, o origin; F a folder, R each file in it."""
    for path in _APK:
        for paragraph in text_of(root, path).split("\n\n"):
            rows = [(line[:1], line[2:]) for line in paragraph.split("\n") if line[1:2] == ":"]
            said = dict(rows)
            if "P" not in said:
                continue
            files, folder = [], ""
            for key, value in rows:
                if key == "F":
                    folder = f"{value}/" if value else ""
                elif key == "R":
                    files.append(f"/{folder}{value}")
            metadata = Metadata(name=said["P"], version=said.get("V"), architecture=said.get("A"), source=said.get("o"))
            yield Package(metadata, files, "apk")


def text_of(root: Root, path: str) -> str:
    """The text of a file of the root; empty where there is none."""
    try:
        with open_reader(root.locate(path), path, root.open) as reader:
            return reader.read(0, min(reader.size, _LARGEST)).decode("utf-8", "surrogateescape")
    except (LinkScopeError, OSError):
        return ""
