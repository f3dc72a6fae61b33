"""A library that an object does not get, and whether a folder that is not searched has it: what hints are made of."""

from __future__ import annotations

import os

import msgspec

from linkscope.loader import root, verify
from linkscope.loader.glibc import Glibc
from linkscope.loader.linkmap import Loaded
from linkscope.loader.musl import Musl
from linkscope.loader.program import Start
from linkscope.loader.system import Candidate, System
from linkscope.loader.tokens import expand

Hint = tuple["tuple[int, int] | None", str]
"""The file that a sentence speaks of (device and inode), so that it is spoken of once; and the sentence."""


class Wanted(msgspec.Struct, frozen=True, eq=False):
    """NAME, which ASKER needs and does not find by itself. privileged: what is told has to hold in secure execution."""

    name: str
    asker: Loaded
    rules: Glibc | Musl
    privileged: bool

    @property
    def system(self) -> System:
        """The root that is looked at."""
        return self.rules.system


def wanted(name: str, asker: Loaded, start: Start) -> Wanted | None:
    """The value; None where no loader is known."""
    rules = start.rules
    return Wanted(name, asker, rules, start.privileged) if isinstance(rules, Glibc | Musl) else None


def called(loaded: Loaded) -> str:
    """What a sentence calls an object: the program by its path, a library by the last part of it."""
    path = loaded.path or loaded.requested
    return path if loaded.role == "main" else path.rpartition("/")[2]


def absolute(want: Wanted, path: str) -> str:
    """PATH, a relative one taken from the working directory."""
    return root.absolute(path, want.rules.cwd)


def acceptable(want: Wanted, path: str) -> Candidate | None:
    """The file at PATH, if the loader would load it; None otherwise."""
    candidate = want.system.candidate(path, want.rules.cwd)
    if candidate.errno or candidate.image is None:
        return None
    if isinstance(want.rules, Glibc):
        return candidate if verify.judge(candidate, want.rules.target).verdict == "take" else None
    main = want.rules.main.image
    fits = main is not None and (candidate.image.machine, candidate.image.layout) == (main.machine, main.layout)
    return candidate if fits else None


def in_folder(want: Wanted, folder: str) -> Candidate | None:
    """What the loader would take if FOLDER was searched, its hardware capability subfolders first."""
    place = absolute(want, folder).rstrip("/") + "/"
    for directory in want.rules.tried_in(place) if isinstance(want.rules, Glibc) else (place,):
        path = directory + want.name
        if want.system.candidate(path, want.rules.cwd).errno == 0:
            return acceptable(want, path)
    return None


def expanded(want: Wanted, element: str, owner: Loaded) -> str | None:
    """An element of a search path of OWNER, with its tokens replaced; None where the loader would drop it."""
    if isinstance(want.rules, Glibc):
        return expand(element, want.rules.tokens(owner))
    return None if owner.origin is None else element.replace("${ORIGIN}", owner.origin).replace("$ORIGIN", owner.origin)


def as_meant(want: Wanted, element: str, owner: Loaded) -> str | None:
    """`expanded` without regard to secure execution: where an element of OWNER was meant to lead."""
    if isinstance(want.rules, Glibc):
        return expand(element, msgspec.structs.replace(want.rules.tokens(owner), origin_only_if_trusted=False))
    return expanded(want, element, owner)


def counts(want: Wanted, element: str, owner: Loaded) -> bool:
    """Whether an element that OWNER is to get counts whoever starts the program.

    In secure execution glibc wants the program's own $ORIGIN to lead to a system folder (elf/dl-load.c,
    _dl_dst_substitute), and musl drops every list of the program with $ORIGIN in it (ldso/dynlink.c, fixup_rpath).
    """
    if not want.privileged or "$" not in element:
        return True
    if isinstance(want.rules, Glibc):
        values = msgspec.structs.replace(want.rules.tokens(owner), origin_only_if_trusted=True)
        return bool(expand(element, values))
    return owner is not want.rules.main


def told(want: Wanted, path: str) -> str:
    """What a sentence calls a file or a folder: what is in an archive has no path yet."""
    return want.system.unsettled(absolute(want, path)) or path


def in_the_end(want: Wanted, folder: str) -> str | None:
    """What stands for an absolute path that cannot be told yet: of a folder in an archive; None of any other."""
    archived = want.system.unsettled(folder) if folder.startswith("/") else None
    return archived and f"the path at which {archived} will be"


def is_relocatable(element: str) -> bool:
    """Whether an element of a search path was meant to move with the files: by $ORIGIN, or because it is relative."""
    return "ORIGIN" in element or not element.startswith("/")


def runpath_to(want: Wanted, folder: str, relocatable: bool) -> str:
    """How ASKER's own RUNPATH would name FOLDER: from $ORIGIN where RELOCATABLE, and where that counts and leads there.

    What is in an archive is relocatable.
    """
    there = absolute(want, folder).rstrip("/") or "/"
    origin = want.asker.origin
    if (relocatable or want.system.unsettled(there)) and origin is not None:
        way = os.path.relpath(there, origin)
        element = "$ORIGIN" if way == "." else f"$ORIGIN/{way}"
        by_origin, directly = in_folder(want, f"{origin}/{way}"), in_folder(want, there)
        leads_there = by_origin is not None and directly is not None and by_origin.identity == directly.identity
        if leads_there and counts(want, element, want.asker):
            return element
    return there


def remedy(want: Wanted, folder: str, relocatable: bool = False) -> str:
    """What gives ASKER a search path of its own that leads to FOLDER."""
    element, image = runpath_to(want, folder, relocatable), want.asker.image
    unknown, quoted = in_the_end(want, element), f"'{element}'"
    if image is not None and (image.runpath is not None or image.rpath):
        tag = "RPATH" if image.runpath is None else "RUNPATH"
        return f"add {unknown or quoted} to the {tag} of {called(want.asker)}"
    return f"link {called(want.asker)} with -Wl,-rpath{f' and {unknown}' if unknown else f',{quoted}'}"
