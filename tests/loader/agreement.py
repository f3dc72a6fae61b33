"""Whether LinkScope and the real loader say the same about a forest of libraries that was written to disk."""

import contextlib
import os

from linkscope.analysis.inspect import inspect
from linkscope.analysis.request import Assumptions, Depth
from linkscope.model.document import text
from linkscope.model.inspect import File, Problem
from tests.oracle.answers import Trace
from tests.oracle.forest import Planted

_PLAIN = Depth()
_ENDS_A_TRACE = ("bad-candidate", "refused-name", "missing-interpreter")  # the CPU level is looked at in a start only
_NOT_PRELOADED = ("missing-preload", "bad-preload")


def prediction(planted: Planted, depth: Depth = _PLAIN) -> File:
    """What LinkScope says about the program of a forest, in the circumstances of the question.

    It acts as the user who asks; for a setuid program as the owner, as which the loader then opens files.
    """
    named = planted.environment
    folder = planted.base if planted.root else planted.cwd
    with contextlib.chdir(folder) if planted.forest.setuid else planted.as_asked(folder):
        program = planted.program
        path = os.path.join(planted.cwd, program) if planted.root else program
        assumptions = Assumptions(
            root=planted.root or "/",
            cwd=planted.cwd,
            library_path=named.get("LD_LIBRARY_PATH", ""),
            preload=named.get("LD_PRELOAD", ""),
            secure="yes" if planted.forest.setuid and not planted.root else "auto",
        )
        document = inspect([path], assumptions, depth)
    assert not document.errors, document.errors
    return document.files[0]


def disagreement_with_trace(file: File, trace: Trace, filtees: tuple[str, ...]) -> str | None:
    """What differs between the prediction and the loader's trace; None where they agree.

    filtees: the program's own. They stand before it in the link map, and the trace begins behind it.
    """
    ends = [problem for problem in file.problems if problem.code in _ENDS_A_TRACE]
    if trace.fatal is not None:
        if any(_same_refusal(problem, trace.fatal) for problem in ends):
            return None
        return f"the loader gives up ({trace.fatal}), predicted: {[problem.message for problem in file.problems]}"
    if ends:
        return f"the loader does not give up, predicted: {[problem.message for problem in ends]}"
    predicted = _behind_the_program(file, filtees)
    listed = [entry for entry in trace.entries if not _absent_auxiliary(text(entry.name), entry.path, file)]
    answered = [None if entry.path is None else text(entry.path) for entry in listed]
    if not trace.static and predicted != answered:
        return f"predicted {predicted}, answered {answered}"
    predicted_preloads = sorted(problem.subject for problem in file.problems if problem.code in _NOT_PRELOADED)
    if predicted_preloads != sorted(text(entry.name) for entry in trace.not_preloaded):
        return f"not preloaded: predicted {predicted_preloads}, answered {trace.not_preloaded}"
    return None


def last_words(answer: Trace) -> str | None:
    """Why the loader gave up; the CPU level is complained of without the words that begin its other refusals."""
    return answer.fatal or next((line for line in answer.other if "CPU ISA level" in line), None)


def disagreement_with_start(file: File, link_map: tuple[str, ...], fatal: str | None) -> str | None:
    """What differs between the prediction and a real start; None where they agree."""
    stops = [problem for problem in file.problems if problem.fatal]
    if (fatal is not None) != bool(stops):
        return f"the start says {fatal!r}, predicted: {[problem.message for problem in stops]}"
    predicted = [entry.path for entry in file.closure]
    if fatal is None and predicted != list(map(text, link_map)):
        return f"predicted {predicted}, started with {list(link_map)}"
    return None


def _behind_the_program(file: File, filtees: tuple[str, ...]) -> list[str | None]:
    """The closure without the program's own filtees: each the first entry of its name, needed by the program alone."""
    left = list(map(text, filtees))
    rest: list[str | None] = []
    for entry in file.closure:
        if entry.requested in left and entry.needed_by[:1] == [file.path] and not rest:
            left.remove(entry.requested)
        else:
            rest.append(entry.path)
    return rest


def _absent_auxiliary(name: str, path: str | None, file: File) -> bool:
    """Trace mode lists an absent auxiliary filtee as not found; a start passes over it in silence, and that counts."""
    absent = {problem.subject for problem in file.problems if problem.code == "missing-auxiliary"}
    return path is None and name in absent and name not in file.missing


def _same_refusal(problem: Problem, fatal: str) -> bool:
    """Whether the loader's last words give the reason that was predicted."""
    said = fatal.partition(": ")[2].replace("Error 21", "Is a directory")  # it has no strerror before libc is there
    return said in problem.message or problem.message.endswith(said)
