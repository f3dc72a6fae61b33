"""Who asks for what on the way to a link map, in the order in which the loader meets it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from linkscope.elf import constants as c
from linkscope.loader import preload
from linkscope.loader.environment import Environment
from linkscope.loader.glibc import Glibc
from linkscope.loader.linkmap import LinkMap, Loaded, Rules
from linkscope.loader.program import Start
from linkscope.loader.system import System

Kind = Literal["needed", "auxiliary", "filter", "interpreter", "preload"]

_KINDS: dict[int, Kind] = {c.DT_NEEDED: "needed", c.DT_AUXILIARY: "auxiliary", c.DT_FILTER: "filter"}
_TAGS = {kind: tag for tag, kind in _KINDS.items()}


class Request(msgspec.Struct, frozen=True, eq=False):
    """One object asking for one name.

    asker: the program for a preload; `source` then says who names it (LD_PRELOAD, /etc/ld.so.preload). answer: what
    it gets, an entry without image where that is nothing; None where the loader passes over it in silence.
    searched: the loader looks for a file on this request; otherwise something loaded answers to the name.
    """

    name: str
    kind: Kind
    asker: Loaded
    answer: Loaded | None
    searched: bool
    source: str | None = None

    @property
    def tag(self) -> int:
        """The dynamic tag of the entry; that of a needed library for what stands in no dynamic section."""
        return _TAGS.get(self.kind, c.DT_NEEDED)

    @property
    def found(self) -> bool:
        """Whether a mapped object answers."""
        return self.answer is not None and (self.answer.image is not None or self.answer.role == "vdso")


def requests(start: Start, system: System, environment: Environment) -> list[Request]:
    """Everything that is asked for, in order. Without a usable interpreter, only what the program itself names."""
    link_map, rules = start.link_map, start.rules
    image = link_map.main.image
    found = list(_interpreter(start))
    if rules is None:
        dependencies = image.dependencies if image is not None else ()
        return found + [Request(name, _KINDS[tag], link_map.main, None, False) for tag, name in dependencies]
    if isinstance(rules, Glibc):
        wanted = preload.asked_for(system, environment, start.secure)
    else:
        wanted = preload.asked_for_by_musl(environment, start.secure)
    names = _Names(link_map, rules)
    found += [_preloaded(name, source, link_map, names) for name, source in wanted]
    # Where every entry of an object is passed over, it is no key of `dependencies`.
    for asker in dict.fromkeys([*link_map.dependencies, *link_map.scope]):
        found += _needs(asker, link_map, rules, names)
    return found


def _interpreter(start: Start) -> Iterator[Request]:
    main = start.link_map.main
    if main.image is not None and main.image.interpreter is not None:
        name = main.image.interpreter
        known = start.link_map.by_name.get(name, [])
        answer = next((loaded for loaded in known if loaded.role == "interpreter"), None)
        yield Request(name, "interpreter", main, answer, True)


def _preloaded(name: str, source: str, link_map: LinkMap, names: _Names) -> Request:
    loaded_for_it = [loaded for loaded in link_map.objects if loaded.role == "preload" and loaded.requested == name]
    known = loaded_for_it or [loaded for loaded in link_map.by_name.get(name, ()) if loaded.role != "library"]
    answer = known[0] if known else None
    return Request(name, "preload", link_map.main, answer, answer is None or names.is_new(name, answer), source)


def _needs(asker: Loaded, link_map: LinkMap, rules: Rules, names: _Names) -> Iterator[Request]:
    """The entries of one object, each beside what it led to (`dependencies` lacks those that are passed over)."""
    if asker.image is None:
        return
    met = link_map.dependencies.get(asker, [])
    at = 0
    for tag, name in asker.image.dependencies:
        if tag not in rules.dependency_tags:
            continue
        answer = None
        if at < len(met) and met[at][:2] == (tag, name):
            answer = met[at][2]
            at += 1
        yield Request(name, _KINDS[tag], asker, answer, names.need_search(name, tag, asker, answer))


class _Names:
    """What each object answers to so far, while the requests are gone through in their order."""

    def __init__(self, link_map: LinkMap, rules: Rules) -> None:
        self._link_map = link_map
        self._rules = rules
        self._known: dict[Loaded, set[str]] = {}

    def need_search(self, name: str, tag: int, asker: Loaded, answer: Loaded | None) -> bool:
        """Whether the loader has to look for a file: not where what it gets has the name already.

        An object gets another name where a search ends at the very file that it was loaded from.
        """
        expanded = self._rules.expand_name(name, tag, asker)
        if not isinstance(expanded, str):
            return False
        if answer is None or answer.role == "vdso":
            return answer is None
        if answer.role == "interpreter" and not isinstance(self._rules, Glibc):
            return self._rules.loaded_as(expanded, self._link_map) is not answer
        return answer.image is None or self.is_new(expanded, answer)

    def is_new(self, name: str, answer: Loaded) -> bool:
        """Whether ANSWER is loaded for this request, or gets NAME by it; it has that name from now on."""
        known = self._known.get(answer)
        loaded_now = known is None and answer.role in ("library", "preload")
        if known is None:
            soname = answer.image.soname if answer.image is not None else None
            known = self._known[answer] = answer.names.intersection((answer.requested, answer.path, soname))
        new = name not in known
        known.add(name)
        return new or loaded_now
