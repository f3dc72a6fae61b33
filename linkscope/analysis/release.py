"""What a path of the command line holds: one file, the files below a folder, or those in a package."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import msgspec

from linkscope.analysis.circumstances import Place, place
from linkscope.analysis.inspect import Run, error_of
from linkscope.model.document import AnalysisError


class Member(msgspec.Struct, frozen=True):
    """One file of what was named. name: how it is called in there, which is "" for a file that was named itself.

    run: in which it is examined. mode: st_mode, where the file on disk does not tell it. bundle: the folder of this
    machine that holds everything that comes along with it.
    """

    name: str
    where: Place
    run: Run
    mode: int | None = None
    bundle: str | None = None


def members(path: str, run: Run) -> Iterator[Member | AnalysisError]:
    """The files of PATH in the order of their names, and what could not be looked into.

    A path that is neither a folder nor a package is one member, whatever it is: examining it tells.
    """
    where = place(path, run.system)
    try:
        location = run.system.root.locate(where.inside)
        mode = os.stat(location).st_mode
    except (OSError, ValueError):
        mode = 0
    if stat.S_ISDIR(mode):
        yield from _below(where, location, run)
    else:
        yield Member("", where, run)


def _below(folder: Place, location: str, run: Run) -> Iterator[Member | AnalysisError]:
    from linkscope.inventory.walk import elf_files  # one file does not need it

    for found in elf_files(location):
        if isinstance(found, AnalysisError):
            yield error_of(os.path.join(folder.shown, os.path.relpath(found.path, location)), found.error)
            continue
        name = os.path.relpath(found, location)
        yield Member(name, Place(os.path.join(folder.inside, name), os.path.join(folder.shown, name)), run)
