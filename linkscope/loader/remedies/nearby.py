"""What lies near a library that is not found.

Beside the objects that are loaded, in folders that ldconfig would take in, in subfolders of the default folders, under
another name, in another version.
"""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.loader import ldcache
from linkscope.loader.glibc import Glibc
from linkscope.loader.program import Start
from linkscope.loader.remedies import ldconf
from linkscope.loader.remedies.wanted import Hint, Wanted, absolute, acceptable, called, in_folder, remedy, told
from linkscope.loader.system import Candidate
from linkscope.model.inspect import FoundBy

# Where packages that are moved as a whole keep their libraries, seen from the object that asks.
_BESIDE = ("", "/lib", "/../lib", "/../lib64", "/../libs")
_AT_MOST_VERSIONS = 3
_AT_MOST_NAMES = 256  # a folder with more in it is not looked through for subfolders


def by_ldconfig_alone(want: Wanted) -> Iterator[str]:
    """The one thing to be done where the loader's cache is out of date."""
    if isinstance(want.rules, Glibc):
        for _, where in _not_in_the_cache(want, want.rules, ldconf.configured_folders(want.system)):
            yield where
            return


def unlinked(want: Wanted) -> Iterator[Hint]:
    """The library itself under its file's name, in a folder that counts."""
    yield from _without_its_link(want, _searched_folders(want), _configured(want))


def nearby(want: Wanted, start: Start) -> Iterator[str]:
    """What lies near: the nearest file that would serve; else why those do not, and what other versions there are.

    A file serves only if it defines the versions that the asker needs from it: with another the program would not
    start either (glibc elf/dl-version.c).
    """
    unfit: list[str] = []
    for found, sentence in (*_beside(want, start), *_in_subfolders(want)):
        lacking = _lacking_versions(want, found)
        if not lacking:
            yield sentence
            return
        unfit.append(
            f"{told(want, found.path)} does not serve: it lacks {' and '.join(lacking)}, needed by {called(want.asker)}"
        )
    yield from dict.fromkeys(unfit[:_AT_MOST_VERSIONS])
    yield from _other_versions(want, list(dict.fromkeys([*_searched_folders(want), *_configured(want)])))


def _configured(want: Wanted) -> list[str]:
    return ldconf.configured_folders(want.system) if isinstance(want.rules, Glibc) else []


def _lacking_versions(want: Wanted, found: Candidate) -> list[str]:
    """The versions that the asker needs from this file and that it does not define; one without any is only warned of.

    musl checks no versions.
    """
    asker, provider = want.asker.image, found.image
    if asker is None or provider is None or provider.verdef is None or not isinstance(want.rules, Glibc):
        return []
    defined = {definition.name for definition in provider.verdef}
    needed = [version for need in asker.verneed if need.file == want.name for version in need.versions]
    return [version.name for version in needed if not version.weak and version.name not in defined]


def _searched_folders(want: Wanted) -> list[str]:
    """The folders in which the loader looks for it, absolute."""
    tried: list[str] = []

    def watch(_s: FoundBy, _o: str | None, _e: str | None, path: str | None, _outcome: str, _r: str) -> None:
        if path is not None:
            tried.append(absolute(want, path).rpartition("/")[0] or "/")

    want.rules.search(want.name, want.asker, watch)
    return list(dict.fromkeys(tried))


def _not_in_the_cache(want: Wanted, rules: Glibc, configured: list[str]) -> Iterator[Hint]:
    """Folders of /etc/ld.so.conf that hold it: the loader knows them only by its cache, which ldconfig writes.

    ldconfig takes in what is called lib*.so* or ld-*.so*, under the file's SONAME (glibc elf/ldconfig.c, search_dir).
    """
    if not want.name.startswith(("lib", "ld-")) or ".so" not in want.name:
        return
    stale = rules.search(want.name, want.asker).stale
    if stale is None and rules.cache is not None and ldcache.lookup(rules.cache, want.name, rules.accepted):
        return
    nodeflib = want.asker.shuns_defaults
    knows = f"still names {stale}, and that file is gone" if stale is not None else "does not know it"
    for folder in configured:
        if nodeflib and f"{folder}/".startswith(rules.facts.folders):
            continue
        found = in_folder(want, folder)
        if found is not None and found.image is not None and found.image.soname in (None, want.name):
            where = f"{folder}, which /etc/{ldconf.FILE.rpartition('/')[2]} names, holds {want.name}"
            yield found.identity, f"{where}, and the loader's cache {knows}: run ldconfig"


def _without_its_link(want: Wanted, searched: list[str], configured: list[str]) -> Iterator[Hint]:
    """A file with the SONAME that is asked for, where the link of that name is missing."""
    for folder in dict.fromkeys([*searched, *configured]):
        for path, soname in _of_the_same_stem(want, folder):
            if soname == want.name:
                found = acceptable(want, path)
                file = path.rpartition("/")[2]
                link = f"ln -s {file} {told(want, folder)}/{want.name}" if folder in searched else "ldconfig makes it"
                identity = found.identity if found is not None else None
                yield identity, f"{told(want, path)} is this library, and the link to it is missing ({link})"


def _beside(want: Wanted, start: Start) -> Iterator[tuple[Candidate, str]]:
    """Folders of the objects that are loaded, the asker's and the program's own first."""
    main = want.rules.main
    origins = [origin for origin in (want.asker.origin, main.origin) if origin is not None]
    folders = [f"{origin}{way}" for origin in origins for way in _BESIDE]
    folders += [loaded.origin for loaded in start.link_map.objects if loaded.origin is not None]
    folders += [folder for origin in origins for folder in _subfolders(want, origin)]
    for folder in dict.fromkeys([*folders, want.rules.cwd]):
        found = in_folder(want, folder)
        if found is not None:
            real = want.system.realpath(folder, want.rules.cwd) or folder
            where = f"{told(want, real)} holds {want.name}, and {called(want.asker)} does not look there"
            yield found, f"{where}: {remedy(want, real, relocatable=folder != want.rules.cwd)}"


def _subfolders(want: Wanted, folder: str) -> Iterator[str]:
    """The folders in FOLDER, if there is not too much in it; a link to one counts as one."""
    names = want.system.names_in(folder)
    if len(names) <= _AT_MOST_NAMES:
        yield from (place for place in (f"{folder}/{name}" for name in names) if want.system.is_directory(place))


def _in_subfolders(want: Wanted) -> Iterator[tuple[Candidate, str]]:
    """Folders one level below the default ones, in which packages keep what is theirs alone."""
    seen: set[str | None] = set()
    rules = want.rules
    defaults = rules.default_folders if isinstance(rules, Glibc) else rules.system_path.folders
    for default in defaults:
        real = want.system.realpath(default.prefix.rstrip("/"), "/")
        if real is None or real in seen:
            continue
        seen.add(real)
        for name in want.system.names_in(real):
            folder = f"{real}/{name}"
            found = in_folder(want, folder) if ".so" not in name and want.system.is_directory(folder) else None
            if found is not None:
                where = f"{folder} holds {want.name}, and is not searched"
                yield found, f"{where}: {remedy(want, folder)}"


def _other_versions(want: Wanted, folders: list[str]) -> Iterator[str]:
    """Libraries that differ from it in what stands behind `.so` alone."""
    others: dict[str, str] = {}
    for folder in folders:
        for path, soname in _of_the_same_stem(want, folder):
            if soname is not None and soname != want.name:
                others.setdefault(soname, path)
    if others:
        some = list(others.items())[:_AT_MOST_VERSIONS]
        there = " and ".join(f"{soname} ({told(want, path)})" for soname, path in some)
        yield f"only {there} is here, another version: install {want.name}, or link {called(want.asker)} anew"


def _of_the_same_stem(want: Wanted, folder: str) -> Iterator[tuple[str, str | None]]:
    """The files in FOLDER whose name agrees with the wanted one up to `.so`, with their SONAMEs, the longest last."""
    stem, separator, _ = want.name.partition(".so")
    for name in want.system.names_in(folder) if separator else ():
        if name != want.name and (name == f"{stem}.so" or name.startswith(f"{stem}.so.")):
            found = acceptable(want, f"{folder}/{name}")
            if found is not None and found.image is not None:
                yield found.path, found.image.soname
