"""The rules of musl's loader: what a name leads to.

Source: musl ldso/dynlink.c (load_library, path_open, fixup_rpath, decode_dyn, map_library) of 1.1.19 and later;
observed on 1.2.3. It looks at no DT_SONAME, version, cache or hardware capability, and knows no filter and no audit.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.reader import open_reader
from linkscope.elf.symbols import dynamic_table, read_symbols
from linkscope.errors import LinkScopeError, NotElf
from linkscope.loader.linkmap import Finding, LinkMap, Loaded, Refusal, Watch
from linkscope.loader.root import Root
from linkscope.loader.system import Candidate, System
from linkscope.model.inspect import FoundBy

if TYPE_CHECKING:
    from linkscope.loader.musl_ldso import MuslFacts

# Libraries that musl's libc.so contains: a name that begins so means the loader itself, `libm.so.6` included.
_RESERVED = tuple(f"lib{name}." for name in "c pthread rt m dl util xnet".split())
# What makes a file a C library (musl's or glibc's), which is never loaded beside the loader (since 1.1.17).
_LIBC_SYMBOLS = ("__libc_start_main", "stdin")

_NAME_MAX = 255
_PATH_ROOM = 2 * _NAME_MAX + 2  # the buffer that paths are made in, with the NUL; a path that does not fit is no path
_ORIGIN_ROOM = 512  # bytes that fixup_rpath has for what /proc/self/exe says
_PASSED_OVER = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG)
_PAGE = 4096
# musl src/errno/__strerror.h: the loader's own words.
_WORDS = {
    errno.EISDIR: "Is a directory",
    errno.ELOOP: "Symbolic link loop",
    errno.ENOEXEC: "Exec format error",
    errno.EBUSY: "Resource busy",
    errno.ENXIO: "No such device or address",
}
_KNOWS_RELR = (1, 2, 4)


class Folder(msgspec.Struct, frozen=True):
    """One element of a search list. prefix: what stands before `/` and the name; element: as written in the tag.

    of: the path of the object whose tag names it, None for the variable and the system's path.
    """

    prefix: str
    element: str
    of: str | None


class SearchList(msgspec.Struct, frozen=True):
    """The folders that one tag, variable or file names, in order."""

    source: FoundBy
    folders: tuple[Folder, ...]


class Musl:
    """The loader of one start: its facts, its environment, and the search lists made of them."""

    dependency_tags = frozenset((c.DT_NEEDED,))

    def __init__(
        self,
        system: System,
        facts: MuslFacts,
        image: Image,
        main: Loaded,
        ldso: Loaded,
        *,
        cwd: str,
        secure: bool,
        library_path: str | None,
    ) -> None:
        self.system = system
        self.main = main
        self.ldso = ldso
        self.cwd = cwd
        self.secure = secure
        self.layout = image.layout
        old = facts.version is not None and facts.version < _KNOWS_RELR
        self.without_relr = f"musl {'.'.join(map(str, facts.version or ()))}" if old else None
        self.library_path = SearchList("LD_LIBRARY_PATH", _folders(library_path or "", None))
        self.system_path = SearchList("default", _folders(self._system_path(facts), None))
        self._mapped: set[tuple[int, int]] = set()
        self._fixed: list[tuple[int, int]] = []
        # What a search gives depends on these alone, and on the lists of the objects that led to it.
        key = ("musl", self.layout.word, self.layout.order)
        self._memory = system.memory.setdefault(key, {})

    def _system_path(self, facts: MuslFacts) -> str:
        """The search path that stands last: the path file's, else the one that the loader was built with.

        The file is looked for below the prefix of the loader's name (PT_INTERP, or what it was called by), which is
        what stands before its last two components. Only where it is absent does the default count; one that cannot be
        read is an empty path.
        """
        name = self.ldso.requested
        prefix = name.rpartition("/")[0].rpartition("/")[0] if name.startswith("/") else ""
        path = prefix + facts.path_file
        if self.system.candidate(path, self.cwd).errno == errno.ENOENT:
            return facts.default_path
        content = self.system.read_small(path) or b""
        return os.fsdecode(content.split(b"\0", 1)[0])

    # -- names ------------------------------------------------------------------------------------------------------

    def origin_of(self, program: str) -> str | None:
        """The folder of the file that /proc/self/exe leads to."""
        return origin_of(self.system, program, self.cwd)

    def expand_name(self, name: str, tag: int, requester: Loaded) -> str | Refusal | None:  # noqa: ARG002 (one tag only)
        """A name has no tokens. Nothing that the loader itself needs is loaded."""
        if requester is self.ldso:
            return None
        return name or Refusal(None, "Invalid argument")

    def loaded_as(self, name: str, link_map: LinkMap) -> Loaded | None:
        """The loader, for its own name and those of the libraries in it; else what was found for the same name."""
        if name in self.ldso.names or name.startswith(_RESERVED):
            return self.ldso
        return None if "/" in name else link_map.answer_to(name)

    def same_file(self, name: str, candidate: Candidate, link_map: LinkMap) -> Loaded | None:
        """Device and inode of what was loaded by the loader; and for another C library, the loader itself.

        An object that was loaded by a path gets its name now, if a search has led to it: the last part of that path.
        """
        same = link_map.by_identity.get(candidate.identity)
        if same is not None:
            if "/" not in name and not same.names:
                link_map.give_name(same, (same.path or "").rpartition("/")[2])
            return same
        return self.ldso if self._is_libc(candidate) else None

    def admit(self, loaded: Loaded, link_map: LinkMap) -> None:
        """Only what was searched for has a name, the one it was searched by; DT_SONAME does not count."""
        image = loaded.image
        if image is None:
            return
        if image.type == c.ET_EXEC:
            self._fixed.append(_extent(image))
        if loaded.role in ("library", "preload"):
            loaded.identity = image.identity
            self._mapped.add(image.identity)
            link_map.by_identity.setdefault(image.identity, loaded)
            loaded.origin = (loaded.path or "").rpartition("/")[0]
            if "/" not in loaded.requested:
                link_map.give_name(loaded, loaded.requested)

    # -- search -----------------------------------------------------------------------------------------------------

    def search(self, name: str, requester: Loaded | None, watch: Watch | None = None) -> Finding:
        """load_library from the point where NAME is not loaded yet. Results are remembered across programs.

        requester: None for a preload, which nothing asks for. watch: told of every step, for `why`.
        """
        if "/" in name:
            return self._open(name, requester, watch)
        if len(os.fsencode(name)) > _NAME_MAX:
            return Finding(None, None)
        lists = self.lists(requester)
        relative = any(not folder.prefix.startswith("/") for one in lists for folder in one.folders)
        key = (name, lists, self.cwd if relative else None)
        finding = self._memory.get(key) if watch is None else None
        if not isinstance(finding, Finding):
            finding = self._memory[key] = self._search_lists(name, lists, watch)
        return self._unless_occupied(finding)

    def lists(self, requester: Loaded | None) -> tuple[SearchList, ...]:
        """All search lists that count for REQUESTER's names, in order.

        Its own RPATH or RUNPATH, the one of the object that asked for it first, and so on up: both are inherited.
        """
        found = [self.library_path]
        at = requester
        while at is not None:
            found.append(self.own_list(at))
            at = at.parent
        return (*(one for one in found if one.folders), self.system_path)

    def own_list(self, loaded: Loaded) -> SearchList:
        """What an object's own RPATH or RUNPATH names. decode_dyn: DT_RUNPATH takes the place of DT_RPATH."""
        known = loaded.rules_memory
        if isinstance(known, SearchList):
            return known
        rpath, runpath = (loaded.image.rpath, loaded.image.runpath) if loaded.image else (None, None)
        text = rpath if runpath is None else runpath
        made = SearchList("rpath" if runpath is None else "runpath", self._expanded(text or "", loaded))
        loaded.rules_memory = made
        return made

    def own_folders(self, loaded: Loaded) -> tuple[Folder, ...]:
        """What an object's own RPATH or RUNPATH names, as far as the loader honours it."""
        return self.own_list(loaded).folders

    @property
    def system_folders(self) -> frozenset[str]:
        """The system path, from its file or as musl was built."""
        return frozenset(folder.prefix.rstrip("/") for folder in self.system_path.folders)

    def _expanded(self, text: str, owner: Loaded) -> tuple[Folder, ...]:
        """fixup_rpath: $ORIGIN replaced in the whole text, which is split only then; void with any other `$` in it.

        A token needs no end ($ORIGINAL is the origin and `AL`). In secure execution the program's own tokens void its
        path, and so does an origin that is no absolute path.
        """
        if "$" not in text:
            return _folders(text, owner.path)
        origin = owner.origin
        if origin is None or (self.secure and (owner is self.main or not origin.startswith("/"))):
            return ()
        first, *rest = text.split("$")
        parts = [first]
        for part in rest:
            token = next((token for token in ("ORIGIN", "{ORIGIN}") if part.startswith(token)), None)
            if token is None:
                return ()
            parts += [origin, part[len(token) :]]
        return _folders("".join(parts), owner.path, text)

    def _search_lists(self, name: str, lists: tuple[SearchList, ...], watch: Watch | None) -> Finding:
        for source, folder in ((one.source, folder) for one in lists for folder in one.folders):
            path = f"{folder.prefix}/{name}"
            candidate = self._candidate(path)
            outcome, reason = self._judge(candidate)
            if watch:
                watch(source, folder.of, folder.element, path, outcome, reason)
            if outcome == "found":
                return Finding(candidate, source, folder.of, folder.element)
            if outcome == "refused":
                return Finding(None, source, folder.of, folder.element, Refusal(path, reason))
        return Finding(None, None)

    def _candidate(self, path: str) -> Candidate:
        """What stands at a path that a search has made; one that is too long for the loader's buffer is passed over."""
        if len(os.fsencode(path)) >= _PATH_ROOM:
            return Candidate(path, errno.ENAMETOOLONG)
        return self.system.candidate(path, self.cwd)

    def _open(self, name: str, requester: Loaded | None, watch: Watch | None) -> Finding:
        """A name with a slash: no search at all."""
        candidate = self.system.candidate(name, self.cwd)
        outcome, reason = self._judge(candidate)
        if watch:
            watch("path", requester.path if requester else None, None, name, outcome, reason)
        if outcome == "found":
            return self._unless_occupied(Finding(candidate, "path"))
        return Finding(None, "path", refusal=Refusal(name, reason)) if outcome == "refused" else Finding(None, None)

    # -- candidates -------------------------------------------------------------------------------------------------

    def _judge(self, candidate: Candidate) -> tuple[str, str]:
        """The outcome of one candidate in the words of the contract, with the reason.

        The first file that can be opened ends the search, whatever it is, and so does any error but those four.
        """
        failed = candidate.errno
        if failed == errno.EACCES:
            return "no-permission", ""
        if failed in _PASSED_OVER:
            return "absent", "" if failed == errno.ENOENT else _words(failed)
        fault = _words(failed) if failed else self._fault(candidate)
        return ("refused", fault) if fault else ("found", "")

    def _fault(self, candidate: Candidate) -> str | None:
        """Why a file that was opened cannot be mapped; None where it can.

        map_library reads the headers by the layout of its own class and byte order, and looks at neither of them. With
        the other byte order e_type is unknown to it; with the other class e_phnum is read from bytes that are zero in
        any real file, so that no PT_DYNAMIC is found. A file for another machine is taken: e_machine is not looked at.
        """
        if stat.S_ISDIR(candidate.mode):
            return _words(errno.EISDIR)
        if stat.S_ISFIFO(candidate.mode):
            return "is a FIFO, and the loader waits for somebody to write to it"
        image, fault = candidate.image, candidate.fault
        if image is None:
            has_header = len(candidate.head) >= self.layout.header.size and not isinstance(fault, NotElf)
            return fault.reason if fault and has_header else _words(errno.ENOEXEC)
        if image.layout != self.layout or image.type not in (c.ET_EXEC, c.ET_DYN):
            return _words(errno.ENOEXEC)
        if image.debug:
            return "is a separate debug file, which has no code in it"
        dynamic = [segment for segment in image.segments if segment.type == c.PT_DYNAMIC]
        return None if dynamic and dynamic[-1].vaddr else _words(errno.ENOEXEC)

    def _unless_occupied(self, finding: Finding) -> Finding:
        """FINDING, or its refusal where the file is no ET_DYN and its addresses are taken by another such file."""
        candidate = finding.candidate
        if candidate is None or candidate.image is None or candidate.image.type != c.ET_EXEC:
            return finding
        low, high = _extent(candidate.image)
        taken = low and any(low < end and start < high for start, end in self._fixed)
        if not taken or candidate.identity in self._mapped:
            return finding
        refusal = Refusal(candidate.path, _words(errno.EBUSY))
        return msgspec.structs.replace(finding, candidate=None, refusal=refusal)

    def _is_libc(self, candidate: Candidate) -> bool:
        """Whether the file is a C library, by the symbols that it defines. Remembered by device and inode."""
        memory = self.system.memory.setdefault("musl: C libraries", {})
        if candidate.identity not in memory:
            memory[candidate.identity] = _defines_libc(candidate, self.system.root)
        return bool(memory[candidate.identity])


def origin_of(system: System, program: str, cwd: str) -> str | None:
    """$ORIGIN of a program that the kernel starts by a path: the folder of the file that /proc/self/exe leads to.

    None where its name is too long.
    """
    path = system.realpath(program, cwd) or program
    return path.rpartition("/")[0] if len(os.fsencode(path)) < _ORIGIN_ROOM else None


def _folders(text: str, of: str | None, written: str | None = None) -> tuple[Folder, ...]:
    """path_open: the elements between colons and newlines; empty ones do not count. WRITTEN: TEXT before its tokens."""
    prefixes = text.replace("\n", ":").split(":")
    elements = prefixes if written is None else written.replace("\n", ":").split(":")
    if len(elements) != len(prefixes):  # an origin with a colon in it, at which the loader splits too
        elements = prefixes
    return tuple(Folder(prefix, element, of) for prefix, element in zip(prefixes, elements, strict=True) if prefix)


def _words(number: int) -> str:
    return _WORDS.get(number) or os.strerror(number)


def _extent(image: Image) -> tuple[int, int]:
    """The pages that the segments of a file lie in, from the first to behind the last."""
    loads = [segment for segment in image.segments if segment.type == c.PT_LOAD]
    low = min((segment.vaddr for segment in loads), default=0)
    high = max((segment.vaddr + segment.memsz for segment in loads), default=0)
    return low & -_PAGE, high + _PAGE - 1 & -_PAGE


def _defines_libc(candidate: Candidate, root: Root) -> bool:
    """Whether find_sym of musl finds both symbols in the file alone; a file whose symbols cannot be read has none."""
    image = candidate.image
    if image is None:
        return False
    try:
        with open_reader(candidate.location, candidate.path, root.open) as reader:
            table = dynamic_table(reader, image)
            if table is None or any(name.encode() + b"\0" not in table.strings for name in _LIBC_SYMBOLS):
                return False
            symbols = read_symbols(reader, image)
    except LinkScopeError:
        return False
    from linkscope.loader.lookup import musl_defines  # needed only for what may be a C library

    return all(musl_defines(symbols, name) for name in _LIBC_SYMBOLS)
