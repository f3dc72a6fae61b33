"""The packages that dpkg has installed in a root, and the files of each.

Source: dpkg(1); deb-control(5); dpkg-divert(1); dpkg's own /var/lib/dpkg: `status` says what each package is,
`info/PACKAGE[:ARCHITECTURE].list` has its files, one a line, and folders among them. Images that are put together
without dpkg (distroless) have a file of `status.d` for each package instead, which says what it is, and beside it
PACKAGE.md5sums, with its files (distroless, PACKAGE_METADATA.md; deb-md5sums(5)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkscope.contents.bounded import MOST_PACKAGES, Allowance, content, names, paragraphs
from linkscope.packages.limits import Broken, Limits
from linkscope.packages.metadata import Metadata

if TYPE_CHECKING:
    from linkscope.loader.root import Root

_FOLDER = "/var/lib/dpkg"
_LARGEST = 64 << 20  # bytes of one of its files; `status` of a full desktop has 6 MB
_TOGETHER = 512 << 20  # bytes of all of its files together
# dpkg(1), PACKAGE STATES: those in which all files are on the disk, and of the version that is said. `half-installed`
# is none of them: some of the files may be of the version before.
_STATES = {"unpacked", "half-configured", "triggers-awaited", "triggers-pending", "installed"}
_WHOLE = "install ok installed"
_SUMS = ".md5sums"
_FIELDS = ("package", "status", "version", "architecture", "source")


def packages(root: Root, problems: list[str]) -> Iterator[tuple[Metadata, list[str]]]:
    """Each package with its files, by their names. PROBLEMS gets a line where something could not be read."""
    database = _Database(root)
    try:
        yield from _with_files(database)
    except Broken as error:
        database.unread.append(error.reason)
    if database.unread:
        others = f" (and {len(database.unread) - 1} more)" if len(database.unread) > 1 else ""
        problems.append(f"{_FOLDER}: dpkg's database cannot be read: {database.unread[0]}{others}")


def _with_files(database: _Database) -> Iterator[tuple[Metadata, list[str]]]:
    """What was diverted lies elsewhere, and the path is the diverting package's."""
    moved: dict[str, tuple[str, str]] = {}
    diverted: dict[str, list[str]] = {}
    for path, place, package in database.diversions():
        moved[path] = place, package
        diverted.setdefault(package, []).append(path)
    allowance = Allowance()
    for said in sorted(database.status(), key=lambda one: (one.name or "", one.architecture or "")):
        name = said.name or ""
        files = database.files(said)
        if moved:
            files = [moved[path][0] if path in moved and moved[path][1] != name else path for path in files]
            files += diverted.pop(name, ())
        allowance.take(files)
        yield said, files


class _Database:
    """The files of one root's database, none of which is read twice. unread: why some were not."""

    def __init__(self, root: Root) -> None:
        self.unread: list[str] = []
        self._root = root
        self._left = _TOGETHER
        self._lists: set[str] = set()
        self._apart: dict[tuple[str, str], str] = {}

    def status(self) -> Iterator[Metadata]:
        """What each package is that is installed, once. Raises Broken."""
        seen: set[tuple[str, str]] = set()
        for said in self._said():
            key = said.get("package", ""), said.get("architecture", "")
            if not key[0] or "/" in "".join(key) or key in seen or not _STATES.intersection(said["status"].split()[2:]):
                continue
            seen.add(key)
            if len(seen) > MOST_PACKAGES:
                raise Broken(f"has more than {MOST_PACKAGES} packages; none is looked at")
            if "file" in said:
                self._apart[key] = said["file"]
            yield _metadata(said)

    def _said(self) -> Iterator[dict[str, str]]:
        """What each paragraph says; of one in `status.d`, which tells no state, also `file`: its name."""
        for paragraph in paragraphs(self._text("status") or ""):
            yield {"status": "", **_said(paragraph)}
        for name in self._names("status.d"):
            if not name.endswith(_SUMS):
                for paragraph in paragraphs(self._text(f"status.d/{name}") or ""):
                    yield {"status": _WHOLE, **_said(paragraph), "file": name}

    def _names(self, folder: str) -> list[str]:
        """What is in a folder, in order; nothing where there is none."""
        try:
            return names(self._root, f"{_FOLDER}/{folder}", 2 * MOST_PACKAGES)
        except Broken as error:
            self.unread.append(f"{folder}: {error.reason}")
            return []

    def files(self, package: Metadata) -> list[str]:
        """The files of a package, where no other one has taken that list."""
        apart = self._apart.get((package.name or "", package.architecture or ""))
        if apart is not None:
            sums = self._lines(f"status.d/{apart}{_SUMS}") or []
            return [f"/{path}" for _, space, path in (line.partition("  ") for line in sums) if space]
        for name in (f"{package.name}:{package.architecture}", package.name or ""):
            if name not in self._lists:
                lines = self._lines(f"info/{name}.list")
                if lines is not None:
                    self._lists.add(name)
                    return lines
        self.unread.append(f"{package.name}: no list of its files")
        return []

    def diversions(self) -> Iterator[tuple[str, str, str]]:
        """Three lines each: the path, where another package's file of that name lies now, and whose the path is."""
        lines = self._lines("diversions") or []
        yield from zip(lines[::3], lines[1::3], lines[2::3], strict=False)

    def _lines(self, name: str) -> list[str] | None:
        text = self._text(name)
        if text is not None and text.count("\n") > Limits().members:
            self.unread.append(f"{name}: has more than {Limits().members} lines")
            return None
        return None if text is None else text.split("\n")[: -1 if text.endswith("\n") else None]

    def _text(self, name: str) -> str | None:
        """None where there is none, or where it cannot be read."""
        try:
            data = content(self._root, f"{_FOLDER}/{name}", min(_LARGEST, self._left))
        except Broken as error:
            self.unread.append(f"{name}: {error.reason}")
            return None
        if data is None:
            return None
        self._left -= len(data)
        return data.decode("utf-8", "surrogateescape")


def _said(paragraph: str) -> dict[str, str]:
    """What is wanted of the fields of a package, by their names in lower case."""
    said: dict[str, str] = {}
    for line in paragraph.split("\n"):
        name, colon, value = line.partition(":")
        if colon and name.lower() in _FIELDS:
            said.setdefault(name.lower(), value.strip().encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    return said


def _metadata(said: dict[str, str]) -> Metadata:
    source, _, version = said.get("source", said["package"]).partition(" ")  # deb-control(5): `glibc (2.36-9)`
    return Metadata(
        name=said["package"],
        version=said.get("version"),
        architecture=said.get("architecture"),
        source=source,
        source_version=version.strip("() ") or None,
    )
