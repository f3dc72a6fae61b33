"""Which package each archive of a system belongs to, as the files say that dpkg, apk and rpm keep of it.

Nothing is executed. Sources: dpkg(1), /var/lib/dpkg; apk's lib/apk/db/installed (apk-installed(5)); rpm's database in
SQLite (rpm lib/backend/sqlite.c: a table of packages, each a header without its magic).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.packages import rpm
from linkscope.packages.limits import Broken
from linkscope.packages.metadata import Metadata, fields

if TYPE_CHECKING:
    from linkscope.loader.root import Root

_DPKG = "/var/lib/dpkg"
_APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_RPM = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
_RPM_FILE = "rpmdb.sqlite"
_RPM_OTHERS = ("Packages", "Packages.db")  # Berkeley DB, before rpm 4.16; ndb
_LARGEST = 256 << 20  # bytes of one such file
_ENDING = ".a"


class Owners(msgspec.Struct, frozen=True):
    """packages: by the path of each archive, as the package has it. problems: what could not be read, a line each.

    distribution: the system's own name and release (`debian 12`), None where it does not say.
    """

    packages: dict[str, Metadata]
    problems: list[str]
    distribution: str | None

    def of(self, path: str) -> Metadata | None:
        """The package of the file at PATH (absolute, without symlinks); None where it is nobody's.

        /lib may be /usr/lib by now, while the package still says /lib (Debian's merged /usr).
        """
        inner = path.removeprefix("/usr")
        return self.packages.get(path) or self.packages.get(inner if inner != path else f"/usr{path}")


def owners(root: Root) -> Owners:
    """All archives of the packages that are installed in a root."""
    packages: dict[str, Metadata] = {}
    problems: list[str] = []
    for read in (_dpkg, _apk, _rpm):
        try:
            packages.update(read(root))
        except _Unread as unread:
            problems.append(unread.reason)
    return Owners(packages, problems, distribution(root))


def distribution(root: Root) -> str | None:
    """ID and VERSION_ID of os-release(5), as `debian 12`; None where there is none."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        text = _text(root, path)
        if text is not None:
            rows = (line.partition("=") for line in text.splitlines())
            said = {name: value.strip().strip("\"'") for name, equals, value in rows if equals}
            return " ".join(word for word in (said.get("ID"), said.get("VERSION_ID")) if word) or None
    return None


class _Unread(Exception):
    """A database of packages is there and cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _dpkg(root: Root) -> Iterator[tuple[str, Metadata]]:
    """From `status` what each package is, from `info/PACKAGE[:ARCHITECTURE].list` its files, one a line."""
    status = _text(root, f"{_DPKG}/status")
    if status is None:
        return
    for paragraph in status.split("\n\n"):
        said = fields(paragraph.encode("utf-8", "surrogateescape"))
        name, architecture = said.get("package"), said.get("architecture")
        if not name or "installed" not in said.get("status", "").split()[2:]:
            continue
        package = Metadata(
            name=name,
            version=said.get("version"),
            architecture=architecture,
            source=said.get("source", name).partition(" ")[0],
        )
        for listed in (f"{name}:{architecture}", name):
            text = _text(root, f"{_DPKG}/info/{listed}.list")
            if text is not None:
                yield from ((line, package) for line in text.splitlines() if line.endswith(_ENDING))
                break


def _apk(root: Root) -> Iterator[tuple[str, Metadata]]:
    """Paragraphs: P package, V version, A architecture, o origin; F a folder, R each file in it."""
    for path in _APK:
        for paragraph in (_text(root, path) or "").split("\n\n"):
            rows = [(line[:1], line[2:]) for line in paragraph.splitlines() if line[1:2] == ":"]
            said = dict(rows)
            package = Metadata(
                name=said.get("P"), version=said.get("V"), architecture=said.get("A"), source=said.get("o")
            )
            folder = ""
            for key, value in rows:
                if key == "F":
                    folder = value
                elif key == "R" and value.endswith(_ENDING):
                    yield f"/{folder}/{value}", package


def _rpm(root: Root) -> Iterator[tuple[str, Metadata]]:
    for folder in _RPM:
        if _is_there(root, f"{folder}/{_RPM_FILE}"):
            yield from _rpm_packages(root, f"{folder}/{_RPM_FILE}")
            return
        for other in _RPM_OTHERS:
            if _is_there(root, f"{folder}/{other}"):
                raise _Unread(f"{folder}/{other}: rpm's database is of an older form than SQLite, and is not read here")


def _rpm_packages(root: Root, path: str) -> Iterator[tuple[str, Metadata]]:
    import contextlib
    import sqlite3
    from urllib.parse import quote

    try:
        uri = f"file:{quote(os.fsencode(root.locate(path)))}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            for (blob,) in connection.execute("SELECT blob FROM Packages"):
                package, names = rpm.installed(bytes(blob))
                yield from ((name, package) for name in names if name.endswith(_ENDING))
    except (OSError, sqlite3.Error, Broken, TypeError) as error:
        raise _Unread(f"{path}: rpm's database cannot be read: {error}") from error


def _is_there(root: Root, path: str) -> bool:
    try:
        return os.path.exists(root.locate(path))
    except OSError:
        return False


def _text(root: Root, path: str) -> str | None:
    """The text of a file of the root; None where there is none."""
    try:
        with open_reader(root.locate(path), path, root.open) as reader:
            return reader.read(0, min(reader.size, _LARGEST)).decode("utf-8", "surrogateescape")
    except (LinkScopeError, OSError):
        return None
