"""What a release brings along: the libraries of a start that are part of what is judged, and not of its machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import msgspec

from linkscope.policy.searchpaths import build_folder

if TYPE_CHECKING:
    from linkscope.loader.linkmap import Finding, Loaded
    from linkscope.loader.program import Start
    from linkscope.loader.system import System

_BY_THE_RELEASE = ("rpath", "runpath", "path")
_ORIGIN = ("$ORIGIN", "${ORIGIN}")
_HWCAPS = "/glibc-hwcaps/"


class Release(msgspec.Struct, frozen=True):
    """What is judged as a whole.

    bundle: the folder of this machine in which a package was unpacked. top: the folder that was named, as seen from
    inside; None for a file that was named itself. rooted: a root was named, so that all is where it will be.
    """

    bundle: str | None
    top: str | None
    rooted: bool


def brought_along(system: System, started: Start, release: Release) -> list[Loaded]:
    """The libraries that RELEASE brings along for a start, in link-map order.

    Of a package or folder these are the ones that lie in it. A file that is named by itself brings what it finds from
    its own place ($ORIGIN), and what that finds in the same way. All else is there only because this machine has it.
    """
    at = _At(system, started, release)
    found: dict[Loaded, None] = {}
    parts = {started.link_map.main.path}
    found_one = True
    while found_one:  # a library stands before the one that brings it where it is a filtee
        found_one = False
        for one in started.link_map.objects:
            if one not in found and at.brings(one, parts):
                found[one] = None
                parts.add(one.path)
                found_one = True
    return [one for one in started.link_map.objects if one in found]


def refused(system: System, started: Start, release: Release) -> frozenset[str]:
    """The paths of files of RELEASE at which a search ended, since the loader refuses them."""
    at = _At(system, started, release)
    parts = {started.link_map.main.path, *(one.path for one in brought_along(system, started, release))}
    return frozenset(
        one.refusal.path
        for one in started.link_map.objects
        if one.refusal is not None and one.refusal.path is not None and at.holds_refused(one, one.refusal.path, parts)
    )


class _At:
    """Where the parts of one release lie."""

    def __init__(self, system: System, started: Start, release: Release) -> None:
        self._system = system
        self._release = release
        self._bundle = release.bundle and release.bundle + "/"
        self._top = None if release.top is None else self._real(release.top).rstrip("/") + "/"
        rules = started.rules
        self._system_folders = self._real_folders(rules.system_folders) if rules else frozenset[str]()

    def brings(self, loaded: Loaded, parts: set[str | None]) -> bool:
        """Whether a library is one of the release's. parts: the paths of its objects that are known so far."""
        finding = loaded.finding
        if loaded.role != "library" or loaded.image is None or finding is None or finding.candidate is None:
            return False
        return self._holds(loaded, finding, finding.candidate.location, parts)

    def holds_refused(self, loaded: Loaded, path: str, parts: set[str | None]) -> bool:
        """Whether the file at PATH, at which the search for a library ended, is one of the release's."""
        finding = loaded.finding
        if loaded.role != "library" or finding is None:
            return False
        try:
            location = self._system.root.locate(path)
        except (OSError, ValueError):
            return False
        return self._holds(loaded, finding, location, parts)

    def _holds(self, loaded: Loaded, finding: Finding, location: str, parts: set[str | None]) -> bool:
        if self._bundle is not None:
            return location.startswith(self._bundle)
        written = loaded.requested if finding.found_by == "path" else finding.element or ""
        place = os.path.realpath(location)
        if self._top is None:
            asker = loaded.parent.path if finding.found_by == "path" and loaded.parent else finding.of
            held = finding.found_by in _BY_THE_RELEASE and written.startswith(_ORIGIN) and asker in parts
        elif finding.found_by == "LD_LIBRARY_PATH":  # that of an option: the caller's own does not count
            held = place.startswith(self._top)
        else:
            held = finding.found_by in _BY_THE_RELEASE and self._stays(written) and place.startswith(self._top)
        return held and _folder_of(place) not in self._system_folders

    def _stays(self, written: str) -> bool:
        """Whether what is WRITTEN leads to the same file of the release wherever that is unpacked and started.

        A fixed folder does if the release is to be unpacked there, which is not so of one that builds use.
        """
        if written.startswith(_ORIGIN):
            return True
        return written.startswith("/") and (self._release.rooted or build_folder(written) is None)

    def _real(self, folder: str) -> str:
        """Where a folder lies on this machine, without symlinks; one that is not there has no files."""
        try:
            return os.path.realpath(self._system.root.locate(folder))
        except (OSError, ValueError):
            return folder

    def _real_folders(self, folders: frozenset[str]) -> frozenset[str]:
        known = cast("dict[frozenset[str], frozenset[str]]", self._system.memory.setdefault("real folders", {}))
        if folders not in known:
            known[folders] = frozenset(map(self._real, folders))
        return known[folders]


def _folder_of(place: str) -> str:
    """The folder that is searched for the file at PLACE: glibc looks into glibc-hwcaps below it first."""
    return place.partition(_HWCAPS)[0] if _HWCAPS in place else os.path.dirname(place)
