"""`linkscope inspect` for people: for each file what it is, what it gets from where, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkscope.model.document import AnalysisError
from linkscope.model.inspect import File
from linkscope.report.escape import exact
from linkscope.report.facts import facts, summary
from linkscope.report.libraries import declared, libraries
from linkscope.report.page import Page, Span, paint
from linkscope.report.problems import problems, symbols

# The parts of a file's report below its headline, in the order in which they are read.
_PARTS = (facts, libraries, declared, symbols, problems)


def render(results: Iterable[File | AnalysisError], page: Page) -> Iterator[str]:
    """The report in pieces, one for each file, with an empty line between; errors are not shown here."""
    first = True
    for result in results:
        if isinstance(result, File):
            yield ("" if first else "\n") + "".join([paint(line, page) + "\n" for line in _lines(result, page)])
            first = False


def _lines(file: File, page: Page) -> Iterator[list[Span]]:
    yield [(exact(file.path, file.path_bytes), "title")]
    yield from summary(file, page)
    for part in _PARTS:
        lines = list(part(file, page))
        if lines:
            yield []
            yield from lines
