"""How the loader goes about finding what an object asks for, step by step, and along which chain it comes to ask.

The steps are those of LD_DEBUG=libs (man ld.so); what the rules leave out stands in its place, with the reason. Of
the tries in an absolute folder and its hardware capability subfolders, those in folders that exist are told, and one
for a folder of which none exists: LD_DEBUG=libs shows the others too, the first time. In a relative folder every try is
told, since the loader makes every one of them each time (glibc elf/dl-load.c, open_path).
"""

from __future__ import annotations

import errno
import os
from typing import cast

import msgspec

from linkscope.loader import misfits
from linkscope.loader.glibc import CACHE, Glibc
from linkscope.loader.linkmap import LinkMap, Loaded, Refusal, Rules
from linkscope.loader.luck import is_lucky
from linkscope.loader.musl import Musl
from linkscope.loader.program import Start
from linkscope.loader.requests import Request
from linkscope.loader.switched_off import SwitchedOff, switched_off, switched_off_by_musl
from linkscope.model.document import text
from linkscope.model.inspect import FoundBy
from linkscope.model.why import Outcome, SearchStep

# The sources in the order in which glibc goes through them; musl leaves nothing out, and needs no such order.
_ORDER: tuple[FoundBy, ...] = ("path", "rpath", "LD_LIBRARY_PATH", "runpath", "ld.so.cache", "default")
# Those that stand in a tag of an object (PT_INTERP for the interpreter).
_TAGGED = frozenset(("rpath", "runpath", "interpreter"))


def shortest_chains(link_map: LinkMap) -> dict[Loaded, list[str]]:
    """For every object that is reached, the names by which one leads to the next, from the program to it.

    The names are those of the dependency entries; a preload counts as asked for by the program.
    """
    chains = {link_map.main: [link_map.main.path or link_map.main.requested]}
    level = [link_map.main]
    while level:
        following: list[Loaded] = []
        for asker in level:
            edges = [(name, found) for _, name, found in link_map.dependencies.get(asker, ())]
            if asker is link_map.main:
                edges += [(loaded.requested, loaded) for loaded in link_map.objects if loaded.role == "preload"]
            for name, found in edges:
                if found not in chains:
                    chains[found] = [*chains[asker], name]
                    following.append(found)
        level = following
    return chains


def steps(request: Request, start: Start) -> list[SearchStep]:
    """The steps of one request, in the loader's order; [] where there is no loader that could make them."""
    rules = start.rules
    asked_by = request.source or request.asker.path or request.asker.requested
    if request.kind == "interpreter":
        outcome: Outcome = "found" if request.found else "absent"
        return [_step("interpreter", request.asker.path, None, request.name, outcome, "", asked_by)]
    if rules is None:
        return []
    name = rules.expand_name(request.name, request.tag, request.asker)
    if not isinstance(name, str):
        return [_unusable_name(request.name, name, asked_by)]
    answer = request.answer
    if request.searched:
        made = _search(name, request, rules, asked_by)
        if (
            made
            and made[-1].outcome == "found"
            and answer is not None
            and made[-1].candidate != text(answer.path or "")
        ):
            made.append(_loaded(answer, "that is the file loaded under this name", asked_by))
        return made
    if answer is None:
        return []
    already = [_loaded(answer, _why_loaded(answer), asked_by)]
    if request.kind != "preload" and is_lucky(request.name, request.tag, request.asker, answer, rules):
        by_itself = _search(name, request, rules, asked_by)
        already += [msgspec.structs.replace(step, made=False) for step in by_itself]
    return already


def _step(
    source: FoundBy,
    of: str | None,
    element: str | None,
    candidate: str | None,
    outcome: str,
    reason: str,
    asked_by: str,
) -> SearchStep:
    return SearchStep(
        source=source,
        of=text(of) if of is not None and source in _TAGGED else None,
        element=None if element is None else text(element),
        candidate=None if candidate is None else text(candidate),
        outcome=cast(Outcome, outcome),
        reason=text(reason) or None,
        asked_by=text(asked_by),
    )


def _unusable_name(name: str, why: Refusal | None, asked_by: str) -> SearchStep:
    """The step for a name that the loader rejects, or passes over because a token in it has no value."""
    if why is not None:
        return _step("path", None, None, name, "refused", why.reason, asked_by)
    return _step("path", None, None, name, "not-applicable", "a token in the name has no value here", asked_by)


def _loaded(answer: Loaded, reason: str, asked_by: str) -> SearchStep:
    return _step("loaded", None, None, answer.path, "found", reason, asked_by)


def _why_loaded(answer: Loaded) -> str:
    if answer.role == "main":
        return "the program itself answers to this name"
    if answer.role == "interpreter":
        return "it is the program's interpreter"
    if answer.role == "vdso":
        return "the kernel's own object answers to this name"
    if answer.role == "preload" or answer.parent is None:
        return "it is preloaded"
    return f"it is loaded already, for {answer.parent.path or answer.parent.requested}"


def _search(name: str, request: Request, rules: Rules, asked_by: str) -> list[SearchStep]:
    """The steps of the search for NAME, with what is switched off before those of the same source."""
    seen: list[SearchStep] = []

    def watch(
        source: FoundBy, of: str | None, element: str | None, path: str | None, outcome: str, reason: str
    ) -> None:
        seen.append(_step(source, of, element, path, outcome, _in_full(rules, path, outcome, reason), asked_by))

    preloaded = request.kind == "preload"
    if isinstance(rules, Musl):
        rules.search(name, None if preloaded else request.asker, watch)
        left_out = [] if preloaded else [_left_out(one, asked_by) for one in switched_off_by_musl(rules, request.asker)]
        return seen if "/" in name else left_out + seen
    if isinstance(rules, Glibc):
        rules.search(name, request.asker, watch, suid_only=preloaded)
    if not isinstance(rules, Glibc) or "/" in name:
        return seen
    seen = [_given_up(step, following) for step, following in zip(seen, [*seen[1:], None], strict=True)]
    left_out = [_left_out(one, asked_by) for one in switched_off(rules, request.asker)]
    ended = seen[-1].source if seen and seen[-1].outcome in ("found", "refused") else _ORDER[-1]
    return [
        step for source in _ORDER[: _ORDER.index(ended) + 1] for step in (*left_out, *seen) if step.source == source
    ]


def _in_full(rules: Rules, path: str | None, outcome: str, reason: str) -> str:
    """The REASON of a step as the rules tell it, with what only the files show."""
    if not isinstance(rules, Glibc):
        return reason
    if outcome in ("wrong-class", "wrong-machine") and path is not None and rules.main.image is not None:
        return misfits.of_another_kind(rules.system.candidate(path, rules.cwd), rules.main.image)
    if reason == "no cache" and not rules.system.candidate(CACHE, "/").errno:
        return f"{CACHE} is there, and is not one that the loader can use"
    return reason


def _given_up(step: SearchStep, following: SearchStep | None) -> SearchStep:
    """STEP, with an errno's name put in words, and what it means for the rest of the list (glibc `open_path`)."""
    number = getattr(errno, step.reason or "", None)
    if number is None:
        return step
    reason = os.strerror(number).lower()
    last = following is None or (following.source, following.of) != (step.source, step.of)
    if number != errno.ENOTDIR and last:
        reason += "; after that the loader gives up this list"
    return msgspec.structs.replace(step, reason=reason)


def _left_out(one: SwitchedOff, asked_by: str) -> SearchStep:
    return _step(one.source, one.of, one.element, None, "not-applicable", one.reason, asked_by)
