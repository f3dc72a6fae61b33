"""`linkscope why` for people: who asks for the library, and the loader's search for it, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from linkscope.model.why import Outcome, SearchStep, WhyDocument
from linkscope.report.escape import escape
from linkscope.report.page import INDENT, Page, Span, cells, cut, flow, padded, paint, words

_GAP = 2
# A narrow page leaves at least this much of a candidate's path.
_LEAST = 24
# More chains, or more objects that a loaded library serves, tell a person nothing new.
_CHAINS, _SERVED = 8, 12
_OUTCOMES: dict[Outcome, Span] = {
    "found": ("found", "good"),
    "absent": ("not there", "faint"),
    "wrong-class": ("passed over: wrong class", "warn"),
    "wrong-machine": ("passed over: other machine", "warn"),
    "no-permission": ("passed over: no permission", "warn"),
    "refused": ("refused: the search ends", "bad"),
    "not-applicable": ("does not count", "faint"),
}
_SOURCES = {"default": "default folders", "path": "the name is a path", "loaded": "already loaded"}


def render(document: WhyDocument, page: Page) -> str:
    """The whole answer as text."""
    return "".join([paint(line, page) + "\n" for line in _lines(document, page)])


def _lines(document: WhyDocument, page: Page) -> Iterator[list[Span]]:
    yield from _chains(document, page)
    yield from _searches(document, page)
    answer = list(_answer(document, page))
    if answer:
        yield []
        yield from answer


def _chains(document: WhyDocument, page: Page) -> Iterator[list[Span]]:
    for *through, library in document.chains[:_CHAINS]:
        links = [*((name, "") for name in through), (library, "title")]
        yield from flow(links, page, [], [(" " * 2 * INDENT, "")], " → ")
    if len(document.chains) > _CHAINS:
        yield [(f"and along {len(document.chains) - _CHAINS} more chains", "faint")]
    if not document.chains:
        yield from words(f"Nothing that {document.path} loads asks for {document.library}.", "", page, [])


def _searches(document: WhyDocument, page: Page) -> Iterator[list[Span]]:
    """The searches that are made, then whom they serve as well, then those that are spared by that."""
    searches, served = _requests(document.search)
    width = _column(document.search, page)
    for steps in searches:
        if steps[0].made:
            yield from _search(f"The search on behalf of {steps[0].asked_by or document.path}:", steps, width, page)
    if served:
        yield from [[], [("It is loaded already when these ask for it:", "")]]
        more = [f"and {len(served) - _SERVED} more"] if len(served) > _SERVED else []
        names = [name.rpartition("/")[2] for name in served[:_SERVED]] + more
        yield from flow([(name, "") for name in names], page, [(" " * INDENT, "")], [], ", ")
    for steps in searches:
        if not steps[0].made:
            yield from _search(f"Without that, {steps[0].asked_by} would be served like this:", steps, width, page)


def _requests(steps: list[SearchStep]) -> tuple[list[list[SearchStep]], list[str]]:
    """The steps of each search that is made (or would be), and who is served by what is loaded already."""
    searches: list[list[SearchStep]] = []
    served: list[str] = []
    for (asked_by, _), alike in groupby(steps, key=lambda step: (step.asked_by, step.made)):
        request = list(alike)
        if asked_by is not None and [step.source for step in request] == ["loaded"]:
            served.append(asked_by)
        else:
            searches.append(request)
    return searches, served


def _search(heading: str, steps: list[SearchStep], width: int, page: Page) -> Iterator[list[Span]]:
    yield []
    yield from words(heading, "", page, [])
    for _, alike in groupby(steps, key=lambda step: (step.source, step.of)):
        yield from _source(list(alike), width, page)


def _column(steps: list[SearchStep], page: Page) -> int:
    """How wide the candidates' column is: as the longest of them, if the outcomes still find room beside it."""
    candidates = [(cells(escape(step.candidate)), step.outcome) for step in steps if step.candidate is not None]
    widest = max((width for width, _ in candidates), default=0)
    if page.width is None:
        return widest
    outcomes = max((len(_OUTCOMES[outcome][0]) for _, outcome in candidates), default=0)
    return min(widest, max(_LEAST, page.width - 2 * INDENT - _GAP - outcomes))


def _source(steps: list[SearchStep], width: int, page: Page) -> Iterator[list[Span]]:
    """One list that is searched: whose it is, its elements as they are written there, and what each leads to."""
    name = _SOURCES.get(steps[0].source, steps[0].source)
    if steps[0].of is not None:
        name += f" of {steps[0].of.rpartition('/')[2]}"
    start: list[Span] = [(" " * INDENT, ""), (name, "how"), ("  ", "")]
    elements = dict.fromkeys(step.element for step in steps if step.element is not None)
    if all(map(_plain, steps)):
        elements.clear()
    if len(steps) == 1 and steps[0].candidate is None and not elements:
        yield from words(*_outcome(steps[0]), page, start)
        return
    yield from flow([(element or "(empty)", "") for element in elements], page, start, [], ":")
    for step in steps:
        yield from _step(step, len(elements) > 1, width, page)


def _plain(step: SearchStep) -> bool:
    """Whether the element is a folder that the candidate shows as well."""
    return (step.element or "").startswith("/") and (step.candidate or "").startswith(step.element or "")


def _outcome(step: SearchStep) -> Span:
    word, style = _OUTCOMES[step.outcome]
    return f"{word}: {step.reason}" if step.reason else word, style


def _step(step: SearchStep, named: bool, width: int, page: Page) -> Iterator[list[Span]]:
    """A candidate and its outcome; or why there is none, for the element NAMED where there are several."""
    start: list[Span] = [(" " * 2 * INDENT, "")]
    if step.candidate is None:
        if named and step.element:
            start.append((f"{step.element} ", ""))
        yield from words(*_outcome(step), page, start)
        return
    yield [*start, padded(cut(step.candidate, width), "", width + _GAP), _OUTCOMES[step.outcome]]
    if step.reason:
        yield from words(step.reason, _OUTCOMES[step.outcome][1], page, [*start, (" " * INDENT, "")])


def _failure(document: WhyDocument) -> str:
    for step in document.search:
        if step.outcome == "refused" and step.made:
            reason = f" ({step.reason})" if step.reason else ""
            return f"{document.library} is not loaded: the search ends at {step.candidate}{reason}"
    return f"{document.library} is not found"


def _answer(document: WhyDocument, page: Page) -> Iterator[list[Span]]:
    if document.path_found is not None:
        yield [("found: ", "good"), (document.path_found, "title")]
    elif document.chains:
        yield from words(_failure(document), "bad", page, [])
    for hint in document.hints:
        yield from words(hint, "", page, [("→ ", "warn")])
