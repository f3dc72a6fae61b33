"""`linkscope compare` for people: the figures side by side, then what they rest on, and at the end what they say.

The verdict is last, as the remedies of `check` are: it is what stands above the prompt when the report has gone by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from linkscope.model.compare import CompareDocument, Measurement, Verdict, copies_in_common
from linkscope.model.quantities import duration
from linkscope.report.compare import chart, consequences, figures, parts
from linkscope.report.compare.names import called
from linkscope.report.compare.sidebyside import LEGEND, Row, side_by_side
from linkscope.report.escape import escape, quoted
from linkscope.report.lines import painted
from linkscope.report.page import INDENT, LABEL, Page, Span, flow, words

_Lines = Iterable[list[Span]]
_BETWEEN_WORDS = re.compile(r"(?<!\d) | (?!(?:[KMGT]iB|ms|µs|s|x|%)(?!\w))")  # not between a number and its unit


def render(document: CompareDocument, page: Page) -> Iterator[str]:
    """The report in pieces: a part each, with an empty line between. Errors are not shown here."""
    names = called(document.programs)
    begun = False
    for title, lines in _parts(document, names, page):
        shown = list(lines)
        if shown:
            text = painted([*([[]] if begun else []), [(title, "title")], *shown], page)
            yield text if page.unicode else text.replace("µ", "u").replace("–", "-")
            begun = True


def _parts(document: CompareDocument, names: Sequence[str], page: Page) -> Iterator[tuple[str, _Lines]]:
    """Titles with what stands below them; a part of which there is nothing has no lines."""
    programs = document.programs
    if not programs:
        return
    yield "These do not start here", consequences.problems(programs, names, page)
    yield "The files", [*_table(figures.of_files(document), names, page), *_alike(document, page)]
    yield "What they consist of", _consisting(document, names, page)
    yield "Other files that they need", consequences.files(programs, names, page)
    yield "When a library is updated", _table(consequences.updates(programs), names, page, marked=False)
    yield "What is lost", consequences.losses(programs, names, page)
    if document.measurement is not None:
        yield "Measured", _measured(document, document.measurement, names, page)
        yield "Memory of many copies (PSS)", chart.memory(programs, names, page)
    yield "Verdict", _verdict(document, page)
    yield "What this suggests", _suggestions(document, page)


def _table(rows: Iterator[Row], names: Sequence[str], page: Page, marked: bool = True) -> Iterator[list[Span]]:
    gathered = list(rows)
    if not gathered:
        return
    yield from side_by_side(gathered, names, page)
    if marked and any(mark for row in gathered for mark in row.marks):
        yield from words(LEGEND, "faint", page, [(" " * INDENT, "")])


def _alike(document: CompareDocument, page: Page) -> Iterator[list[Span]]:
    said = figures.alike_hardened(document.programs)
    if said:
        start: list[Span] = [(" " * INDENT, ""), ("alike in all: " if len(document.programs) > 1 else "", "faint")]
        yield from flow([(one, "faint") for one in said], page, start, [], ", ")


def _consisting(document: CompareDocument, names: Sequence[str], page: Page) -> Iterator[list[Span]]:
    if parts.kinds_of(document.programs):
        yield from chart.sizes(document.programs, names, page)
        yield []
        yield from side_by_side(list(parts.rows(document.programs)), names, page)


def _measured(
    document: CompareDocument, measurement: Measurement, names: Sequence[str], page: Page
) -> Iterator[list[Span]]:
    """How it was measured, the figures, and what could not be measured or disturbs."""
    yield from _how_measured(measurement, page)
    yield from _table(figures.of_runs(document), names, page)
    for reason in unmeasured(document, names):
        yield from _sentence(reason, "warn", page, [(" " * INDENT, ""), ("· ", "faint")])
    for note in measurement.notes:
        yield from _sentence(note, "warn", page, [(" " * INDENT, ""), ("· ", "faint")])


def _sentence(text: str, style: str, page: Page, first: Sequence[Span]) -> Iterator[list[Span]]:
    """Lines of running TEXT, all beginning in the column where FIRST ends; a number stays with its unit."""
    return flow([(word, style) for word in _BETWEEN_WORDS.split(text)], page, first, [], " ")


def _how_measured(measurement: Measurement, page: Page) -> Iterator[list[Span]]:
    """What was run how often and where, and what the measuring itself costs."""
    said = []
    if measurement.rounds:
        said.append(f"{_times(measurement.rounds, 'round')} after {_times(measurement.warm_ups, 'warm-up')}")
    if measurement.starts is not None:
        said.append(f"each started {_times(measurement.starts, 'time')} at most")
    if measurement.arguments:
        said.append(f"arguments: {' '.join(quoted(escape(argument)) for argument in measurement.arguments)}")
    if measurement.input is not None:
        said.append(f"input: {quoted(escape(measurement.input))}")
    said += told_output(measurement) + accepted_codes(measurement)
    if measurement.overhead is not None:
        said.append(f"measuring adds {duration(measurement.overhead)} to a run")
    said += [measurement.kernel, measurement.cpu]
    yield from flow([(one, "") for one in said if one], page, [(" " * INDENT, "")], [], " · ")


def unmeasured(document: CompareDocument, names: Sequence[str]) -> Iterator[str]:
    """Where nothing was measured: why, of each program, and what is left to compare; else nothing."""
    programs = document.programs
    if any(program.run for program in programs):
        return
    reasons = [((error.path, error.path_bytes), error.error) for error in document.errors]
    for program, name in zip(programs, names, strict=True):
        found = next((one for one in reasons if one[0] == (program.path, program.path_bytes)), None)
        if found is not None:
            reasons.remove(found)  # of who is named twice the errors come in the same order
            yield f"{escape(name)} {found[1]}"
    yield "nothing was measured: what is said of the programs is of their files alone"


def told_output(measurement: Measurement) -> list[str]:
    """Where the programs' output went, if that was not /dev/null."""
    return [] if measurement.output == "null" else [f"output: to a {measurement.output}"]


def accepted_codes(measurement: Measurement) -> list[str]:
    """A sentence on the exit codes that were a good end, if others than 0 were."""
    codes = measurement.accepted
    return [] if codes == [0] else [f"exit codes taken as a good end: {', '.join(map(str, codes))}"]


def _times(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count:,} {what}s"


def criterion_called(verdict: Verdict, document: CompareDocument) -> str:
    """What a criterion is called before its sentence: many of a server, of which one copy ran, are its connections."""
    if verdict.criterion != "memory-copies":
        return verdict.criterion
    return "many copies" if copies_in_common(document.programs) else "connections"


def _verdict(document: CompareDocument, page: Page) -> Iterator[list[Span]]:
    for verdict in document.verdict:
        label = criterion_called(verdict, document)
        first: list[Span] = [(f"{'':{INDENT}}{label:<{LABEL}}", "faint")]
        yield from _sentence(verdict.message, "", page, first)


def _suggestions(document: CompareDocument, page: Page) -> Iterator[list[Span]]:
    for suggestion in document.suggestions:
        yield from _sentence(suggestion, "", page, [(" " * INDENT, ""), ("→ ", "how")])
