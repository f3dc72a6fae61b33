"""Which package each of a few files belongs to, as the files say that dpkg, apk and rpm keep of it.

`owners.py` tells it of all archives of a system; here nothing is kept of files that nobody asked for. Nothing is
executed. Sources: dpkg(1), /var/lib/dpkg/info, dpkg-divert(1); apk-installed(5); rpm lib/backend/sqlite.c.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.packages import rpm
from linkscope.packages.limits import Broken

if TYPE_CHECKING:
    from linkscope.loader.root import Root

_DPKG = "/var/lib/dpkg"
_LISTED = ".list"
_APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_RPM = ("/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite")
_LARGEST = 256 << 20  # bytes of one such file


class Installed:
    """The packages of the files of one root; what was asked once is known."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._known: dict[str, str | None] = {}

    def of(self, paths: Iterable[str]) -> dict[str, str | None]:
        """The name of the package of each of PATHS (absolute, without symlinks); None where it is nobody's.

        /lib may be /usr/lib by now, while the package still says /lib (Debian's merged /usr). Of packages that have the
        same file, as those of two architectures may, the first by name counts.
        """
        asked = dict.fromkeys(paths)
        wanted: dict[str, str] = {}  # each name that a package may have for it
        for path in asked:
            if path not in self._known:
                self._known[path] = None
                inner = path.removeprefix("/usr")
                wanted.update(dict.fromkeys((path, inner if inner != path else f"/usr{path}"), path))
        for read in (self._dpkg, self._apk, self._rpm):
            if not wanted:
                break
            for name, package in read(wanted):
                path = wanted[name]
                self._known[path] = self._known[path] or package
            wanted = {name: path for name, path in wanted.items() if self._known[path] is None}
        return {path: self._known[path] for path in asked}

    def _dpkg(self, wanted: dict[str, str]) -> Iterator[tuple[str, str]]:
        """Each package has a list of its files, one a line. What was diverted is the diverting package's."""
        diverted = dict(self._diversions())
        yield from ((name, diverted[name]) for name in wanted if name in diverted)
        lines = {f"\n{name}\n".encode("utf-8", "surrogateescape"): name for name in wanted}
        try:
            folder = self._root.locate(f"{_DPKG}/info")
            names = sorted(name for name in os.listdir(folder) if name.endswith(_LISTED))
        except OSError:
            return
        for listed in names:
            text = b"\n" + self._bytes(f"{_DPKG}/info/{listed}")
            package = listed.removesuffix(_LISTED).partition(":")[0]
            yield from ((name, package) for line, name in lines.items() if line in text)

    def _diversions(self) -> Iterator[tuple[str, str]]:
        """Three lines each: the path, where another package's file of that name lies now, and whose the path is."""
        lines = self._bytes(f"{_DPKG}/diversions").decode("utf-8", "surrogateescape").splitlines()
        for path, _, package in zip(lines[::3], lines[1::3], lines[2::3], strict=False):
            if package != ":":  # an administrator's own
                yield path, package

    def _apk(self, wanted: dict[str, str]) -> Iterator[tuple[str, str]]:
        """Paragraphs: P package; F a folder, R each file in it."""
        for path in _APK:
            package = folder = ""
            for line in self._bytes(path).decode("utf-8", "surrogateescape").split("\n"):
                key, value = line[:2], line[2:]
                if key == "P:":
                    package = value
                elif key == "F:":
                    folder = value
                elif key == "R:" and f"/{folder}/{value}" in wanted:
                    yield f"/{folder}/{value}", package

    def _rpm(self, wanted: dict[str, str]) -> Iterator[tuple[str, str]]:
        for path in _RPM:
            try:
                location = self._root.locate(path)
            except OSError:
                continue
            if os.path.exists(location):
                yield from _of_rpm(location, wanted)
                return

    def _bytes(self, path: str) -> bytes:
        """A file of the root; no bytes where there is none."""
        try:
            with open_reader(self._root.locate(path), path, self._root.open) as reader:
                return reader.read(0, min(reader.size, _LARGEST))
        except (LinkScopeError, OSError):
            return b""


def _of_rpm(location: str, wanted: dict[str, str]) -> Iterator[tuple[str, str]]:
    """rpm's database in SQLite: a table of packages, each a header without its magic."""
    import contextlib
    import sqlite3
    from urllib.parse import quote

    try:
        uri = f"file:{quote(os.fsencode(location))}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            for (blob,) in connection.execute("SELECT blob FROM Packages"):
                package, names = rpm.installed(bytes(blob))
                yield from ((name, package.name or "") for name in names if name in wanted)
    except (OSError, sqlite3.Error, Broken, TypeError):
        return  # whose the files are is then not known
