"""`linkscope compare` as Markdown for a comment on a pull request: the verdict, the figures, and the rest folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkscope.model.compare import CompareDocument, Measurement, Program
from linkscope.model.document import AnalysisError
from linkscope.model.quantities import duration, size
from linkscope.report.compare import consequences, figures, parts
from linkscope.report.compare.names import called
from linkscope.report.compare.sidebyside import Row
from linkscope.report.compare.text import accepted_codes, criterion_called, told_output, unmeasured
from linkscope.report.escape import exact, quoted
from linkscope.report.lines import clipped
from linkscope.report.markup import code, inert, sentence
from linkscope.report.page import cut

_ROOM = 65_000
"""Characters of the whole: GitHub refuses a comment of more than 65,536."""
_LAST = 300  # kept free for the line that says what is left out
_NAME, _PATH, _MESSAGE = 60, 200, 600  # columns that one of them may take
_MARKS = {"*": " ★", "=": " &#61;", "": ""}
_LEGEND = "\n★ the best by the verdict, &#61; as good (equal, or not to be told apart)\n"


def render(document: CompareDocument) -> Iterator[str]:
    """The pieces, newlines included: what the figures say comes first, and what they rest on is folded.

    What finds no room in a comment is left out, and named in the last line.
    """
    names = [cut(name, _NAME) for name in called(document.programs)]
    room = _ROOM - _LAST
    left_out: list[str] = []
    for what, part in _parts(document, names):
        if len(part) <= room:
            yield part
            room -= len(part)
        else:
            left_out.append(what)
    if left_out:
        yield f"\nLeft out, for a comment has no room for it: {', '.join(left_out)}.\n"


def _parts(document: CompareDocument, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What each part is about, and its text; nothing of what there is nothing of."""
    programs = document.programs
    yield "the title", f"### LinkScope: {len(programs)} {'program' if len(programs) == 1 else 'programs'} compared\n"
    yield "errors", "".join(map(_error, document.errors))
    yield "problems", _bullets("These do not start here", consequences.whose_problems(programs, names))
    yield "the verdict", _verdict(document)
    if document.suggestions:
        said = "".join(f"- {_said(clipped(one, _MESSAGE))}\n" for one in document.suggestions)
        yield "the suggestions", f"\n**What this suggests**\n\n{said}"
    if document.measurement is not None:
        measured = [_how_measured(document.measurement), _table(list(figures.of_runs(document)), names)]
        told = [*unmeasured(document, names), *document.measurement.notes]
        notes = [f"- {_said(clipped(note, _MESSAGE))}\n" for note in told]
        yield "what was measured", _folded("What was measured", "".join([*measured, "\n", *notes]))
    if programs:
        yield "the files' own figures", _folded("What the files say", _files(document, names))
        consisting = list(parts.rows(programs))
        yield "what they consist of", _folded("What they consist of", _table(consisting, names) if consisting else "")
        yield "other files", _folded("Other files that they need", _needed(programs, names))
        updates = list(consequences.updates(programs))
        yield "updates", _folded("When a library is updated", _table(updates, names) if updates else "")
        lost = _bullets("", consequences.whose_losses(programs, names))
        yield "what is lost", _folded("What is lost", lost)


def _error(error: AnalysisError) -> str:
    path = cut(exact(error.path, error.path_bytes), _PATH)
    return f"\n{code(path)} could not be compared: {_said(clipped(error.error, _MESSAGE))}\n"


def _said(text: str) -> str:
    """TEXT with its names set as code; the letter of a unit makes no name."""
    return sentence(text).replace(code("µs"), "µs")


def _verdict(document: CompareDocument) -> str:
    if not document.verdict:
        return ""
    rows = [
        f"| {criterion_called(verdict, document)} | {_said(clipped(verdict.message, _MESSAGE))} |\n"
        for verdict in document.verdict
    ]
    return f"\n| Criterion | Verdict |\n| --- | --- |\n{''.join(rows)}"


def _how_measured(measurement: Measurement) -> str:
    """What was run how often and where, and what the measuring costs."""
    said = []
    if measurement.rounds:
        said.append(f"{measurement.rounds} rounds after {measurement.warm_ups} to warm up")
    if measurement.starts is not None:
        said.append(f"each started {measurement.starts:,} {'time' if measurement.starts == 1 else 'times'} at most")
    if measurement.arguments:
        words = " ".join(quoted(argument) for argument in measurement.arguments)
        said.append(f"arguments: {code(clipped(words, _PATH))}")
    if measurement.input is not None:
        said.append(f"input: {code(clipped(quoted(measurement.input), _PATH))}")
    said += told_output(measurement) + accepted_codes(measurement)
    if measurement.overhead is not None:
        said.append(f"measuring adds {duration(measurement.overhead)} to a run")
    said += [inert(one) for one in (measurement.kernel, measurement.cpu) if one]
    return f"{' · '.join(said)}\n\n"


def _files(document: CompareDocument, names: Sequence[str]) -> str:
    alike = [inert(one) for one in figures.alike_hardened(document.programs)]
    said = f"\nAlike in all: {', '.join(alike)}\n" if alike else ""
    return _table(list(figures.of_files(document)), names) + said


def _needed(programs: Sequence[Program], names: Sequence[str]) -> str:
    rows = [
        f"| {code(cut(path, _PATH))} | {size(file.size)} | {size(file.mapped_size)} "
        f"| {code(file.package) if file.package else ''} | {', '.join(map(code, owners))} |\n"
        for owners, alike in consequences.by_owners(programs, names).items()
        for path, file in alike.items()
    ]
    head = "| File | on disk | mapped | Package | of |\n| --- | ---: | ---: | --- | --- |\n"
    return head + "".join(rows) if rows else ""


def _table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """ROWS with a column for each program; what belongs to the row above it is indented."""
    head = "".join(f" {code(name)} |" for name in names)
    lines = [f"| |{head}\n|{' --- |' + ' ---: |' * len(names)}\n"]
    for row in rows:
        marks = row.marks or [""] * len(row.values)
        shown = [_cell(value, _MARKS[mark]) for value, mark in zip(row.values, marks, strict=True)]
        deep = len(row.label) - len(row.label.lstrip(" "))
        lines.append(f"| {'&nbsp;' * deep}{inert(row.label.strip())} | {' | '.join(shown)} |\n")
    marked = any(mark for row in rows for mark in row.marks)
    return "".join(lines) + (_LEGEND if marked else "")


def _cell(value: str, mark: str) -> str:
    return f"**{inert(value)}**{mark}" if mark else inert(value)


def _bullets(title: str, said: dict[str, list[str]]) -> str:
    """Messages with the programs of which they are said."""
    lines = [
        f"- {', '.join(map(code, whose))}: {_said(clipped(message, _MESSAGE))}\n" for message, whose in said.items()
    ]
    return (f"\n**{title}**\n\n" if title and lines else "") + "".join(lines)


def _folded(title: str, inside: str) -> str:
    return f"\n<details><summary>{title}</summary>\n\n{inside}\n</details>\n" if inside else ""
