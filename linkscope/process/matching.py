"""Where each object of a process comes from: the prediction, the link map and the objects' own needs held together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

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

    @property
    def misfits(self) -> int:
        """How many files of the prediction are not mapped, themselves."""
        others = (one.standing is None or one.standing.identity != _identity(of) for one, of in self.predicted.items())
        return len(self.absent) + sum(others)


def _identity(loaded: Loaded) -> tuple[int, int] | None:
    return loaded.image.identity if loaded.image else None


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
    names = Names(objects)
    if start is not None:
        _match_prediction(names, start, result)
    _match_audits(objects, frozenset(auditors), result)
    if program is not None:
        wanted = _match_needs(names, [program, *_of(result, "preload")], result)
        _match_preloads(objects, interpreter if interpreter in wanted else None, result)
        _match_needs(names, result.unforeseen, result)
    _match_opened(objects, names, result)
    return result


def _of(result: Match, origin: Origin) -> list[Mapped]:
    return [one for one, its in result.origins.items() if its == origin]


class Names:
    """The objects of a process by all that they answer to; of two with one name, the first in the link map counts."""

    def __init__(self, objects: Sequence[Mapped]) -> None:
        self._by_file: dict[tuple[int, int], Mapped] = {}
        self._by_path: dict[str, Mapped] = {}
        self._by_name: dict[str, list[Mapped]] = {}
        for one in objects:
            if one.standing is None:
                continue
            if one.standing.identity is not None:
                self._by_file.setdefault(one.standing.identity, one)
            for path in (one.loaded_as, one.path):
                if path:
                    self._by_path.setdefault(path, one)
            for name in dict.fromkeys((one.soname, basename(one.loaded_as or ""), basename(one.path))):
                if name:
                    self._by_name.setdefault(name, []).append(one)

    def file_of(self, loaded: Loaded) -> Mapped | None:
        """The object that is the very file of the prediction."""
        return self._by_file.get(loaded.image.identity) if loaded.image else None

    def path_of(self, loaded: Loaded) -> Mapped | None:
        """The object that was loaded by the path of the prediction, or has it now."""
        return self._by_path.get(loaded.path or "")

    def soname_of(self, loaded: Loaded) -> Mapped | None:
        """The object that has the name of the predicted one."""
        soname = loaded.image.soname if loaded.image else None
        return self.needed(soname or basename(loaded.requested))

    def needed(self, name: str) -> Mapped | None:
        """What a needed NAME led to: by its soname, or by the name it was loaded by."""
        return next(iter(self.answering(name)), None)

    def answering(self, name: str) -> list[Mapped]:
        """All that a needed NAME may have led to."""
        if "/" in name and "$" not in name:
            return [self._by_path[name]] if name in self._by_path else []
        return self._by_name.get(basename(name), [])


def _match_prediction(names: Names, start: Start, result: Match) -> None:
    """What the loader would map now, against what is mapped: by inode, by the name it was loaded by, by soname."""
    left = [one for one in start.link_map.objects if one.role not in ("main", "vdso") and one.image is not None]
    for answering in (names.file_of, names.path_of, names.soname_of):
        remaining: list[Loaded] = []
        for loaded in left:
            found = answering(loaded)
            if found is None or found in result.predicted:
                remaining.append(loaded)
                continue
            result.predicted[found] = loaded
            result.origins.setdefault(found, "preload" if loaded.role == "preload" else "needed")
        left = remaining
    result.absent = [loaded for loaded in left if not (loaded.role == "interpreter" and not loaded.needed_by)]


def _match_needs(names: Names, roots: Iterable[Mapped], result: Match) -> set[Mapped]:
    """What the mapped files themselves need, breadth-first: the files on the disk may be others by now.

    All of it, be it new or not, with the ROOTS.
    """
    pending = list(roots)
    seen = set(pending)
    for one in pending:
        for name in one.needed:
            found = names.needed(name)
            if found is not None and found not in seen:
                seen.add(found)
                pending.append(found)
                result.origins.setdefault(found, "needed")
    return seen


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


def _match_preloads(objects: Sequence[Mapped], interpreter: Mapped | None, result: Match) -> None:
    """What stands in the link map before the first library that somebody needs was preloaded, whatever named it.

    INTERPRETER: None where nobody needs it. glibc elf/rtld.c, dl_main, and musl ldso/dynlink.c, __dls3: preloads are
    loaded before all dependencies.
    """
    listed = [one for one in objects if any(entry.namespace == 0 for entry in one.entries)]
    if not any(one is interpreter or result.origins.get(one) == "needed" for one in listed):
        return
    for one in listed:
        origin = result.origins.get(one)
        if one is interpreter or origin == "needed":
            return
        if origin is None:
            result.origins[one] = "preload"
            result.unforeseen.append(one)


def _match_opened(objects: Sequence[Mapped], names: Names, result: Match) -> None:
    """The rest came by dlopen: by itself, or because one that came so before it needs it.

    dlopen puts an object at the end of the link map and what it needs behind it (glibc elf/dl-open.c). Without the link
    map's order, whatever another one needs counts as needed.
    """
    rest = [one for one in objects if one not in result.origins]
    wanted: set[Mapped] = set()
    if not all(one.entries for one in rest):
        wanted = {found for one in rest for found in _led_to(one, names)}
    for one in rest:
        result.origins[one] = "dlopen-needed" if one in wanted else "dlopen"
        if one.entries:
            wanted.update(_led_to(one, names))


def _led_to(one: Mapped, names: Names) -> Iterator[Mapped]:
    """What the needs of an object may have led to: each to the first that has it as its soname, if there is one."""
    for name in one.needed:
        near = [other for other in names.answering(name) if other is not one and _together(one, other)]
        yield from [other for other in near if other.soname == name][:1] or near


def _together(one: Mapped, other: Mapped) -> bool:
    """Whether both stand in one namespace, as far as is known."""
    spaces = {entry.namespace for entry in one.entries}
    return not spaces or not other.entries or any(entry.namespace in spaces for entry in other.entries)
