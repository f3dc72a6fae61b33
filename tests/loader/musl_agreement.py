"""Whether LinkScope and musl's loader say the same about a forest that was written to disk.

Two judges: --list, which goes on past a missing library and tells why, and a real start, which shows the link map with
the loader in its place. --list is asked about the program's real path: it takes $ORIGIN from the path that it is given.
"""

import os

import msgspec

from linkscope.model.document import text
from linkscope.model.inspect import File
from tests.oracle import trace
from tests.oracle.answers import Entry, Trace
from tests.oracle.forest import MUSL_X86_64, Planted

MUSL_FILE = "/usr/lib/x86_64-linux-musl/libc.so"
# What the loader says of a name that leads to no file; every other word is about a file that ends the search.
_ABSENT = (
    "No such file or directory",
    "Not a directory",
    "Permission denied",
    "Filename too long",
    "No error information",
)


def disagreement(planted: Planted, file: File) -> str | None:
    """What differs between the prediction and the loader's answers; None where they agree."""
    difference = None if planted.forest.setuid else disagreement_with_list(file, listed(planted))
    return difference or disagreement_with_start(file, planted.start().link_map)


def listed(planted: Planted) -> Trace:
    """The answer of --list about the program of a forest."""
    forest = planted.forest
    program = f"/{forest.program}" if planted.root else os.path.realpath(f"{planted.base}/{forest.program}")
    loader = forest.program_recipe.interp if planted.root else MUSL_X86_64
    return trace.musl_list(program, msgspec.structs.replace(planted.question, loader=loader))


def loaded(entries: tuple[Entry, ...]) -> list[str]:
    """What --list has loaded, in order. It names itself at the top, and again for each library that it contains."""
    return list(dict.fromkeys(text(entry.path) for entry in entries[1:] if entry.path is not None))


def disagreement_with_list(file: File, answer: Trace) -> str | None:
    """What differs between the prediction and --list: the files in order, the names without one in order, and why."""
    loader, found = answer.entries[0].path, loaded(answer.entries)
    predicted = [entry.path for entry in file.closure if entry.path is not None]
    if any(entry.requested == loader for entry in file.closure):  # --list does not tell of that; a real start does
        predicted, found = ([path for path in paths if path != loader] for paths in (predicted, found))
    if predicted != found:
        return f"predicted {predicted}, listed {found}"
    failures = [entry for entry in answer.entries if entry.path is None]
    nowhere = [entry.requested for entry in file.closure if entry.path is None]
    if nowhere != [text(entry.name) for entry in failures]:
        return f"predicted without a file {nowhere}, answered {failures}"
    missing = {text(entry.name) for entry in failures if entry.reason in _ABSENT}
    if missing != set(file.missing):
        return f"predicted missing {file.missing}, answered {failures}"
    said = [problem.message for problem in file.problems if problem.code in ("bad-candidate", "refused-name")]
    unsaid = [entry for entry in failures if entry.reason not in _ABSENT and not _is_among(entry, said)]
    return f"not said: {unsaid}, but {said}" if unsaid else None


def _is_among(failure: Entry, messages: list[str]) -> bool:
    return any(message.endswith(f": {failure.reason}") for message in messages)


def disagreement_with_start(file: File, link_map: tuple[str, ...]) -> str | None:
    """What differs between the prediction and a real start, whose link map is empty where it failed."""
    stops = [problem.message for problem in file.problems if problem.fatal]
    if bool(link_map or not file.closure) == bool(stops):
        return f"the start {'succeeds' if link_map else 'fails'}, predicted: {stops}"
    predicted = [entry.path for entry in file.closure]
    if link_map and predicted != list(map(text, link_map)):
        return f"predicted {predicted}, started with {list(link_map)}"
    return None
