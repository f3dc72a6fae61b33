"""Code in memory that is not what a file says: no file behind it, writable, or changed since it was mapped."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.model.document import text
from linkscope.model.pid import ProcessFinding
from linkscope.process import findings, procfs
from linkscope.process.jits import executable_memory
from linkscope.process.mapped import Mapped
from linkscope.process.observation import Observation
from linkscope.process.verify_text import TextCheck, modified_text

_MOST = 16  # findings of one kind about one process, or about the code of one object


def about_memory(observation: Observation) -> Iterator[ProcessFinding]:
    """Executable memory without a file, and such as can be written."""
    mappings = observation.snapshot.mappings or []
    programs = {one.mappings[0].identity for one in observation.objects if not one.is_vdso}
    names = [name for one in observation.objects for name in (one.soname, one.path) if name]
    regions = executable_memory(mappings, programs, names)
    for region in regions[:_MOST]:
        yield findings.executable_memory(region)
    if len(regions) > _MOST:
        yield findings.more_executable_memory(len(regions) - _MOST, sum(region.size for region in regions))


def about_text(observation: Observation) -> Iterator[ProcessFinding]:
    """What differs between the code in memory and the files that it was mapped from (`--verify-text`)."""
    verified = compared = 0
    for one in observation.objects:
        if not one.is_vdso:
            said = list(_of_one(observation.snapshot.through, one))
            yield from said
            verified += not said
            compared += 0 if said else sum(mapping.size for mapping in one.mappings if mapping.executable)
    if verified:
        yield findings.text_verified(verified, compared)


def _of_one(pid: int, one: Mapped) -> Iterator[ProcessFinding]:
    """What there is to say of the code of one object; nothing where it is what the file says."""
    path = text(one.path)
    standing = one.standing
    if standing is None or standing.location is None or one.image is None or not one.costs:
        yield findings.text_unknown(path, "the file that is mapped cannot be read")
        return
    if standing.disk == "overwritten":
        yield findings.text_unknown(path, "the file was written over in place, and memory shows the new bytes")
        return
    try:
        with procfs.Memory(pid) as memory, open_reader(standing.location, one.path) as reader:
            check = modified_text(pid, memory, zip(one.mappings, one.costs, strict=True), one.image, reader)
    except LinkScopeError as error:
        yield findings.text_unknown(path, error.reason)
        return
    yield from _told(path, check)


def _told(path: str, check: TextCheck) -> Iterator[ProcessFinding]:
    for change in check.modified[:_MOST]:
        yield findings.text_modified(path, change)
    left = check.total - min(len(check.modified), _MOST)
    if left > 0:
        yield findings.more_text_modified(path, left, check.pages)
    for reason in check.unreadable:
        yield findings.text_unknown(path, reason)
