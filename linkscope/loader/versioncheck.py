"""Whether the files of a link map define the symbol versions that its files ask for, as glibc checks it at the start.

Source: glibc elf/dl-version.c (_dl_check_all_versions, find_needed, match_symbol) and elf/rtld.c, version_check_doit.
Every version of DT_VERNEED counts, whether or not a symbol uses it. musl checks nothing of the kind.
"""

from __future__ import annotations

from typing import cast

from linkscope.elf.image import Image
from linkscope.elf.versions import RELR_VERSION, VersionNeed
from linkscope.loader import problems
from linkscope.loader.glibc import Glibc
from linkscope.loader.linkmap import LinkMap, Loaded
from linkscope.loader.program import Program, Start
from linkscope.loader.relr import has_relr, says_relr
from linkscope.loader.system import System
from linkscope.model.inspect import Problem

_Identity = tuple[int, int]


class _Need:
    """One Verneed of a file, and what is known of the files that were held against it.

    lacking: for each provider by its identity, the versions that it does not define as (name, weak), () where it has
    them all; None for a provider without any version definitions. named_as_needed: DT_NEEDED has the very same string,
    so that whatever answers to it was asked for by that name.
    """

    __slots__ = ("file", "lacking", "named_as_needed", "wanted")

    def __init__(self, need: VersionNeed, needed: tuple[str, ...]) -> None:
        self.file = need.file
        self.wanted = need.versions
        self.lacking: dict[_Identity, tuple[tuple[str, bool], ...] | None] = {}
        self.named_as_needed = "$" not in need.file and need.file in needed


class _Asker:
    """A file that asks for versions. relr: it uses DT_RELR without asking for the version that says so."""

    __slots__ = ("needs", "relr")

    def __init__(self, image: Image) -> None:
        needed = image.needed
        self.needs = tuple([_Need(need, needed) for need in image.verneed])
        self.relr = _relr_without_version(image)


class _Memory:
    """What is known of files, by identity. defined: the versions that a file defines, the base entry included."""

    __slots__ = ("askers", "defined")

    def __init__(self) -> None:
        self.askers: dict[_Identity, _Asker] = {}
        self.defined: dict[_Identity, frozenset[tuple[int, str]]] = {}

    def hold(self, need: _Need, provider: Image) -> None:
        """Note in NEED what PROVIDER lacks: match_symbol compares hash and name."""
        identity = provider.identity
        if provider.verdef is None:
            need.lacking[identity] = None
            return
        defined = self.defined.get(identity)
        if defined is None:
            defined = self.defined[identity] = frozenset([(one.hash, one.name) for one in provider.verdef])
        need.lacking[identity] = tuple(
            [(one.name, one.weak) for one in need.wanted if (one.hash, one.name) not in defined]
        )


def check_versions(system: System, start: Start, program: Program) -> list[Problem]:
    """What the loader says of versions before the program starts, in its order: a fatal problem, or a warning.

    Nothing is said where a provider itself is missing. What one file lacks for another is remembered in SYSTEM.
    """
    rules = start.rules
    if not isinstance(rules, Glibc):
        return []
    link_map = start.link_map
    by_name = link_map.by_name
    memory = cast("dict[str, _Memory]", system.memory.setdefault("versions", {})).setdefault("all", _Memory())
    askers = memory.askers
    found: list[Problem] = []
    for loaded in link_map.objects:
        image = loaded.image
        if image is None or not image.verneed:
            continue
        asker = askers.get(image.identity)
        if asker is None:
            asker = askers[image.identity] = _Asker(image)
        for need in asker.needs:
            providers = by_name.get(need.file)
            if providers and len(providers) == 1 and need.named_as_needed:
                provider: Loaded | None = providers[0]
            else:
                provider = _needed_object(need.file, link_map, rules)
            if provider is None:
                found += _without_provider(need.file, loaded, link_map)
            elif provider.image is not None:
                identity = provider.image.identity
                if identity not in need.lacking:
                    memory.hold(need, provider.image)
                if need.lacking[identity] != ():
                    found += _complaints(system, start, program, loaded, provider, need)
        if asker.relr:
            found += _relr_complaint(loaded, rules)
    return found


def _needed_object(file: str, link_map: LinkMap, rules: Glibc) -> Loaded | None:
    """find_needed: the first object of the link map with FILE among the names it was asked for by, or as its path.

    Its DT_SONAME counts only once something was asked for by it (_dl_map_object), save the interpreter's (dl_main).
    """
    providers = [one for one in link_map.by_name.get(file, ()) if _asked_for_as(file, one, link_map, rules)]
    return min(providers, key=link_map.objects.index, default=None)


def _asked_for_as(name: str, loaded: Loaded, link_map: LinkMap, rules: Glibc) -> bool:
    if loaded not in link_map.objects:
        return False
    if loaded.role == "interpreter" or name in (loaded.requested, loaded.path):
        return True
    return any(
        rules.expand_name(asked, tag, requester) == name
        for requester, entries in link_map.dependencies.items()
        for tag, asked, found in entries
        if found is loaded
    )


def _without_provider(file: str, loaded: Loaded, link_map: LinkMap) -> list[Problem]:
    """Nothing for a missing library, which is a problem already; a name that nobody ever asked for ends glibc."""
    if any(one.image is None and one.requested == file for one in link_map.objects):
        return []
    return [problems.unknown_version_provider(file, loaded.path or loaded.requested)]


def _complaints(
    system: System, start: Start, program: Program, loaded: Loaded, provider: Loaded, need: _Need
) -> list[Problem]:
    from linkscope.loader import binding  # symbols matter only where a provider has no versions

    asker, name = loaded.path or loaded.requested, provider.path or provider.requested
    lacking = need.lacking[provider.image.identity] if provider.image else None
    if lacking is None:
        stop = binding.stops_without_versions(system, start, program, loaded, provider, need.file)
        return [problems.no_version_information(name, asker, *(stop or (None, None)))]
    return [
        (problems.weak_version if weak else problems.missing_version)(version, name, asker) for version, weak in lacking
    ]


def _relr_without_version(image: Image) -> bool:
    return has_relr(image) and any(name.startswith("libc.so.") for name in image.needed) and not says_relr(image)


def _relr_complaint(loaded: Loaded, rules: Glibc) -> list[Problem]:
    """glibc 2.36 and later refuse a file with DT_RELR that needs libc.so.* and not the version that stands for it."""
    if rules.facts.before(2, 36):
        return []
    return [problems.relr_without_version(RELR_VERSION, loaded.path or loaded.requested)]
