"""What follows from how the programs are linked: which files they need, what an update asks for, what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkscope.model.compare import MappedFile, Program, Update
from linkscope.model.quantities import size
from linkscope.report.compare.sidebyside import NONE, Row
from linkscope.report.escape import exact
from linkscope.report.page import INDENT, Page, Span, words
from linkscope.report.table import Column, table

_FILES = (
    Column(title="file", least=16, middle=True),
    Column(title="on disk", right=True),
    Column(title="mapped", right=True),
    Column(title="package", least=8),
)


def files(programs: Sequence[Program], names: Sequence[str], page: Page) -> Iterator[list[Span]]:
    """Each file that would be mapped beside a program's own, below the names of the programs that have it."""
    for owners, alike in by_owners(programs, names).items():
        yield from words(", ".join(owners), "name", page, [(" " * INDENT, "")])
        yield from table(_FILES, [_row(path, file) for path, file in alike.items()], page, indent=2 * INDENT)


def by_owners(programs: Sequence[Program], names: Sequence[str]) -> dict[tuple[str, ...], dict[str, MappedFile]]:
    """The other files by path, those together that are mapped for the same programs, whose names are the keys."""
    found: dict[str, MappedFile] = {}
    owners: dict[str, list[str]] = {}
    for program, name in zip(programs, names, strict=True):
        for file in program.files:
            path = exact(file.path, file.path_bytes)
            found.setdefault(path, file)
            owners.setdefault(path, []).append(name)
    groups: dict[tuple[str, ...], dict[str, MappedFile]] = {}
    for path, file in found.items():
        groups.setdefault(tuple(owners[path]), {})[path] = file
    return groups


def _row(path: str, file: MappedFile) -> list[Span]:
    package: Span = (file.package, "") if file.package else ("no package", "faint")
    return [(path, ""), (size(file.size), ""), (size(file.mapped_size), ""), package]


def updates(programs: Sequence[Program]) -> Iterator[Row]:
    """A row for each project, package or library: whether an update asks for a restart, or for another build."""
    for updated in dict.fromkeys(_updated(update) for program in programs for update in program.updates):
        yield Row(updated, [_how(program, updated) for program in programs])


def _updated(update: Update) -> str:
    """What is released anew: the project where it is known, else the package, else the library."""
    return update.project or update.package or update.library


def _how(program: Program, updated: str) -> str:
    """`rebuild` where it is inside, even if a file of it is mapped as well."""
    how = {update.how for update in program.updates if _updated(update) == updated}
    return "rebuild" if "rebuild" in how else "restart" if how else NONE


def losses(programs: Sequence[Program], names: Sequence[str], page: Page) -> Iterator[list[Span]]:
    """What cannot be done any more, each once, with the programs that cannot."""
    return _grouped(whose_losses(programs, names), "", page)


def problems(programs: Sequence[Program], names: Sequence[str], page: Page) -> Iterator[list[Span]]:
    """Why programs would not start here."""
    return _grouped(whose_problems(programs, names), "bad", page)


def whose_losses(programs: Sequence[Program], names: Sequence[str]) -> dict[str, list[str]]:
    """The messages about what is lost, and the names of the programs that lose it."""
    return _by_message([[loss.message for loss in program.losses] for program in programs], names)


def whose_problems(programs: Sequence[Program], names: Sequence[str]) -> dict[str, list[str]]:
    """The problems, and the names of the programs that have them."""
    return _by_message([program.problems for program in programs], names)


def _by_message(messages: Sequence[Sequence[str]], names: Sequence[str]) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for name, of_one in zip(names, messages, strict=True):
        for message in of_one:
            said.setdefault(message, []).append(name)
    return said


def _grouped(said: dict[str, list[str]], style: str, page: Page) -> Iterator[list[Span]]:
    """The messages, those of the same programs below one line with their names."""
    by_names: dict[str, list[str]] = {}
    for message, whose in said.items():
        by_names.setdefault(", ".join(whose), []).append(message)
    for whose_names, messages in by_names.items():
        yield from words(whose_names, "name", page, [(" " * INDENT, "")])
        for message in messages:
            yield from words(message, style, page, [(" " * 2 * INDENT, "")])
