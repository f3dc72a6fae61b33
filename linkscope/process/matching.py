"""Where each object of a process comes from: the prediction, the link map and the objects' own needs held together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from linkscope.loader.linkmap import Loaded
from linkscope.loader.program import Start
from linkscope.model.pid import Origin
from linkscope.process.mapped import Mapped, basename


class Match:
    """The result. origins: of each object. predicted: which entry of the prediction each object answers to.

    absent: the entries of the prediction that nothing mapped answers to. unforeseen: the objects that only their place
    in the link map shows to be preloaded.
    """

    def __init__(self) -> None:
        self.origins: dict[Mapped, Origin] = {}
        self.predicted: dict[Mapped, Loaded] = {}
        self.absent: list[Loaded] = []
        self.unforeseen: list[Mapped] = []


def match(
    objects: Sequence[Mapped],
    program: Mapped | None,
    interpreter: Mapped | None,
    start: Start | None,
    auditors: Iterable[str],
) -> Match:
    """OBJECTS, in the order of the link map as far as that is known, each with its origin.

    START: None where nothing could be predicted. AUDITORS: the names and paths of those that are asked for.
    """
    result = Match()
    for one in objects:
        if one.is_vdso:
            result.origins[one] = "vdso"
    if program is not None:
        result.origins[program] = "executable"
    if interpreter is not None and interpreter is not program:
        result.origins[interpreter] = "interpreter"
    if start is not None:
        _match_prediction(objects, start, result)
    _match_audits(objects, frozenset(auditors), result)
    if program is not None:
        _match_needs(objects, [program, *_of(result, "preload")], result)
    _match_preloads(objects, result)
    _match_opened(objects, result)
    return result


def _of(result: Match, origin: Origin) -> list[Mapped]:
    return [one for one, its in result.origins.items() if its == origin]


def _match_prediction(objects: Sequence[Mapped], start: Start, result: Match) -> None:
    """What the loader would map now, against what is mapped: by inode, by the name it was loaded by, by soname."""
    expected = [one for one in start.link_map.objects if one.role not in ("main", "vdso") and one.image is not None]
    left = list(expected)
    for answers in (_same_file, _same_name, _same_soname):
        remaining: list[Loaded] = []
        for loaded in left:
            found = next((one for one in objects if one not in result.predicted and answers(one, loaded)), None)
            if found is None:
                remaining.append(loaded)
                continue
            result.predicted[found] = loaded
            if found not in result.origins:
                result.origins[found] = "preload" if loaded.role == "preload" else "needed"
        left = remaining
    result.absent = [loaded for loaded in left if not (loaded.role == "interpreter" and not loaded.needed_by)]


def _same_file(one: Mapped, loaded: Loaded) -> bool:
    identity = one.standing.identity if one.standing else None
    return loaded.image is not None and identity == loaded.image.identity


def _same_name(one: Mapped, loaded: Loaded) -> bool:
    return loaded.path in (one.loaded_as, one.path) and not one.is_vdso


def _same_soname(one: Mapped, loaded: Loaded) -> bool:
    if one.is_vdso:
        return False
    soname = loaded.image.soname if loaded.image else None
    return (soname or basename(loaded.requested)) in (one.soname, basename(one.loaded_as or ""), basename(one.path))


def answers_to(one: Mapped, name: str) -> bool:
    """Whether an object is what a needed NAME led to: by its soname, or by the name it was loaded by."""
    if "/" in name:
        return name in (one.loaded_as, one.path)
    return name in (one.soname, basename(one.loaded_as or ""), basename(one.path))


def _match_needs(objects: Sequence[Mapped], roots: Iterable[Mapped], result: Match) -> None:
    """What the mapped files themselves need, breadth-first: the files on the disk may be others by now."""
    pending = list(roots)
    seen = set(pending)
    for one in pending:
        for name in one.needed:
            found = next((other for other in objects if answers_to(other, name)), None)
            if found is None or found in seen or found.is_vdso:
                continue
            seen.add(found)
            pending.append(found)
            result.origins.setdefault(found, "needed")


def _match_audits(objects: Sequence[Mapped], auditors: frozenset[str], result: Match) -> None:
    """Auditors, and what only they need: each auditor has a namespace of its own (rtld-audit(7))."""
    named = [one for one in objects if one not in result.origins and _is_auditor(one, auditors)]
    apart = {entry.namespace for one in named for entry in one.entries if entry.namespace}
    for one in objects:
        if one not in result.origins and (one in named or _only_in(one, apart)):
            result.origins[one] = "audit"


def _is_auditor(one: Mapped, auditors: frozenset[str]) -> bool:
    return bool({one.path, one.loaded_as, basename(one.path)} & auditors)


def _only_in(one: Mapped, namespaces: set[int]) -> bool:
    return bool(one.entries) and all(entry.namespace in namespaces for entry in one.entries)


def _match_preloads(objects: Sequence[Mapped], result: Match) -> None:
    """What stands in the link map before the first library that somebody needs was preloaded, whatever named it.

    glibc elf/rtld.c, dl_main, and musl ldso/dynlink.c, __dls3: preloads are loaded before all dependencies.
    """
    listed = [one for one in objects if any(entry.namespace == 0 for entry in one.entries)]
    if not any(result.origins.get(one) == "needed" for one in listed):
        return
    for one in listed:
        origin = result.origins.get(one)
        if origin == "needed":
            return
        if origin is None:
            result.origins[one] = "preload"
            result.unforeseen.append(one)


def _match_opened(objects: Sequence[Mapped], result: Match) -> None:
    """The rest came by dlopen: by itself, or because one that came so before it needs it.

    dlopen puts an object at the end of the link map and what it needs behind it (glibc elf/dl-open.c). Without the link
    map's order, whatever another one needs counts as needed.
    """
    rest = [one for one in objects if one not in result.origins]
    for place, one in enumerate(rest):
        before = rest[:place] if one.entries else rest
        wanted = any(answers_to(one, name) for other in before if other is not one for name in other.needed)
        result.origins[one] = "dlopen-needed" if wanted else "dlopen"
