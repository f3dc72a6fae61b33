"""The packages that are installed in a root and the files of each, as dpkg, apk and rpm write them down.

Nothing is executed. Source: apk-installed(5), lib/apk/db/installed. dpkg's database is in `dpkg`, rpm's in `rpmdb`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import dpkg, rpmdb
from linkscope.contents.bounded import Allowance, content, paragraphs
from linkscope.model.ownership import Manager
from linkscope.packages.limits import Broken, Limits
from linkscope.packages.metadata import Metadata

if TYPE_CHECKING:
    from linkscope.loader.root import Root

_APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_RPM = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
_LARGEST = 128 << 20  # bytes of apk's file, which has some 5 MB on a desktop
_SMALL = 1 << 20
_SAID = ("P:", "V:", "A:", "o:")


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
    yield from (Package(metadata, files, "deb") for metadata, files in dpkg.packages(root, problems))
    yield from _apk(root, problems)
    for folder in _RPM:
        try:
            found = rpmdb.packages(root, folder)
            if found is not None:
                yield from (Package(metadata, files, "rpm") for metadata, files in found)
                return
        except Broken as error:
            problems.append(f"{folder}: rpm's database cannot be read: {error.reason}")
            return


def _apk(root: Root, problems: list[str]) -> Iterator[Package]:
    for path in _APK:
        try:
            data = content(root, path, _LARGEST)
            if data is not None:
                yield from _of_apk(data.decode("utf-8", "surrogateescape"))
                return
        except Broken as error:
            problems.append(f"{path}: apk's database cannot be read: {error.reason}")
            return


def _of_apk(text: str) -> Iterator[Package]:
    """Paragraphs: P package, V version, A architecture, o origin; F a folder, R each file in it. Raises Broken."""
    allowance = Allowance()
    for paragraph in paragraphs(text):
        said: dict[str, str] = {}
        files: list[str] = []
        folder, left = "", Limits().names
        for line in paragraph.split("\n"):
            key, value = line[:2], line[2:]
            if key == "F:":
                folder = f"{value}/" if value else ""
            elif key == "R:":
                files.append(f"/{folder}{value}")
                left -= len(files[-1])
                if left < 0:
                    raise Broken(f"has files whose names take more than {Limits().names} characters")
            elif key in _SAID:
                said[key] = value
        if "P:" in said:
            allowance.take(files)
            name, version, architecture, origin = map(said.get, _SAID)
            yield Package(Metadata(name=name, version=version, architecture=architecture, source=origin), files, "apk")


def text_of(root: Root, path: str) -> str:
    """The text of a small file of the root; empty where there is none, or where it cannot be read."""
    try:
        return (content(root, path, _SMALL) or b"").decode("utf-8", "surrogateescape")
    except Broken:
        return ""
