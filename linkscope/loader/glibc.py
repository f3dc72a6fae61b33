"""The rules of glibc's loader: what a name leads to.

Source: glibc elf/dl-load.c (_dl_map_object, fillin_rpath, open_path), elf/dl-deps.c, elf/dl-hwcaps.c; observed on
2.31, 2.36 and 2.41. Where versions differ, the version of the loader in the root decides.
"""

from __future__ import annotations

import errno
import itertools
import stat
from collections.abc import Iterator

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.loader import hwcaps, ldcache, verify
from linkscope.loader.environment import Cpu, Environment
from linkscope.loader.ldso import LoaderFacts
from linkscope.loader.linkmap import Finding, LinkMap, Loaded, Refusal, Watch
from linkscope.loader.root import absolute
from linkscope.loader.system import Candidate, System
from linkscope.loader.tokens import TokenValues, expand, has_token
from linkscope.model.inspect import FoundBy

CACHE = "/etc/ld.so.cache"


class Folder(msgspec.Struct, frozen=True):
    """One element of a search list, expanded.

    prefix: what stands before a name: "" or a path that ends with `/`. of: the path of the object whose tag names it.
    """

    prefix: str
    element: str
    of: str | None


class _Paths:
    """The search lists of one object, made when first asked for."""

    __slots__ = ("chain", "rpath", "runpath")

    def __init__(self, rpath: tuple[Folder, ...], runpath: tuple[Folder, ...]) -> None:
        self.rpath = rpath
        self.runpath = runpath
        self.chain: tuple[Folder, ...] | None = None


class Glibc:
    """The loader of one start: its facts, its environment, and the search lists made of them.

    image: that of the program `main`, whose class, machine and flags decide which files are taken.
    """

    dependency_tags = frozenset((c.DT_NEEDED, c.DT_AUXILIARY, c.DT_FILTER))

    def __init__(
        self,
        system: System,
        facts: LoaderFacts,
        cpu: Cpu,
        main: Loaded,
        image: Image,
        *,
        cwd: str,
        secure: bool,
        environment: Environment,
    ) -> None:
        self.system = system
        self.facts = facts
        self.without_relr = (
            f"glibc {facts.version[0]}.{facts.version[1]}" if facts.version and facts.before(2, 36) else None
        )
        self.cpu = cpu
        self.main = main
        self.cwd = cwd
        self.secure = secure
        self.target = verify.Target(
            image.elf_class, image.layout.order, image.machine, image.flags, facts.skips_other_machines_first
        )
        self.subfolders = hwcaps.subfolders(facts, cpu)
        self.accepted = hwcaps.cache_wants(facts, cpu, self.target)
        explicit = environment.explicit
        self._inhibited = explicit.inhibit_rpath if explicit is not None and not secure else ()
        self.cache = system.ldcache(CACHE) if explicit is None or not explicit.inhibit_cache else None
        self.default_folders = tuple(Folder(prefix, prefix, None) for prefix in facts.folders)
        self.library_path: tuple[Folder, ...] = ()
        self.given_library_path = environment.library_path
        library_path = environment.searched_first(secure)
        if library_path:
            self.given_library_path = library_path
            self.library_path = self.folders(library_path, ":;", main)
        self._slash_in_library_path = any(folder.prefix == "/" for folder in self.library_path)
        self._slash_was_missed = False
        # What a search gives depends on these alone, and on the lists of the object that asks.
        searched_first = tuple(folder.prefix for folder in self.library_path)
        here = cwd if _is_relative(self.library_path) else None
        key = (facts.path, image.machine, image.flags, cpu, here, secure, searched_first, self.cache is None)
        self._memory = system.memory.setdefault(key, {})
        self._present = system.memory.setdefault(("folders", self.subfolders), {})

    # -- names ------------------------------------------------------------------------------------------------------

    def origin_of(self, program: str) -> str | None:
        """The folder of the file that /proc/self/exe leads to."""
        return origin_of(self.system, program, self.cwd)

    def expand_name(self, name: str, tag: int, requester: Loaded) -> str | Refusal | None:
        """dl-deps.c, expand_dst. A needed name whose token has no value is passed over, a filtee's is fatal."""
        if "$" not in name or not has_token(name):
            return name
        if self.secure:
            return Refusal(None, "DST not allowed in SUID/SGID programs")
        expanded = expand(name, self.tokens(requester))
        if expanded:
            return expanded
        return None if tag == c.DT_NEEDED else Refusal(None, "empty dynamic string token substitution")

    def loaded_as(self, name: str, link_map: LinkMap) -> Loaded | None:
        """An object answers to the names it was asked for by, to its path, and to its DT_SONAME."""
        return link_map.answer_to(name)

    def same_file(self, name: str, candidate: Candidate, link_map: LinkMap) -> Loaded | None:
        """Device and inode; the program itself and the loader were mapped by the kernel and are not known by them."""
        same = link_map.by_identity.get(candidate.identity)
        if same is not None:
            link_map.give_name(same, name)
        return same

    def admit(self, loaded: Loaded, link_map: LinkMap) -> None:
        """dl-object.c, _dl_new_object: names, and $ORIGIN as the folder of the path by which it was found.

        The program has no name but its DT_SONAME; the loader has the one by which it was called.
        """
        if loaded.role != "main":
            link_map.give_name(loaded, loaded.requested)
        if loaded.path and loaded.role in ("library", "preload"):
            link_map.give_name(loaded, loaded.path)
        image = loaded.image
        if image is None:
            return
        if image.soname:
            link_map.give_name(loaded, image.soname)
        if loaded.role in ("library", "preload"):
            loaded.identity = image.identity
            link_map.by_identity.setdefault(image.identity, loaded)
            loaded.origin = folder_of(loaded.path or "", self.cwd)

    # -- search -----------------------------------------------------------------------------------------------------

    def search(self, name: str, requester: Loaded, watch: Watch | None = None, suid_only: bool = False) -> Finding:
        """_dl_map_object from the point where NAME is not loaded yet. Results are remembered across programs.

        watch: told of every step, for `why`. suid_only: a preload in secure execution, which must be setuid.
        """
        if "/" in name:
            return self._open(name, "path", requester, watch)
        paths = self._paths(requester)
        lists = self._lists_key(requester, paths)
        if watch is not None or lists is None:
            return self._search_lists(name, requester, watch, suid_only)
        key = (name, lists, suid_only)
        known = self._memory.get(key)
        if not isinstance(known, Finding):
            known = self._memory[key] = self._search_lists(name, requester, watch, suid_only)
        return known

    def _lists_key(self, requester: Loaded, paths: _Paths) -> object | None:
        """Equal for objects whose names are looked for alike; None where what was looked for before counts as well."""
        chain = self.rpath_chain(requester)
        if self._slash_in_library_path:
            return None
        if not chain and not paths.runpath:
            return requester.shuns_defaults
        if any(folder.prefix == "/" for folder in (*chain, *paths.runpath)):
            return None
        here = self.cwd if _is_relative((*chain, *paths.runpath)) else None
        return (requester.shuns_defaults, chain, paths.runpath, here)

    def _search_lists(self, name: str, requester: Loaded, watch: Watch | None, suid_only: bool) -> Finding:
        other_class = False
        for source, folders in self._sources(requester):
            finding = self._open_path(name, source, folders, watch, suid_only)
            if finding.candidate is not None or finding.refusal is not None:
                return finding
            other_class |= finding.other_class
        stale = None
        nodeflib = requester.shuns_defaults
        if not (suid_only and self.secure):
            cached = self._from_cache(name, nodeflib, watch)
            if cached.candidate is not None or cached.refusal is not None:
                return cached
            stale = cached.stale
            other_class |= cached.other_class
        if nodeflib:
            if watch:
                watch("default", None, None, None, "not-applicable", f"{requester.path} has DF_1_NODEFLIB")
            return Finding(None, None, stale=stale, other_class=other_class)
        finding = self._open_path(name, "default", self.default_folders, watch, suid_only)
        if finding.candidate is None and finding.refusal is None:
            return Finding(None, None, stale=stale, other_class=other_class or finding.other_class)
        return msgspec.structs.replace(finding, stale=stale) if stale else finding

    def _sources(self, requester: Loaded) -> Iterator[tuple[FoundBy, tuple[Folder, ...]]]:
        """The search lists that stand before the cache, in order. Each object's RPATH is one of its own."""
        for _, folders in itertools.groupby(self.rpath_chain(requester), key=lambda folder: folder.of):
            yield "rpath", tuple(folders)
        if self.library_path:
            yield "LD_LIBRARY_PATH", self.library_path
        runpath = self._paths(requester).runpath
        if runpath:
            yield "runpath", runpath

    def rpath_chain(self, requester: Loaded) -> tuple[Folder, ...]:
        """The RPATHs that count for REQUESTER's names: its own, its loader's, and so on up, then the program's.

        None of them where REQUESTER itself has a RUNPATH.
        """
        paths = self._paths(requester)
        if paths.chain is None:
            paths.chain = ()
            if requester.image is not None and requester.image.runpath is None:
                folders: list[Folder] = []
                at: Loaded | None = requester
                met_main = False
                while at is not None:
                    folders += self._paths(at).rpath
                    met_main |= at is self.main
                    at = at.parent
                if not met_main:
                    folders += self._paths(self.main).rpath
                paths.chain = tuple(folders)
        return paths.chain

    def own_folders(self, loaded: Loaded) -> tuple[Folder, ...]:
        """What an object's own RPATH or RUNPATH names, as far as the loader honours it."""
        paths = self._paths(loaded)
        return paths.rpath or paths.runpath

    @property
    def system_folders(self) -> frozenset[str]:
        """The default folders, which glibc was built with."""
        return frozenset(folder.prefix.rstrip("/") for folder in self.default_folders)

    def _paths(self, loaded: Loaded) -> _Paths:
        known = loaded.rules_memory
        if isinstance(known, _Paths):
            return known
        image = loaded.image
        rpath: tuple[Folder, ...] = ()
        runpath: tuple[Folder, ...] = ()
        l_name = "" if loaded.role == "main" else loaded.path
        if image is not None and l_name not in self._inhibited:
            if image.runpath is not None:  # elf/get-dynamic-info.h: DT_RUNPATH, even an empty one, voids DT_RPATH
                runpath = self.folders(image.runpath, ":", loaded)
            elif image.rpath:
                rpath = self.folders(image.rpath, ":", loaded)
        known = loaded.rules_memory = _Paths(rpath, runpath)
        return known

    def folders(self, text: str, separators: str, owner: Loaded) -> tuple[Folder, ...]:
        """fillin_rpath: tokens expanded, trailing slashes to one, the second of two equal ones left out.

        An empty element is the working directory, a wholly empty text is no list at all.
        """
        folders: dict[str, Folder] = {}
        for element in split_search_path(text, separators):
            prefix = element
            if element:
                expanded = expand(element, self.tokens(owner))
                if not expanded:
                    continue
                prefix = expanded.rstrip("/") + "/"
            folders.setdefault(prefix, Folder(prefix, element, owner.path))
        return tuple(folders.values())

    def tokens(self, owner: Loaded) -> TokenValues:
        """What the tokens stand for in the tags of OWNER."""
        return TokenValues(
            owner.origin, self.facts.lib, self.cpu.platform, self.secure, owner.role == "main", self.facts.folders
        )

    def _open_path(
        self, name: str, source: FoundBy, folders: tuple[Folder, ...], watch: Watch | None, suid_only: bool
    ) -> Finding:
        """open_path: every folder, and in each the hardware capability subfolders, best first."""
        other_class = False
        for folder in folders:
            here, errno_of_last = False, 0
            for directory in self.tried_in(folder.prefix):
                if directory == "/" and self._slash_was_missed:
                    continue
                here = True
                candidate = self.system.candidate(directory + name, self.cwd)
                verdict, reason = self._judge(candidate, suid_only)
                if watch:
                    watch(source, folder.of, folder.element, candidate.path, verdict, reason)
                if verdict == "found":
                    return Finding(candidate, source, folder.of, folder.element, other_class=other_class)
                if verdict == "refused":
                    refusal = Refusal(candidate.path, reason)
                    return Finding(None, source, folder.of, folder.element, refusal, other_class=other_class)
                # After a miss, open_path tests the folder without its last slash: "" is none (2.36, observed).
                self._slash_was_missed |= directory == "/"
                other_class |= verdict == "wrong-class"
                errno_of_last = candidate.errno
            if watch and not here:
                watch(source, folder.of, folder.element, folder.prefix + name, "absent", "no such folder")
            if here and errno_of_last not in self._errors_passed_over(folder):
                break  # the rest of this list is given up; the next source is tried
        return Finding(None, None, other_class=other_class)

    def tried_in(self, prefix: str) -> tuple[str, ...]:
        """Where a name is tried for one folder, best first. Absolute folders that are not there are left out."""
        known = self._present.get(prefix)
        if not isinstance(known, tuple):
            known = tuple(prefix + subfolder for subfolder in self.subfolders)
            if prefix.startswith("/"):
                known = tuple(directory for directory in known if self.system.is_directory(directory))
            self._present[prefix] = known
        return known

    def _errors_passed_over(self, folder: Folder) -> tuple[int, ...]:
        """The errors after which the next folder is tried. 2.39 added ENOTDIR (glibc bug 31035)."""
        if self.facts.before(2, 39) and not folder.prefix.startswith("/"):
            return (0, errno.ENOENT, errno.EACCES)
        return (0, errno.ENOENT, errno.EACCES, errno.ENOTDIR)

    def _from_cache(self, name: str, nodeflib: bool, watch: Watch | None) -> Finding:
        path = ldcache.lookup(self.cache, name, self.accepted) if self.cache else None
        if path is None:
            if watch:
                watch("ld.so.cache", None, None, None, "absent", "no entry for this name" if self.cache else "no cache")
            return Finding(None, None)
        if nodeflib and path.startswith(self.facts.folders):
            if watch:
                watch(
                    "ld.so.cache", None, None, path, "not-applicable", "DF_1_NODEFLIB, and the entry is a default one"
                )
            return Finding(None, None)
        candidate = self.system.candidate(path, self.cwd)
        verdict, reason = self._judge(candidate, False)
        if watch:
            watch("ld.so.cache", None, None, path, verdict, reason)
        if verdict == "found":
            return Finding(candidate, "ld.so.cache")
        if verdict == "refused":
            return Finding(None, "ld.so.cache", refusal=Refusal(path, reason))
        gone = verdict == "absent" and candidate.errno in (errno.ENOENT, errno.ENOTDIR)
        return Finding(None, None, stale=path if gone else None, other_class=verdict == "wrong-class")

    def _open(self, name: str, source: FoundBy, requester: Loaded, watch: Watch | None) -> Finding:
        """A name with a slash: no search at all, its tokens replaced (a preload's have not been yet)."""
        path = expand(name, self.tokens(requester))
        if not path:
            return Finding(None, None)
        candidate = self.system.candidate(path, self.cwd)
        verdict, reason = self._judge(candidate, False)
        if watch:
            watch(source, requester.path, None, path, verdict, reason)
        if verdict == "found":
            return Finding(candidate, source)
        if verdict == "refused":
            return Finding(None, source, refusal=Refusal(path, reason))
        return Finding(None, None, other_class=verdict == "wrong-class")

    def _judge(self, candidate: Candidate, suid_only: bool) -> tuple[str, str]:
        """The outcome of one candidate in the words of the contract, with the reason."""
        if candidate.errno:
            if candidate.errno == errno.EACCES:
                return "no-permission", ""
            return "absent", "" if candidate.errno == errno.ENOENT else errno.errorcode.get(candidate.errno, "")
        judgement = verify.judge(candidate, self.target)
        if judgement.verdict == "take":
            if suid_only and self.secure and not candidate.mode & stat.S_ISUID:
                return "absent", "secure execution preloads only setuid files"
            return "found", ""
        if judgement.verdict == "refuse":
            return "refused", judgement.reason
        return judgement.verdict, ""


def _is_relative(folders: tuple[Folder, ...]) -> bool:
    """Whether a search in these folders depends on the working directory."""
    return not all(folder.prefix.startswith("/") for folder in folders)


def split_search_path(text: str, separators: str) -> list[str]:
    """The elements of an RPATH, RUNPATH or LD_LIBRARY_PATH, in order, unexpanded.

    separators: ":" for a tag of the dynamic section, ":;" for the variable. An empty element stays, as "" (it means
    the working directory); a wholly empty text gives []. Source: glibc elf/dl-load.c, decompose_rpath, fillin_rpath.
    """
    if not text:
        return []
    for other in separators[1:]:
        text = text.replace(other, separators[0])
    return text.split(separators[0])


def origin_of(system: System, program: str, cwd: str) -> str:
    """$ORIGIN of a program that the kernel starts by a path: the folder of the file that /proc/self/exe leads to."""
    return folder_of(system.realpath(program, cwd) or program, cwd)


def folder_of(path: str, cwd: str) -> str:
    """$ORIGIN of an object that was found by PATH: its folder as text, symlinks kept (dl-object.c)."""
    return absolute(path, cwd).rpartition("/")[0] or "/"
