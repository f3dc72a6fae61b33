"""In what way one file holds a library: by itself, by its closure, by what it declares to open."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

import msgspec

from linkscope.analysis.circumstances import Place
from linkscope.analysis.inside import Insides, Look
from linkscope.analysis.sought import Sought
from linkscope.loader.system import System
from linkscope.model.document import text
from linkscope.model.inspect import ClosureEntry, Content, Dlopen, File
from linkscope.model.who import Closed, How, Match, VersionFrom

# A soname with three numbers is a whole version (libboost_system.so.1.74.0); libtool's have one, and name a series.
_WITH_CODE = ("executable", "shared-library", "interpreter")
_WHOLE = re.compile(r"\.so\.(\d+\.\d+\.\d+)$")


class Held(msgspec.Struct, frozen=True):
    """What one file or process holds. packed: the path of the file, where it is packed and was not looked into.

    process: it is one. closed: what is known of a process that the caller may not look into. unsteady: one that became
    another program each time that it was looked at. by_texts, unknown: of a file without a match, whether its machine
    code was not looked at, and how many bytes of it no library accounts for that is known. unsure: of one with a match,
    whether its version may be told by machine code that was not looked at.
    """

    matches: list[Match]
    packed: str | None = None
    process: bool = False
    closed: Closed | None = None
    unsteady: bool = False
    by_texts: bool = False
    unknown: int = 0
    unsure: bool = False


class Version(msgspec.Struct, frozen=True):
    """The version of a library, as far as it is told. source: None where it is not. content: by which it is proven."""

    number: str | None = None
    source: VersionFrom | None = None
    name: str | None = None
    content: Content | None = None


class Holding:
    """One file, its closure, and in what way they hold the library."""

    def __init__(
        self, what: Sought, insides: Insides, file: File, where: Place, system: System, package: Place | None = None
    ) -> None:
        """PACKAGE: where the unpacked package with the file lies, and how the names of its files begin in answers."""
        self._package = package
        self._what = what
        self._insides = insides
        self._file = file
        self._where = where
        self._system = system
        self._by_path = {entry.path: entry for entry in file.closure if entry.path is not None}

    def matches(self) -> list[Match]:
        """Every way, the file itself first."""
        shared = self.shared()
        other = beside([self._version(entry.realpath or self._brought(entry), entry.soname) for entry in shared])
        found = list(self._itself(other))
        for entry in self._file.closure:
            found += [self._shared(entry, other)] if entry in shared else self._within(entry)
        return [*found, *self._opened()]

    def shared(self) -> list[ClosureEntry]:
        """What of the closure is the library, or one of its project."""
        shared = [entry for entry in self._file.closure if self._is_it(entry)]
        if any(entry.found_by != "interpreter" for entry in shared) and self._what.by_project:
            shared = [entry for entry in shared if entry.found_by != "interpreter"]  # a part of the C library, again
        return shared

    def declared(self) -> list[tuple[str, Dlopen]]:
        """What the file says that it opens itself while it runs, as far as it is the library, with its soname."""
        found = []
        for one in self._file.dlopen:
            real = self._system.realpath(one.found, "/") if one.found else None
            if self._what.is_called((*one.soname, _basename(one.found))) or self._what.is_at((one.found, real)):
                soname = next((name for name in one.soname if self._what.is_called((name,))), one.soname[0])
                found.append((soname, one))
        return found

    def held(self) -> Held:
        """The same with how far it was looked for in the file. Raises CannotUnpack where that was asked for."""
        matches = self.matches()
        look = self._insides.look_at(self._where.inside, self._system)
        if look is not None and look.failure is not None:
            raise look.failure
        packed = any(problem.code == "packed" for problem in self._file.problems)
        packed = packed and not (look is not None and look.unpacked)
        if packed or matches or self._what.path is not None:
            return Held(matches, self._file.path if packed else None, unsure=not packed and self._is_unsure(matches))
        if look is None or self._what.names == frozenset():
            return Held(matches)
        return Held(matches, by_texts=not look.by_code and self._file.kind in _WITH_CODE, unknown=look.unknown)

    def _is_unsure(self, matches: list[Match]) -> bool:
        """Whether machine code that was not looked at may tell the version that one of MATCHES lacks."""
        places: dict[str | None, str] = {None: self._where.inside, self._shown(self._file.path): self._where.inside}
        places |= {self._shown(one.path): one.realpath for one in self._file.closure if one.realpath is not None}
        for match in matches:
            place = places.get(match.library)
            if match.version is None and place is not None:
                look = self._insides.look_at(place, self._system)
                if self._insides.may_tell_more(look, (match.name, *self._what.projects)):
                    return True
        return False

    def _itself(self, other: Version | None) -> Iterator[Match]:
        """The file is the library, or has it inside. OTHER: the version of another one of the project."""
        file, what = self._file, self._what
        look = self._insides.look_at(self._where.inside, self._system) or Look([])
        found = []
        if self.is_library():
            version = version_of(what, look.contents, file.soname)
            version = other if version.number is None and other is not None else version
            found.append(self._match("inside", None, version, [file.path], soname=file.soname, itself=True))
        elif not what.is_part(file.soname):
            held = filter(what.is_inside, look.contents)
            found += [self._match("inside", None, told_by(one), [file.path], ecosystem=one.ecosystem) for one in held]
        for match in found:
            yield msgspec.structs.replace(match, unpacked=look.unpacked)

    def is_library(self) -> bool:
        """Whether the file is the library, by its path or by what it is called."""
        file, what = self._file, self._what
        if what.path is not None:
            return what.is_at((self._where.inside, self._system.realpath(self._where.inside, "/")))
        if file.kind not in ("shared-library", "interpreter"):
            return False
        own = file.soname or file.path.rpartition("/")[2]
        called = what.is_called((own, file.path.rpartition("/")[2]))
        return called and not self._is_another(own, self._where.inside)

    def _within(self, entry: ClosureEntry) -> Iterator[Match]:
        """A library of the closure that is another one has it inside."""
        if entry.realpath is None or self._what.path is not None or self._what.is_part(entry.soname):
            return
        look = self._insides.look_at(entry.realpath, self._system) or Look([])
        for content in filter(self._what.is_inside, look.contents):
            path = self._shown(entry.path)
            via = [*self._chain(entry), path or entry.requested]
            match = self._match("inside", path, told_by(content), via, ecosystem=content.ecosystem)
            yield msgspec.structs.replace(match, unpacked=look.unpacked)

    def _is_it(self, entry: ClosureEntry) -> bool:
        what = self._what
        if what.path is not None:
            return what.is_at((entry.path, entry.realpath))
        if not what.is_called((entry.soname, *map(_basename, (entry.requested, entry.path, entry.realpath)))):
            return False
        return entry.realpath is None or not self._is_another(entry.soname, entry.realpath)

    def _is_another(self, soname: str, path: str) -> bool:
        """Whether the file at PATH, which is called as the library is, is another project's after all."""
        what, insides = self._what, self._insides
        if not what.by_project or any(map(what.tells, insides.of_path(path, self._system) or ())):
            return False
        return what.is_another(soname, insides.of_everything.of_path(path, self._system) or [])

    def _version(self, realpath: str | None, soname: str) -> Version:
        held = self._insides.of_path(realpath, self._system) if realpath else None
        return version_of(self._what, held or (), soname)

    def _shared(self, entry: ClosureEntry, other: Version | None) -> Match:
        """A library of the closure that is the one looked for. OTHER: the version of one beside it."""
        brought = None if entry.path is not None else self._brought(entry)
        if brought is not None:
            told = self._version(brought, entry.soname)
            version = msgspec.structs.replace(told, source=None if told.number is None else "beside")
        else:
            version = self._version(entry.realpath, entry.soname)
        version = other if version.number is None and other is not None else version
        how: How = "needed" if entry.requested in self._file.needed else "indirect"
        path = self._shown(entry.path or brought)
        return self._match(how, path, version, self._chain(entry), soname=entry.soname, beside=brought is not None)

    def _brought(self, entry: ClosureEntry) -> str | None:
        """The file that lies beside what asks for ENTRY, which the loader does not find from here.

        So are the libraries of a wheel, without a search path of their own: the module that is loaded first finds them
        all, and by then they are mapped under these names. Nothing is loaded before a program.
        """
        if self._file.kind != "shared-library" or "/" in entry.requested:
            return None
        for asker in entry.needed_by:
            between = self._by_path.get(asker)
            path = self._where.inside if between is None else between.realpath
            real = path and self._system.realpath(os.path.join(os.path.dirname(path), entry.requested), "/")
            if real and not self._is_another(entry.soname, real):
                return real
        return None

    def _shown(self, path: str | None) -> str | None:
        """How the library at PATH is called in answers: without `..`, and as the other files of the same package."""
        if path is None:
            return None
        plain, real = os.path.normpath(path), self._system.realpath(path, "/")
        if real is not None and self._system.realpath(plain, "/") != real:
            plain = real  # a symlink stands before the `..`
        package = self._package
        if package is None or not plain.startswith(f"{package.inside}/"):
            return plain
        return package.shown + plain.removeprefix(f"{package.inside}/")

    def _chain(self, entry: ClosureEntry) -> list[str]:
        """The shortest way from the file to what asks for ENTRY; the environment alone asks for a preload."""
        chain: list[str] = []
        while True:
            askers = [self._by_path.get(asker) for asker in entry.needed_by]
            between = [asker for asker in askers if asker is not None and asker.depth < entry.depth]
            if not between or None in askers:  # the file itself asks
                return [self._file.path, *reversed(chain)]
            entry = min(between, key=lambda asker: asker.depth)
            chain.append(self._shown(entry.path) or entry.requested)

    def _opened(self) -> Iterator[Match]:
        for soname, one in self.declared():
            real = self._system.realpath(one.found, "/") if one.found else None
            version = self._version(real, soname)
            yield self._match("dlopen", self._shown(one.found), version, [self._file.path], soname=soname)

    def _match(
        self,
        how: How,
        library: str | None,
        version: Version,
        via: list[str],
        *,
        soname: str | None = None,
        itself: bool = False,
        beside: bool = False,
        ecosystem: str | None = None,
    ) -> Match:
        match = Match(
            path=self._file.path,
            path_bytes=self._file.path_bytes,
            pid=None,
            how=how,
            library=None if library is None else text(library),
            beside=beside,
            version=version.number,
            via=via,
            name=soname or text(self._what.name),
            soname=soname,
            ecosystem=ecosystem,
            itself=itself,
        )
        return in_version(match, version)


def in_version(match: Match, version: Version) -> Match:
    """MATCH with what tells the version of what was found, and with what proves it."""
    content = version.content
    return msgspec.structs.replace(
        match,
        name=version.name or match.name,
        version_from=version.source,
        evidence=list(content.evidence) if content else [],
        proof=content.proof if content else None,
        absent_code=list(content.absent_code) if content else [],
    )


def version_of(what: Sought, held: Iterable[Content], soname: str | None) -> Version:
    """The version of the library itself, by what its file HELD, else by its soname."""
    for content in held:
        if what.tells(content):
            return told_by(content)
    whole = _WHOLE.search(soname or "")
    if whole is not None and not what.libraries:  # OpenSSL 1.0.2u was called libssl.so.1.0.0: a known one tells itself
        return Version(whole[1], "soname")
    return Version(name=what.libraries[0].name if len(what.libraries) == 1 else None)


def told_by(content: Content) -> Version:
    """The version that CONTENT has."""
    source: VersionFrom | None = None if content.version is None else "contents"
    return Version(content.version, source, content.name, content)


def beside(versions: Iterable[Version]) -> Version | None:
    """What holds for the libraries of one project that do not tell their version: libssl's is that of libcrypto.

    None where those beside it tell none, or not the same.
    """
    told = {version.number: version for version in versions if version.source == "contents"}
    if len(told) != 1:
        return None
    (version,) = told.values()
    return Version(version.number, "beside", version.name, version.content)


def _basename(path: str | None) -> str | None:
    return None if path is None else os.path.basename(path)
