"""The exit codes of the contract. A worse outcome has the higher code, so the code of many is the highest of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.model.document import AnalysisError
from linkscope.model.inspect import File

if TYPE_CHECKING:
    from linkscope.model.pid import Process  # which `inspect` does not need

FINE = 0
WRONG = 1
"""All was analysed, and something is wrong with it."""
FAILED = 2
"""The command line is wrong, or something named on it could not be analysed."""
INTERRUPTED = 130
"""Ctrl-C: 128 and the number of SIGINT, as a shell reports it."""
READER_GONE = 141
"""The pipe's reader went away: 128 and the number of SIGPIPE, as a shell reports it."""


def of_process(process: Process) -> int:
    """The code for one process: only a restart (of it, or of the machine) brings it to what stands on the disk."""
    return WRONG if process.is_outdated else FINE


def of_result(result: File | AnalysisError) -> int:
    """The code for one file: an error, a fatal problem or an unresolved symbol, or neither."""
    if isinstance(result, AnalysisError):
        return FAILED
    return WRONG if result.unresolved or any(problem.fatal for problem in result.problems) else FINE
