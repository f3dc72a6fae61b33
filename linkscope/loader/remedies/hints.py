"""What would mend a search that finds nothing, in plain words. Each sentence was tried: the file it speaks of is there.

The order is that of the chance that it is what was meant: a file that was passed over, a list that does not count for
this object, an element that is not what its author meant, and then what lies near (`nearby.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.loader import ldcache, misfits
from linkscope.loader.glibc import Folder, Glibc, split_search_path
from linkscope.loader.linkmap import Loaded
from linkscope.loader.musl import Musl
from linkscope.loader.program import Start
from linkscope.loader.remedies import nearby, repairs
from linkscope.loader.remedies.wanted import (
    Hint,
    Wanted,
    absolute,
    acceptable,
    as_meant,
    called,
    expanded,
    in_folder,
    in_the_end,
    is_relocatable,
    remedy,
    told,
    wanted,
)
from linkscope.loader.switched_off import loaders_of, switched_off_by_musl
from linkscope.loader.system import Candidate
from linkscope.loader.tokens import expand
from linkscope.model.inspect import FoundBy

_AT_MOST = 5


def hints_for_missing(start: Start, missing: Loaded) -> list[str]:
    """What would mend an entry of the link map without image, for each object that asks for it; [] if nothing."""
    refusal = missing.refusal
    if refusal is not None:
        if refusal.path is None:
            return []
        system, cwd = (start.rules.system, start.rules.cwd) if isinstance(start.rules, Glibc | Musl) else (None, "/")
        is_text = system is not None and misfits.is_text(system.candidate(refusal.path, cwd))
        what = " is text (perhaps a linker script), and" if is_text else ""
        path = (system.unsettled(refusal.path) if system else None) or refusal.path
        return [f"{path}{what} ends the search: take it away, or put the right library in its place"]
    asked = missing.needed_by or [start.link_map.main]
    return list(dict.fromkeys(hint for asker in asked for hint in hints_for(missing.requested, asker, start)))


def hints_for(name: str, asker: Loaded, start: Start) -> list[str]:
    """What would let ASKER find NAME (tokens expanded) by itself."""
    want = wanted(name, asker, start)
    if want is None:
        return []
    if "/" in name:
        return list(_of_a_path(want))
    mended = list(nearby.by_ldconfig_alone(want)) or _each_file_once(_exact(want, start))
    if mended:
        return mended
    near = [*_of_another_kind(want), *repairs.strange_tokens(want), *nearby.nearby(want, start)]
    return near or [nothing_near(name)]


def nothing_near(name: str) -> str:
    """What is said where there is nothing to say."""
    return f"{name} is not in any folder nearby either: install what provides it"


def _each_file_once(hints: Iterator[Hint]) -> list[str]:
    """The first sentences, of those about one file only one."""
    told: set[tuple[int, int]] = set()
    sentences: list[str] = []
    for identity, sentence in hints:
        if identity is None or identity not in told:
            sentences.append(sentence)
        if identity is not None:
            told.add(identity)
        if len(sentences) == _AT_MOST:
            break
    return sentences


def _exact(want: Wanted, start: Start) -> Iterator[Hint]:
    """What the search itself shows to be wrong, and what stands where it was meant to lead."""
    yield from _unusable(want)
    if isinstance(want.rules, Glibc):
        yield from _rpaths_that_do_not_count(want, want.rules)
        yield from _runpaths_of_others(want, want.rules, start)
        yield from _secure_execution(want, want.rules)
        yield from _no_default_folders(want, want.rules)
        yield from _stale(want, want.rules)
    else:
        yield from _voided_by_musl(want, want.rules)
    yield from repairs.repairs(want)
    yield from nearby.unlinked(want)


def _of_a_path(want: Wanted) -> Iterator[str]:
    """A name with a slash is opened as it is; a relative one from the working directory."""
    name, asker = want.name, called(want.asker)
    if name.startswith("/"):
        yield f"{asker} needs it by its path, so no folder is searched: link {asker} with a library that has a SONAME"
        return
    cwd = want.rules.cwd.rstrip("/") or "/"
    where = f"{asker} needs it by a relative path, which is taken from the working directory ({cwd})"
    for origin in (want.asker.origin, want.rules.main.origin):
        if origin is not None and acceptable(want, f"{origin}/{name}") is not None:
            yield f"{where}: it would be found from {told(want, origin)}"
            return
    yield where


def _tried(want: Wanted) -> dict[tuple[str, str, str], None]:
    """What stands where the loader looks: path, outcome and reason, in the order of the search."""
    steps: list[tuple[str, str, str]] = []

    def watch(_s: FoundBy, _o: str | None, _e: str | None, path: str | None, outcome: str, reason: str) -> None:
        if path is not None:
            steps.append((path, outcome, reason))

    want.rules.search(want.name, want.asker, watch)
    return dict.fromkeys(steps)


def _unusable(want: Wanted) -> Iterator[Hint]:
    """Files of that name where the loader looks, which nobody could open."""
    for path, outcome, reason in _tried(want):
        if outcome == "no-permission":
            yield None, f"{told(want, path)} is passed over: there is no permission to read it"
        target = want.system.link_target(absolute(want, path)) if outcome == "absent" else None
        if target is not None:
            ends = "that leads back to itself" if reason == "ELOOP" else f"to {target}, and that does not exist"
            yield None, f"{told(want, path)} is a link {ends}"


def _of_another_kind(want: Wanted) -> Iterator[str]:
    """Files of that name where the loader looks, which are for another class or machine: what is right is elsewhere."""
    for path, outcome, _ in _tried(want):
        if outcome in ("wrong-class", "wrong-machine"):
            candidate, main = want.system.candidate(path, want.rules.cwd), want.rules.main.image
            if main is not None:
                yield f"{told(want, path)} is passed over: it is {misfits.of_another_kind(candidate, main)}"


def _first(want: Wanted, folders: tuple[Folder, ...]) -> tuple[Folder, Candidate] | None:
    """The first folder of a list with a file for the loader to take, if nothing before it ends the search."""
    for folder in folders:
        path = folder.prefix + want.name
        if want.system.candidate(path, want.rules.cwd).errno == 0 and acceptable(want, path) is None:
            return None
        found = in_folder(want, folder.prefix)
        if found is not None:
            return folder, found
    return None


def _folder(found: Candidate) -> str:
    return found.path.rpartition("/")[0] or "/"


def _rpaths_that_do_not_count(want: Wanted, rules: Glibc) -> Iterator[Hint]:
    """RPATHs that are void: beside a RUNPATH in the same object, and all of them where the asker has a RUNPATH."""
    asker = called(want.asker)
    for owner in loaders_of(want.asker, rules.main):
        image = owner.image
        if image is None or not image.rpath:
            continue
        found = _first(want, rules.folders(image.rpath, ":", owner))
        if found is None:
            continue
        folder, candidate = found
        mended = remedy(want, _folder(candidate), is_relocatable(folder.element))
        holds = f"whose folder {told(want, _folder(candidate))} holds {want.name},"
        if image.runpath is not None:
            both = f"{called(owner)} has an RPATH and a RUNPATH, so that its RPATH, {holds} is ignored"
            yield candidate.identity, f"{both}: {mended}"
        elif want.asker.image is not None and want.asker.image.runpath is not None:
            lost = f"{asker} has a RUNPATH, so that the RPATH of {called(owner)}, {holds} does not count for it"
            yield candidate.identity, f"{lost}: {mended}"


def _runpaths_of_others(want: Wanted, rules: Glibc, start: Start) -> Iterator[Hint]:
    """RUNPATHs (and RPATHs) of other objects, by which those would find the library and this one does not."""
    chain = loaders_of(want.asker, rules.main)
    others = [loaded for loaded in start.link_map.objects if loaded.image is not None and loaded is not want.asker]
    own = want.asker.image
    for owner in sorted(others, key=lambda loaded: chain.index(loaded) if loaded in chain else len(chain)):
        finding = rules.search(want.name, owner)
        candidate = finding.candidate
        if candidate is None or finding.found_by not in ("rpath", "runpath"):
            continue
        tag = finding.found_by.upper()
        mended = remedy(want, _folder(candidate), is_relocatable(finding.element or ""))
        there = f"whose folder {told(want, _folder(candidate))} holds {want.name},"
        if owner not in chain or tag == "RPATH":
            sentence = f"the {tag} of {called(owner)}, {there} does not serve {called(want.asker)}: {mended}"
        elif own is None or own.runpath is None:
            none = f"{called(want.asker)} has no RUNPATH of its own, and the RUNPATH of {called(owner)},"
            instead = f"link {called(owner)} with RPATH instead (-Wl,--disable-new-dtags)"
            sentence = f"{none} {there} is not inherited: {mended}, or {instead}"
        else:
            other = f"the RUNPATH of {called(want.asker)} does not lead to it, and that of {called(owner)},"
            sentence = f"{other} {there} is not inherited: {mended}"
        yield candidate.identity, sentence


def _secure_execution(want: Wanted, rules: Glibc) -> Iterator[Hint]:
    """What counts in an ordinary start, and not in secure execution: LD_LIBRARY_PATH, and $ORIGIN."""
    if not rules.secure:
        return
    secure = "does not count in secure execution (setuid, file capabilities)"
    found = _first(want, rules.folders(rules.given_library_path or "", ":;", rules.main))
    if found is not None:
        where = f"LD_LIBRARY_PATH, whose folder {told(want, _folder(found[1]))} holds {want.name}, {secure}"
        yield found[1].identity, f"{where}: {remedy(want, _folder(found[1]))}"
    for owner in loaders_of(want.asker, rules.main):
        if owner.image is None:
            continue
        for element in split_search_path(owner.image.runpath or owner.image.rpath or "", ":"):
            trusting = as_meant(want, element, owner)
            candidate = in_folder(want, trusting) if trusting and not expand(element, rules.tokens(owner)) else None
            if candidate is not None:
                where = f"'{element}' of {called(owner)}, which leads to {want.name}, {secure}"
                folder = _folder(candidate)
                write = in_the_end(want, folder) or folder
                yield candidate.identity, f"{where}: write {write} without $ORIGIN"


def _no_default_folders(want: Wanted, rules: Glibc) -> Iterator[Hint]:
    """What DF_1_NODEFLIB of the asker keeps it from."""
    if not want.asker.shuns_defaults:
        return
    cached = ldcache.lookup(rules.cache, want.name, rules.accepted) if rules.cache else None
    candidate = acceptable(want, cached) if cached else None
    if candidate is None:
        found = _first(want, rules.default_folders)
        candidate = found[1] if found else None
    if candidate is not None:
        path = told(want, candidate.path)
        without = f"{called(want.asker)} is linked with -z nodefaultlib, so that {path} does not count for it"
        yield candidate.identity, f"{without}: {remedy(want, _folder(candidate))}, or link it without that"


def _voided_by_musl(want: Wanted, rules: Musl) -> Iterator[Hint]:
    """Lists that musl drops whole, for the sake of one element."""
    for void in switched_off_by_musl(rules, want.asker):
        owner = next(loaded for loaded in loaders_of(want.asker, rules.main) if loaded.path == void.of)
        for element in void.element.split(":"):
            folder = expanded(want, element, owner)
            found = in_folder(want, folder) if folder else None
            if found is not None:
                lost = f"musl drops the whole {void.source.upper()} of {called(owner)} for a $ that is not $ORIGIN"
                yield found.identity, f"{lost}: without the other elements, '{element}' would lead to {want.name}"


def _stale(want: Wanted, rules: Glibc) -> Iterator[Hint]:
    """A cache entry whose file is gone, and that ldconfig would not replace by another."""
    stale = rules.search(want.name, want.asker).stale
    if stale is not None:
        yield None, f"the loader's cache names {stale}, and that file is gone: reinstall what it belongs to"
