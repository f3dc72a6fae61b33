"""`linkscope diff`: what changed from one release to the next."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import ExitStack

from linkscope.analysis.digests import sha256
from linkscope.analysis.release import answer, members_of
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.subject import FileSubject
from linkscope.elf.exports import exports
from linkscope.elf.sections import section_sizes
from linkscope.errors import MalformedElf
from linkscope.model.diff import Change, DiffDocument
from linkscope.model.document import AnalysisError, text
from linkscope.policy.changes import Snapshot, added, changes, removed
from linkscope.policy.pairing import pairs

_AS_IT_IS = Assumptions()
_WITH_EXPORTS = ("shared-library", "interpreter")


def diff(old: str, new: str, assumptions: Assumptions = _AS_IT_IS) -> DiffDocument:
    """Every difference from OLD to NEW, each a file, a folder or a package. Raises RootUnusable and BadAssumption.

    Two files are compared whatever they are called, as is the only one of a folder or package; of folders and packages
    see `policy.pairing`.
    """
    sides: list[dict[str, Snapshot]] = []
    errors: list[AnalysisError] = []
    for path in (old, new):
        results = list(_snapshots(path, assumptions))
        errors += [result for result in results if isinstance(result, AnalysisError)]
        snapshots = [result for result in results if isinstance(result, Snapshot)]
        sides.append({one.name or os.path.basename(path): one for one in snapshots})
    found = [] if errors and not all(sides) else list(_compared(*sides))
    return DiffDocument(old=text(old), new=text(new), changes=found, errors=errors)


def _compared(old: dict[str, Snapshot], new: dict[str, Snapshot]) -> Iterator[Change]:
    if len(old) == len(new) == 1:
        yield from changes(*old.values(), *new.values())
        return
    sonames = [{name: one.file.soname for name, one in side.items()} for side in (old, new)]
    for before, after in pairs(*sonames):
        if after is None and before is not None:
            yield removed(old[before])
        elif before is None and after is not None:
            yield added(new[after])
        elif before is not None and after is not None:
            yield from changes(old[before], new[after])


def _snapshots(path: str, assumptions: Assumptions) -> Iterator[Snapshot | AnalysisError]:
    with ExitStack() as opened:
        for member in members_of((path,), assumptions, Depth(contents=True), opened):
            name = "" if isinstance(member, AnalysisError) else member.name
            yield answer(member, functools.partial(_snapshot, name))


def _snapshot(name: str, subject: FileSubject) -> Snapshot:
    file, image = subject.file, subject.image
    with subject.opened() as reader:
        offered = exports(reader, image) if file.kind in _WITH_EXPORTS else None
        try:
            sizes = section_sizes(reader, image)
        except MalformedElf:
            sizes = {}  # section headers are no part of what runs: without them the size of the whole file is told
        digest = sha256(reader)
    return Snapshot(
        name=name,
        file=file,
        size=image.size,
        exports=offered,
        sections={text(name): size for name, size in sizes.items()},
        stripped=".symtab" not in sizes,
        privileges=subject.privileges,
        cpu_level=subject.cpu_level,
        digest=digest,
    )
