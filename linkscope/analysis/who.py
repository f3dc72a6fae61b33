"""`linkscope who`: which files and processes hold a library, as a shared one or inside themselves."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

import msgspec

from linkscope.analysis.circumstances import Place, place, system_for
from linkscope.analysis.division import divided
from linkscope.analysis.holding import Held, Holding
from linkscope.analysis.inside import Insides, Search
from linkscope.analysis.inspect import error_of
from linkscope.analysis.release import Member, answer, parts_of
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.sought import Sought, is_nobodys, sought
from linkscope.contents.upstream import key, semantic_key
from linkscope.elf.reader import open_reader
from linkscope.errors import BadAssumption, FileUnreadable, StoreUnusable
from linkscope.loader.system import System
from linkscope.model.document import AnalysisError, text
from linkscope.model.inspect import File
from linkscope.model.who import Match, WhoDocument, WhoSummary

_AS_IT_IS = Assumptions()
_USUAL = Search()
_SEMANTIC = frozenset(("go", "cargo"))
_ELF = b"\x7fELF"
_GO_ITSELF = "stdlib"  # its releases are 1.22rc1, 1.22.0, and not after semver.org


def who(
    name: str,
    paths: Sequence[str] = (),
    assumptions: Assumptions = _AS_IT_IS,
    *,
    processes: bool | None = None,
    older_than: str | None = None,
    search: Search = _USUAL,
) -> WhoDocument:
    """All of PATHS that hold the library NAME, and the running processes that do, in one document.

    processes: whether those are asked, too; None: only where there are no PATHS. older_than: only what is below that
    version, or may be. search: how files are searched. Raises RootUnusable, BadAssumption and StoreUnusable.
    """
    asked = processes if processes is not None else not paths
    results = list(who_of(name, paths, assumptions, older_than, search=search))
    if asked:
        results += who_runs(name, older_than, search)
    return document(name, results, older_than, assumptions, search)


def who_of(
    name: str,
    paths: Iterable[str],
    assumptions: Assumptions,
    older_than: str | None = None,
    workers: int = 1,
    *,
    search: Search = _USUAL,
) -> Iterator[Held | AnalysisError]:
    """One answer for each file of PATHS (see `release.parts_of`), in their order, made when asked for.

    After the files of a folder come the ELF files elsewhere to which symlinks below it lead, each under the first name.
    So does a file come that several folders hold, one in another or one of them a symlink, as /bin and /usr/bin are.

    workers: processes among which many files are divided, for a caller without other threads. Raises BadAssumption
    and RootUnusable.
    """
    question = _Question(sought(name, system_for(assumptions)), Bound(older_than), search)
    return _each(question, paths, assumptions, workers)


def _each(
    question: _Question, paths: Iterable[str], assumptions: Assumptions, workers: int
) -> Iterator[Held | AnalysisError]:
    named = _Named(paths, system_for(assumptions))
    with ExitStack() as opened:
        for part in parts_of(named.with_links(), assumptions, Depth(), opened):
            files = [one for one in part.files if not named.has_links(one) and not named.was_met(one)]
            yield from divided(question, files, workers)


def who_runs(name: str, older_than: str | None = None, search: Search = _USUAL) -> Iterator[Held | AnalysisError]:
    """One answer for each process that is there now. Raises BadAssumption and NoProcfs."""
    from linkscope.analysis.running import Running  # most questions are about files

    bound = Bound(older_than)
    for held in Running(sought(name, system_for(_AS_IT_IS)), search).each():
        yield msgspec.structs.replace(held, matches=bound.kept(held.matches)) if isinstance(held, Held) else held


def document(
    name: str,
    results: Iterable[Held | AnalysisError],
    older_than: str | None,
    assumptions: Assumptions = _AS_IT_IS,
    search: Search = _USUAL,
) -> WhoDocument:
    """RESULTS of one run in one document. A path at which nothing stands, and that nobody has mapped, is an error."""
    every = list(results)
    held = [one for one in every if isinstance(one, Held)]
    matches = [match for one in held for match in one.matches]
    closed = [one.closed for one in held if one.closed is not None]
    errors = [one for one in every if isinstance(one, AnalysisError)]
    system = system_for(assumptions)
    what = sought(name, system)
    if what.path is not None and not matches and not system.mode(what.path):
        errors.append(error_of(name, os.strerror(errno.ENOENT).lower()))
    return WhoDocument(
        name=text(name),
        older_than=older_than,
        matches=matches,
        packed=list(dict.fromkeys(one.packed for one in held if one.packed is not None)),
        closed=closed,
        summary=WhoSummary(
            files=sum(not one.process for one in held),
            processes=sum(one.process and one.closed is None and not one.unsteady for one in held),
            closed=len(closed),
            unsteady=sum(one.unsteady for one in held),
            unsure=sum(one.unsure for one in held),
            by_texts=sum(one.by_texts for one in held),
            unknown_code=sum(one.unknown > 0 for one in held),
            unknown_bytes=sum(one.unknown for one in held),
            names_only=what.path is None and _by_names_only(what, search),
        ),
        errors=errors,
    )


def _by_names_only(what: Sought, search: Search) -> bool:
    """Whether nothing is known of the library by which it could be found inside of a file."""
    if what.names is not None:
        return not what.names
    try:
        return is_nobodys(what.name, search.store, search.shipped)
    except StoreUnusable:  # whoever searches by it is told
        return False


class Bound:
    """The version below which is asked. Raises BadAssumption where that is none."""

    def __init__(self, version: str | None) -> None:
        self._version = version
        if version is not None and key(version) is None:
            raise BadAssumption(version, "is no version: it has to begin with a number")

    def kept(self, matches: Iterable[Match]) -> list[Match]:
        """Those of MATCHES that are older, and those of which that cannot be told, marked so."""
        if self._version is None:
            return list(matches)
        judged = ((match, self._is_older(match)) for match in matches)
        return [
            msgspec.structs.replace(match, older="unknown" if older is None else "yes")
            for match, older in judged
            if older is not False
        ]

    def _is_older(self, match: Match) -> bool | None:
        semantic = match.ecosystem in _SEMANTIC and match.name != _GO_ITSELF
        order = semantic_key if semantic else key
        least, found = order(self._version or ""), order(match.version or "")
        return None if least is None or found is None else found < least


class _Named:
    """What the caller named, each folder once, and the symlinks below its folders that lead to ELF files elsewhere.

    The walk leaves these out, so that a release counts no file of the machine as its own. But who asks what in /usr/bin
    holds a library means /usr/bin/java, too, which is such a link.
    """

    def __init__(self, paths: Iterable[str], system: System) -> None:
        self._paths = list(paths)
        self._system = system
        self._with_links: set[str] = set()
        self._seen: set[tuple[int, int]] = set()
        self._met: set[str] = set()
        reals = {self._real(path) for path in self._paths}
        self._reals = {real for real in reals if real is not None}
        self._folders = tuple(f"{real.rstrip('/')}/" for real in self._reals if system.is_directory(real))

    def with_links(self) -> Iterator[str]:
        """Each path, and behind a folder the symlinks. The same folder under another name is left out."""
        entered: set[str] = set()
        for path in self._paths:
            real = self._real(path)
            is_folder = real is not None and f"{real.rstrip('/')}/" in self._folders
            if real is None or not is_folder or real not in entered:
                yield path
            if real is not None and is_folder and real not in entered:
                entered.add(real)
                where = place(path, self._system)
                for link in self._links(where):
                    self._with_links.add(text(where.shown))
                    yield link

    def _real(self, path: str) -> str | None:
        """The file or folder at PATH, without symlinks; None where there is none, or no file can have such a name."""
        try:
            return self._system.realpath(place(path, self._system).inside, "/") if path else None
        except ValueError:
            return None

    def has_links(self, one: Member | AnalysisError) -> bool:
        """Whether ONE is the error of a folder itself, that nothing is in it, though there are such symlinks."""
        return isinstance(one, AnalysisError) and one.path in self._with_links

    def was_met(self, one: Member | AnalysisError) -> bool:
        """Whether ONE is a file below a folder that another path led to before; to be asked of each once, in turn."""
        if isinstance(one, AnalysisError) or one.bundle is not None or len(self._paths) == 1:
            return False
        try:
            real = self._system.realpath(one.where.inside, "/")
        except ValueError:  # no file has such a name
            return False
        if real is not None and one.top is not None and real in self._met:
            return True
        self._met.update([real] if real is not None else ())
        return False

    def _links(self, folder: Place) -> Iterator[str]:
        from linkscope.inventory.walk import names_below  # one file does not need it

        location = self._system.root.locate(folder.inside)
        for found in names_below(location):
            if os.path.islink(found):
                name = os.path.relpath(found, location)
                if self._leads_out(os.path.join(folder.inside, name)):
                    yield os.path.join(folder.shown, name)

    def _leads_out(self, link: str) -> bool:
        """Whether LINK leads to an ELF file that is not met otherwise. Like the walk, not to /proc and the like."""
        real = self._system.realpath(link, "/")
        if real is None or real in self._reals or real.startswith(self._folders):
            return False
        try:
            location = self._system.root.locate(real)
            status = os.stat(location)
            if not stat.S_ISREG(status.st_mode) or not os.statvfs(location).f_blocks:
                return False
            identity = (status.st_dev, status.st_ino)
            if identity in self._seen:
                return False
            self._seen.add(identity)
            with open_reader(location, real, self._system.root.open) as reader:
                return reader.head.startswith(_ELF)
        except FileUnreadable:
            return True  # examining it tells why
        except (OSError, ValueError):
            return False


def _package(member: Member) -> Place | None:
    """Where the package lies that a file is from, and how its files' names begin in answers.

    None for a file of none, and for one of a package that counts as installed: its libraries are where they will be.
    """
    if member.bundle is None or member.top is None or member.top == "/":
        return None
    name = member.where.inside.removeprefix(f"{member.top}/")
    return Place(member.top, member.where.shown.removesuffix(name))


class _Question:
    """What is asked of each file."""

    kinds: tuple[type[Held | AnalysisError], ...] = (Held, AnalysisError)

    def __init__(self, what: Sought, bound: Bound, search: Search) -> None:
        self._what = what
        self._bound = bound
        self._insides = Insides(what.names, search)

    def answer(self, item: Member | AnalysisError) -> Held | AnalysisError:
        """What one file holds, or why that cannot be told."""
        if isinstance(item, AnalysisError):
            return item
        return answer(item, lambda subject: self._held(subject.file, item))

    def _held(self, file: File, member: Member) -> Held:
        where, system = member.where, member.run.system
        held = Holding(self._what, self._insides, file, where, system, _package(member)).held()
        return msgspec.structs.replace(held, matches=self._bound.kept(held.matches))

    def share(self, item: Member | AnalysisError) -> int:
        """Equal for the names of one file."""
        return 0 if isinstance(item, AnalysisError) else item.run.share_of(item.where)

    def lost(self, item: Member | AnalysisError, reason: str) -> AnalysisError:
        """What is said of a file whose process ended."""
        return item if isinstance(item, AnalysisError) else error_of(item.where.shown, reason)
