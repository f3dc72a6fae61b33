"""The link map: which objects a loader maps, in which order, and who asked for each. The walk that both loaders share.

The walk is breadth-first over the dependency entries of each object, as glibc's `_dl_map_object_deps` and musl's
`load_deps` make it; what a name leads to is decided by the rules of one loader (`glibc.py`, `musl.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.loader import problems
from linkscope.loader.system import Candidate
from linkscope.model.inspect import FoundBy, Problem

# Filtees put before their filters, in one walk. Objects that filter one another are moved for ever: every glibc runs
# out of memory or crashes (2.31, 2.36, 2.41, observed).
_MOST_MOVES = 10_000

Role = Literal["main", "preload", "library", "interpreter", "vdso"]
# What a search tells while it runs: source, object, element, candidate, outcome, reason.
Watch = Callable[[FoundBy, "str | None", "str | None", "str | None", str, str], None]


class Refusal(msgspec.Struct, frozen=True):
    """Why the loader gives up at a file, or at a name before it looks for a file (then `path` is None)."""

    path: str | None
    reason: str


class Finding(msgspec.Struct, frozen=True):
    """Where a search ended. candidate: None where nothing was found; `refusal` then says if that was no mere absence.

    of, element: the path of the object whose tag named the folder, and the element as written there. stale: the file
    that the cache named and that is gone. other_class: a file of the other ELF class was passed over.
    """

    candidate: Candidate | None
    found_by: FoundBy | None
    of: str | None = None
    element: str | None = None
    refusal: Refusal | None = None
    stale: str | None = None
    other_class: bool = False


class Loaded:
    """One entry of the link map. `image` is None for a name that led to nothing, with `refusal` if a file was refused.

    path: the very string that the loader opens and prints; the program's own is the path by which it was named.
    parent: the object that caused the load (glibc's l_loader, musl's needed_by). names: what it answers to.
    needed_by: every object that asks for it, in the order in which they ask.
    """

    __slots__ = (
        "depth",
        "finding",
        "identity",
        "image",
        "names",
        "needed_by",
        "origin",
        "parent",
        "path",
        "refusal",
        "requested",
        "role",
        "rules_memory",
    )

    def __init__(
        self,
        requested: str,
        path: str | None,
        image: Image | None,
        role: Role,
        parent: Loaded | None = None,
        finding: Finding | None = None,
    ) -> None:
        self.requested = requested
        self.path = path
        self.image = image
        self.role: Role = role
        self.parent = parent
        self.finding = finding
        self.refusal = finding.refusal if finding else None
        self.identity: tuple[int, int] | None = None
        self.names: set[str] = set()
        self.needed_by: list[Loaded] = []
        self.origin: str | None = None
        self.depth = 0
        self.rules_memory: object = None

    def twin(self) -> Loaded:
        """A copy for another link map, whose `parent` and `needed_by` still have to be replaced by their twins."""
        twin = Loaded(self.requested, self.path, self.image, self.role, self.parent, self.finding)
        twin.identity = self.identity
        twin.names = self.names
        twin.needed_by = self.needed_by
        twin.origin = self.origin
        twin.depth = self.depth
        twin.rules_memory = self.rules_memory
        return twin

    @property
    def shuns_defaults(self) -> bool:
        """Whether it is linked with `-z nodefaultlib` (DF_1_NODEFLIB), and takes nothing from the default folders."""
        return self.image is not None and bool(self.image.dt_flags_1 & c.DF_1_NODEFLIB)

    def __repr__(self) -> str:
        return f"Loaded({self.requested!r}, {self.path!r}, {self.role})"


class Folder(Protocol):
    """One element of a search list."""

    @property
    def element(self) -> str:
        """As it is written; "" stands for the working directory."""

    @property
    def prefix(self) -> str:
        """The folder, with the tokens replaced, with or without a slash at its end."""


class Rules(Protocol):
    """What differs from loader to loader. main: the program; cwd: where it is started.

    without_relr: what the loader is called, with its release, if it passes DT_RELR over; None if it does not.
    """

    dependency_tags: frozenset[int]
    main: Loaded
    cwd: str
    without_relr: str | None

    def origin_of(self, program: str) -> str | None:
        """$ORIGIN of a program that the kernel starts by this path; None where the loader cannot tell."""

    def expand_name(self, name: str, tag: int, requester: Loaded) -> str | Refusal | None:
        """The dependency's name with its tokens replaced; None where the loader passes over the entry in silence."""

    def loaded_as(self, name: str, link_map: LinkMap) -> Loaded | None:
        """The object already loaded that answers to NAME."""

    def search(self, name: str, requester: Loaded, watch: Watch | None = None) -> Finding:
        """Where the loader would find NAME on behalf of REQUESTER; `watch` is told of every step."""

    def same_file(self, name: str, candidate: Candidate, link_map: LinkMap) -> Loaded | None:
        """The object already loaded that is this very file."""

    def admit(self, loaded: Loaded, link_map: LinkMap) -> None:
        """Note the names, the identity and the origin of an object that has just been mapped."""

    def own_folders(self, loaded: Loaded) -> Sequence[Folder]:
        """What an object's own RPATH or RUNPATH names, as far as the loader honours it."""

    @property
    def system_folders(self) -> frozenset[str]:
        """The folders that the loader searches for every program, absolute, without a slash at their end."""


class LinkMap:
    """The result of the walk, growing while it is made.

    objects: the link map in the loader's order, the program first (a filtee of its own stands before it), with an
    entry for each request that led to nothing. scope: the objects in the order in which symbols are looked up.
    dependencies: for each object, what each of its entries led to.
    """

    def __init__(self, main: Loaded) -> None:
        self.main = main
        self.objects: list[Loaded] = [main]
        self.scope: list[Loaded] = []
        self.dependencies: dict[Loaded, list[tuple[int, str, Loaded]]] = {}
        self.problems: list[Problem] = []
        self.by_name: dict[str, list[Loaded]] = {}
        self.by_identity: dict[tuple[int, int], Loaded] = {}

    def answer_to(self, name: str) -> Loaded | None:
        """The first object of the link map that has NAME among its names; the vdso stands behind the program."""
        found = self.by_name.get(name)
        if not found:
            return None
        return found[0] if len(found) == 1 else min(found, key=self._place)

    def _place(self, loaded: Loaded) -> float:
        return self.objects.index(loaded) if loaded in self.objects else 0.5

    def give_name(self, loaded: Loaded, name: str) -> None:
        """Let LOADED answer to NAME from now on."""
        if name not in loaded.names:
            loaded.names.add(name)
            self.by_name.setdefault(name, []).append(loaded)

    def hide(self, loaded: Loaded) -> None:
        """Forget the names and the identity of an object that stands before the program.

        glibc looks for what is loaded already from the program onwards, so that it maps such a filtee once more for
        the next object that asks for it (2.36, observed).
        """
        for name in loaded.names:
            self.by_name[name].remove(loaded)
        loaded.names.clear()
        if loaded.identity is not None and self.by_identity.get(loaded.identity) is loaded:
            del self.by_identity[loaded.identity]

    def copy_for(self, main: Loaded) -> LinkMap:
        """This link map with another program in the place of its own, which must answer to the same names.

        Nothing is shared that either of them would change, once the walk is over.
        """
        twins = {self.main: main}
        twins.update((loaded, loaded.twin()) for loaded in self.objects if loaded is not self.main)
        for loaded in twins.values():
            loaded.parent = twins.get(loaded.parent) if loaded.parent else None
            loaded.needed_by = [twins[asker] for asker in loaded.needed_by]
        copy = LinkMap(main)
        copy.objects = [twins[loaded] for loaded in self.objects]
        copy.scope = [twins[loaded] for loaded in self.scope]
        copy.dependencies = {
            twins[asker]: [(tag, name, twins.get(found, found)) for tag, name, found in dependencies]
            for asker, dependencies in self.dependencies.items()
        }
        copy.problems = list(self.problems)
        copy.by_name = {name: [twins.get(loaded, loaded) for loaded in found] for name, found in self.by_name.items()}
        copy.by_identity = {identity: twins[loaded] for identity, loaded in self.by_identity.items()}
        return copy

    def mapped(self) -> Iterator[Loaded]:
        """The objects behind the program that are really mapped files, in order."""
        return (o for o in self.objects if o.image is not None and o.role not in ("main", "vdso"))


class _Cell:
    """One place of the list that the walk works through; `done` once the entries of its object were followed."""

    __slots__ = ("done", "loaded")

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.done = False


def walk(link_map: LinkMap, preloads: list[Loaded], rules: Rules) -> None:
    """Load the dependencies of the program and of its preloads, breadth-first."""
    work = _Walk(link_map, preloads, rules)
    work.go()
    link_map.scope = [cell.loaded for cell in work.cells if cell.loaded.image is not None]
    _set_depths(link_map, preloads)


class _Walk:
    """The list that is worked through; at the end it is the scope.

    A filtee (DT_AUXILIARY, DT_FILTER) goes to the place before the object that names it, here and in the link map
    (glibc elf/dl-deps.c, _dl_map_object_deps).
    """

    def __init__(self, link_map: LinkMap, preloads: list[Loaded], rules: Rules) -> None:
        self.cells = [_Cell(link_map.main), *(_Cell(preload) for preload in preloads)]
        self._listed = {cell.loaded for cell in self.cells}
        self._link_map = link_map
        self._rules = rules
        self._moves = 0

    def go(self) -> None:
        """Follow every cell once, and again where a filtee has taken its place."""
        at = 0
        while at < len(self.cells) and self._moves <= _MOST_MOVES:
            self._follow(at)
            while at < len(self.cells) and self.cells[at].done:
                at += 1

    def _follow(self, at: int) -> None:
        """Load what the object of one cell asks for, in the order of its dynamic section."""
        cell = self.cells[at]
        cell.done = True
        loaded = cell.loaded
        for tag, name in loaded.image.dependencies if loaded.image is not None else ():
            if tag not in self._rules.dependency_tags:
                continue
            dependency = load(name, tag, loaded, self._link_map, self._rules)
            if dependency is None:
                continue
            if tag != c.DT_NEEDED:
                self._moves += 1
                if self._moves > _MOST_MOVES:
                    self._link_map.problems.append(problems.filter_ring(name, loaded))
                    return
                at += self._put_before(at, dependency)
            elif dependency not in self._listed:
                self._listed.add(dependency)
                self.cells.append(_Cell(dependency))

    def _put_before(self, place: int, filtee: Loaded) -> int:
        """Put FILTEE before the cell at PLACE, unless it stands earlier. The number of cells inserted there."""
        cells, objects = self.cells, self._link_map.objects
        loaded = cells[place].loaded
        if filtee in self._listed:
            later = next((i for i in range(place + 1, len(cells)) if cells[i].loaded is filtee), None)
            if later is None:
                return 0
            del cells[later]
        self._listed.add(filtee)
        cells.insert(place, _Cell(filtee))
        objects.remove(filtee)
        at = objects.index(loaded)
        objects.insert(at, filtee)
        if at < objects.index(self._link_map.main):
            self._link_map.hide(filtee)
        return 1


def load(name: str, tag: int, requester: Loaded, link_map: LinkMap, rules: Rules) -> Loaded | None:
    """What one dependency entry of REQUESTER leads to: an object already there, a new one, or an entry without image.

    None where the loader passes over it: a token without a value, or an auxiliary filtee that is nowhere.
    """
    expanded = rules.expand_name(name, tag, requester)
    if expanded is None:
        return None
    if isinstance(expanded, Refusal):
        found: Loaded | None = _without_image(name, Finding(None, None, refusal=expanded), requester, link_map)
    else:
        found = rules.loaded_as(expanded, link_map)
        if found is None:
            found = _search_and_map(expanded, tag, requester, link_map, rules)
    if found is not None:
        if not found.needed_by and found.role != "preload":
            found.requested = name  # as it is written there, while it answers to the name with the tokens replaced
        if requester not in found.needed_by:
            found.needed_by.append(requester)
        link_map.dependencies.setdefault(requester, []).append((tag, name, found))
    return found


def _search_and_map(name: str, tag: int, requester: Loaded, link_map: LinkMap, rules: Rules) -> Loaded | None:
    finding = rules.search(name, requester)
    candidate = finding.candidate
    if candidate is None:
        if tag == c.DT_AUXILIARY:
            link_map.problems.append(problems.missing_auxiliary(name, requester, finding))
            return None
        return _without_image(name, finding, requester, link_map)
    return take_in(
        Loaded(name, candidate.path, candidate.image, "library", requester, finding), candidate, link_map, rules
    )


def take_in(loaded: Loaded, candidate: Candidate, link_map: LinkMap, rules: Rules) -> Loaded:
    """LOADED at the end of the link map, or the object there already that is CANDIDATE's very file."""
    same = rules.same_file(loaded.requested, candidate, link_map)
    if same is not None:
        return same
    link_map.objects.append(loaded)
    rules.admit(loaded, link_map)
    return loaded


def _without_image(name: str, finding: Finding, requester: Loaded, link_map: LinkMap) -> Loaded:
    loaded = Loaded(name, None, None, "library", requester, finding)
    link_map.objects.append(loaded)
    return loaded


def _set_depths(link_map: LinkMap, preloads: list[Loaded]) -> None:
    """The shortest distance of each object from the program; a preload's is 1."""
    level = [link_map.main]
    seen = {link_map.main}
    depth = 0
    while level:
        depth += 1
        following = preloads if depth == 1 else []
        following = following + [found for one in level for _, _, found in link_map.dependencies.get(one, ())]
        level = []
        for loaded in following:
            if loaded not in seen:
                seen.add(loaded)
                loaded.depth = depth
                level.append(loaded)
