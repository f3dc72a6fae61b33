"""`linkscope inspect` for people: for each file what it is, what it gets from where, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkscope.model.document import AnalysisError
from linkscope.model.inspect import File
from linkscope.report.contents import contents
from linkscope.report.escape import exact
from linkscope.report.facts import facts, summary
from linkscope.report.libraries import declared, libraries
from linkscope.report.lines import painted
from linkscope.report.page import Page, Span, flow
from linkscope.report.problems import problems, symbols

# The parts of a file's report below its headline, in the order in which they are read.
_PARTS = (facts, libraries, declared, contents, symbols, problems)


def render(results: Iterable[File | AnalysisError], page: Page) -> Iterator[str]:
    """The report in pieces, one for each file, with an empty line between, and a count of many at the end.

    Errors are counted, but not shown here.
    """
    files = broken = errors = 0
    for result in results:
        if isinstance(result, AnalysisError):
            errors += 1
            continue
        yield painted([[]] * (files > 0), page) + painted(_lines(result, page), page)
        files += 1
        broken += any(problem.fatal for problem in result.problems)
    if files + errors > 1:
        yield painted([[]] * (files > 0), page) + painted(_count(files, broken, errors, page), page)


def _lines(file: File, page: Page) -> Iterator[list[Span]]:
    yield [(exact(file.path, file.path_bytes), "title")]
    yield from summary(file, page)
    for part in _PARTS:
        lines = list(part(file, page))
        if lines:
            yield []
            yield from lines


def _count(files: int, broken: int, errors: int, page: Page) -> Iterator[list[Span]]:
    items = [(f"{files} {'file' if files == 1 else 'files'}", "")]
    if broken:
        items.append((f"{broken} with a problem that keeps it from starting", "bad"))
    if errors:
        items.append((f"{errors} not analysed", "warn"))
    return flow(items, page, [], [], " · ")
