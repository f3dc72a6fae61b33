"""What is wrong with one file, in plain words, each with what would mend it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from linkscope.model.inspect import File, Problem, ProblemCode, Unresolved
from linkscope.report.escape import escape
from linkscope.report.page import INDENT, Page, Span, cells, cut, padded, words

# What can be done about it. A code that is not here says in its message all that there is to say.
_REMEDIES: dict[ProblemCode, str] = {
    "missing-interpreter": "Install the C library that brings it; --root answers for another system that has it.",
    "bad-interpreter": "Reinstall the package that the interpreter belongs to.",
    "missing-library": "`{why}` shows every place where the loader looks.",
    "bad-candidate": "Take that file out of the search path, or put the right library in its place.",
    "missing-version": "The library is older than the one this was linked with: update it, or build against this one.",
    "unknown-relocations": "Link it with `-z nopack-relative-relocs`, or start it with a newer C library.",
    "unresolved-symbol": "A library that defines it is not linked, or is another release than at link time.",
    "isa-level": "Take a build for older processors; --cpu answers for the processor of another machine.",
    "by-luck": "Give the library that asks for it a RUNPATH of its own, so that the order of loading does not matter.",
    "unsafe-search-path": "Relink without it, or with a folder that only the administrator can write, or with $ORIGIN.",
}
_FAILS = {"start": "fails at the start", "first-call": "fails at the first call"}
_GAP = 2
# A Python extension leaves hundreds to the program that loads it; more than these tell a person nothing new.
_SYMBOLS = 12


def problems(file: File, page: Page) -> Iterator[list[Span]]:
    """What keeps the file from starting first, then what deserves a look; a remedy is said once for all alike."""
    groups: dict[tuple[bool, ProblemCode], list[Problem]] = {}
    told: set[ProblemCode] = set()
    for problem in file.problems:
        groups.setdefault((not problem.fatal, problem.code), []).append(problem)
    for (harmless, code), alike in sorted(groups.items(), key=lambda group: group[0][0]):
        mark, style = ("!", "warn") if harmless else ("✗", "bad")
        for message, remedies in _messages(code, harmless, alike):
            yield from words(message, "", page, [(" " * INDENT, ""), (f"{mark} ", style)])
            for remedy in remedies:
                yield from words(remedy, "", page, [(" " * (INDENT + 2), ""), ("→ ", "warn")])
        if code in _REMEDIES and code not in told:
            told.add(code)
            general = _REMEDIES[code].format(why=_why(file.path, alike[0].subject, page.given))
            yield from words(general, "faint", page, [(" " * (INDENT + 2), "")])


def _messages(code: ProblemCode, harmless: bool, alike: list[Problem]) -> list[tuple[str, list[str]]]:
    """What each problem says, with its remedies; symbols, which have been listed already, are only counted."""
    if code != "unresolved-symbol":
        return [(problem.message, problem.remedies) for problem in alike]
    what = f"{len(alike)} of the symbols above"
    return [(f"{what} would be missed at the first call" if harmless else f"the start fails for want of {what}", [])]


def _why(path: str, library: str, given: tuple[str, ...]) -> str:
    """The command line of `linkscope why`, for a shell, under the circumstances that were GIVEN."""
    file = f"./{path}" if path.startswith("-") else path
    ended = ("--",) if library.startswith("-") else ()
    return shlex.join(escape(word) for word in ("linkscope", "why", *given, *ended, file, library))


def symbols(file: File, page: Page) -> Iterator[list[Span]]:
    """What --symbols found: the symbols that nobody defines, and the libraries that nobody uses."""
    if file.unresolved:
        yield [(f"{'':{INDENT}}symbols that no library defines", "faint")]
        yield from _unresolved(file.unresolved[:_SYMBOLS], page)
        if len(file.unresolved) > _SYMBOLS:
            yield [(f"{'':{2 * INDENT}}and {len(file.unresolved) - _SYMBOLS} more", "faint")]
    elif file.unresolved is not None:
        yield [(f"{'':{INDENT}}symbols      ", "faint"), ("every one is defined", "good")]
    if file.unused:
        start = [(f"{'':{INDENT}}not used     ", "faint")]
        yield from words(" ".join(file.unused), "warn", page, start)


def _unresolved(unresolved: list[Unresolved], page: Page) -> Iterator[list[Span]]:
    names = [f"{symbol.symbol}@{symbol.version}" if symbol.version else symbol.symbol for symbol in unresolved]
    width = max(cells(escape(name)) for name in names)
    if page.width is not None:
        width = min(width, max(page.width // 2, 16))
    fails = max(len(text) for text in _FAILS.values())
    for symbol, name in zip(unresolved, names, strict=True):
        yield [
            (" " * 2 * INDENT, ""),
            padded(cut(name, width), "name", width + _GAP),
            padded(_FAILS[symbol.fails], "bad" if symbol.fails == "start" else "warn", fails + _GAP),
            (symbol.needed_by, ""),
        ]
