"""`linkscope pid` for people: what a process runs, what it has mapped, what that costs, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkscope.model.pid import FamilyTree, Process, ProcessError
from linkscope.report.contents import program_contents
from linkscope.report.family import family, tree
from linkscope.report.findings import findings, is_stale
from linkscope.report.lines import clipped, painted
from linkscope.report.memory import memory
from linkscope.report.moment import Moment
from linkscope.report.objects import objects
from linkscope.report.page import Page, Span, flow
from linkscope.report.processfacts import counted, facts, summary
from linkscope.report.processtitle import title

Result = Process | FamilyTree | ProcessError
"""What the answer for processes consists of."""


def render(results: Iterable[Result], page: Page, moment: Moment) -> Iterator[str]:
    """The report in pieces, one for each process and each family, with an empty line between, and a count at the end.

    Errors are counted, but not shown here.
    """
    stale = 0
    shown: set[int] = set()
    failed: set[int] = set()
    between: list[list[Span]] = []
    for result in results:
        if isinstance(result, ProcessError):
            failed.add(result.pid)
            continue
        lines = process_lines(result, page, moment) if isinstance(result, Process) else tree(result, page, moment)
        yield painted([*between, *lines], page)
        between = [[]]
        if isinstance(result, Process):
            shown.add(result.pid)
            stale += is_stale(result)
    if len(shown) > 1 or (shown and failed):
        yield painted([[], *_count(len(shown), stale, len(shown & failed), len(failed - shown), page)], page)


def _count(processes: int, stale: int, partly: int, failed: int, page: Page) -> Iterator[list[Span]]:
    items = [(counted(processes, "process", "processes"), "")]
    if stale:
        items.append((f"{stale} to be restarted", "bad"))
    if partly:
        items.append(("analysed only in part" if processes == 1 else f"{partly} of them only in part", "warn"))
    if failed:
        items.append((f"{failed} more could not be analysed", "warn"))
    return flow(items, page, [], [], " · ")


def process_lines(process: Process, page: Page, moment: Moment) -> Iterator[list[Span]]:
    """The whole report of one process."""
    about = [*facts(process, page), *family(process, page, moment), *program_contents(process, page)]
    parts = [about, _mapped(process, page), _cost(process, page), findings(process, page)]
    yield from _headed(process, page, moment, parts)


def live_lines(process: Process, page: Page, moment: Moment) -> Iterator[list[Span]]:
    """The same with what changes first and the objects last, which a small terminal has no room for."""
    about = [*_cost(process, page), *family(process, page, moment)]
    yield from _headed(process, page, moment, [about, findings(process, page), _mapped(process, page)])


def _headed(
    process: Process, page: Page, moment: Moment, parts: Iterable[Iterable[list[Span]]]
) -> Iterator[list[Span]]:
    yield [(clipped(f"{process.pid} {title(process.name, process.cmdline)}", page.width), "title")]
    yield from summary(process, page, moment)
    for part in parts:
        lines = list(part)
        if lines:
            yield []
            yield from lines


def _mapped(process: Process, page: Page) -> Iterator[list[Span]]:
    return objects(process.objects or [], page)


def _cost(process: Process, page: Page) -> Iterator[list[Span]]:
    return memory(process.memory, page) if process.memory is not None else iter(())
