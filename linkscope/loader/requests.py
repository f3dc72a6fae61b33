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
    names: dict[Loaded, set[str]] = {}
    if isinstance(rules, Glibc):
        wanted = preload.asked_for(system, environment.preload, start.secure)
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


def _preloaded(name: str, source: str, link_map: LinkMap, names: dict[Loaded, set[str]]) -> Request:
    known = [loaded for loaded in link_map.by_name.get(name, ()) if loaded.role != "library"]
    answer = known[0] if known else None
    searched = answer is None or not _give_name(answer, name, names) or answer.requested == name
    return Request(name, "preload", link_map.main, answer, searched, source)


def _needs(asker: Loaded, link_map: LinkMap, rules: Rules, names: dict[Loaded, set[str]]) -> Iterator[Request]:
    """The entries of one object, each beside what it led to (`dependencies` lacks those that are passed over)."""
    if asker.image is None:
        return
    met = link_map.dependencies.get(asker, [])
    at = 0
    seen: set[tuple[int, str]] = set()
    for tag, name in asker.image.dependencies:
        if tag not in rules.dependency_tags:
            continue
        answer = None
        if at < len(met) and met[at][:2] == (tag, name):
            answer = met[at][2]
            at += 1
        if (tag, name) not in seen:
            seen.add((tag, name))
            yield Request(
                name, _KINDS[tag], asker, answer, _was_searched(name, tag, asker, answer, link_map, rules, names)
            )


def _was_searched(
    name: str,
    tag: int,
    asker: Loaded,
    answer: Loaded | None,
    link_map: LinkMap,
    rules: Rules,
    names: dict[Loaded, set[str]],
) -> bool:
    """Whether the loader looked for a file: not where the answer had the name before this request.

    It gets a name later where a search ends at the very file that is loaded under another one.
    """
    expanded = rules.expand_name(name, tag, asker)
    if not isinstance(expanded, str):
        return False
    if answer is None or answer.image is None:
        return answer is None or answer.role != "vdso"
    if answer.role == "interpreter" and not isinstance(rules, Glibc):
        return rules.loaded_as(expanded, link_map) is not answer
    already = _give_name(answer, expanded, names)
    return not already or (answer.parent is asker and answer.requested == expanded)


def _give_name(loaded: Loaded, name: str, names: dict[Loaded, set[str]]) -> bool:
    """Let an object answer to NAME from now on; whether it did so before."""
    known = names.get(loaded)
    if known is None:
        soname = loaded.image.soname if loaded.image is not None else None
        known = names[loaded] = loaded.names.intersection((loaded.requested, loaded.path, soname))
    already = name in known
    known.add(name)
    return already
