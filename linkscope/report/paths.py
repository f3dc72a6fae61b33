"""The bare list of files that a program needs, for `cp`, `tar` and the scripts that build an initramfs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from linkscope.model.document import AnalysisError
from linkscope.model.inspect import File
from linkscope.report.escape import escape, exact


def render(results: Iterable[File | AnalysisError], end: bytes) -> Iterator[bytes]:
    """Each file, its loader, then what that would open, in the loader's order; END after each, none of them twice.

    The bytes are the file system's own, also where they are no UTF-8. What is missing is not among them.
    """
    seen: set[str] = set()
    for result in results:
        if isinstance(result, File):
            paths = [exact(result.path, result.path_bytes)]
            if _starts_without_libraries(result):
                paths.append(result.interpreter or "")
            paths += [exact(entry.path, entry.path_bytes) for entry in result.closure if entry.path is not None]
            new = [path for path in dict.fromkeys(paths) if path not in seen]
            seen.update(new)
            yield b"".join([os.fsencode(path) + end for path in new])


def _starts_without_libraries(file: File) -> bool:
    """Whether the kernel starts the file through a loader that the closure does not list: nothing needs it."""
    if file.interpreter is None or file.linkage != "dynamic":
        return False
    gone = any(problem.code == "missing-interpreter" for problem in file.problems)
    return not gone and all(entry.found_by != "interpreter" for entry in file.closure)


def visible(listed: bytes) -> bytes:
    """The same list with everything that does not print escaped: what a terminal may be shown."""
    lines = os.fsdecode(listed).split("\n")
    return "\n".join([escape(line) for line in lines]).encode("utf-8")
