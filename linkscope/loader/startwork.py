"""What has to be done before the first line of a program runs: the relocations of all that is mapped, and look-ups.

Source: glibc elf/rtld.c, dl_main, and elf/dl-reloc.c, _dl_relocate_object; musl ldso/dynlink.c, do_relocs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from linkscope.elf.linkage import binds_now
from linkscope.elf.reader import open_reader
from linkscope.elf.relocationcounts import RelocationCounts, indirect_functions, relocation_counts
from linkscope.errors import LinkScopeError
from linkscope.loader.glibc import Glibc
from linkscope.loader.linkmap import Finding, Loaded
from linkscope.model.compare import StartWork

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.loader.program import Start
    from linkscope.loader.system import System

_Identity = tuple[int, int]
_NONE = RelocationCounts()


def mapped_files(system: System, start: Start, cwd: str) -> list[Loaded]:
    """All files that are mapped beside the program, in the order of the link map.

    The kernel maps the interpreter of a program also where nothing refers to it, and the loader does not list it.
    """
    found = list(start.link_map.mapped())
    if start.rules is not None and start.interpreter and not any(one.role == "interpreter" for one in found):
        candidate = system.candidate(start.interpreter, cwd)
        if candidate.image is not None:
            finding = Finding(candidate, "interpreter")
            found.append(Loaded(start.interpreter, candidate.path, candidate.image, "interpreter", finding=finding))
    return found


def start_work(
    system: System, image: Image, location: str, start: Start | None, cwd: str, *, at_once: bool = False
) -> StartWork:
    """The work of one start. start: None for a static program, which relocates itself and looks nothing up.

    at_once: LD_BIND_NOW is set. look_ups: those of the relocations; glibc's LD_DEBUG=statistics counts a dozen more,
    which the loader makes for itself: functions of the vdso (five, and one for each relocation to `time` or
    `gettimeofday`), malloc's four, and a function that libc.so.6 calls for the first time (2.36, observed). None where
    no loader was found whose rules are known. A file whose tables cannot be read counts with nothing.
    """
    if start is None:
        own = _static(system, image, location)
        return StartWork(
            relative=own.relative + own.packed,
            symbolic=own.symbolic + own.functions,
            lazy=0,
            indirect=own.indirect,
            look_ups=0,
        )
    files = mapped_files(system, start, cwd)
    glibc = isinstance(start.rules, Glibc)
    apart = isinstance(start.rules, Glibc) and start.rules.facts.before(2, 36)
    packs = start.rules is None or glibc or start.rules.without_relr is None
    relative = symbolic = lazy = indirect = look_ups = 0
    for counts, waits in _counted(system, image, location, files, glibc and not at_once):
        relative += counts.relative + (counts.packed if packs else 0)
        indirect += counts.indirect
        symbolic += counts.symbolic if waits else counts.symbolic + counts.functions
        lazy += counts.functions if waits else 0
        look_ups += counts.searched if not glibc else counts.unbound if waits else counts.bound
        look_ups += counts.apart if apart else 0
    return StartWork(
        relative=relative,
        symbolic=symbolic,
        lazy=lazy,
        indirect=indirect,
        look_ups=None if start.rules is None else look_ups,
    )


def _counted(
    system: System, image: Image, location: str, files: list[Loaded], lazy: bool
) -> Iterator[tuple[RelocationCounts, bool]]:
    """The counts of the program and of each of FILES, and whether its functions wait for their first call.

    The loader's own never do (glibc elf/rtld.c, dl_main: it relocates itself a second time, behind all others).
    """
    yield _counts(system, image, location), lazy and not binds_now(image)
    for one in files:
        candidate = one.finding.candidate if one.finding else None
        if one.image is not None and candidate is not None:
            waits = lazy and one.role != "interpreter" and not binds_now(one.image)
            yield _counts(system, one.image, candidate.location), waits


def _counts(system: System, image: Image, location: str) -> RelocationCounts:
    """The counts of one file, which is read once in a run."""
    known = cast("dict[_Identity, RelocationCounts]", system.memory.setdefault("relocation counts", {}))
    if image.identity not in known:
        try:
            with open_reader(location, image.path, system.root.open) as reader:
                known[image.identity] = relocation_counts(reader, image)
        except LinkScopeError:
            known[image.identity] = _NONE
    return known[image.identity]


def _static(system: System, image: Image, location: str) -> RelocationCounts:
    if image.dynamic is not None:
        return _counts(system, image, location)
    try:
        with open_reader(location, image.path, system.root.open) as reader:
            return RelocationCounts(indirect=indirect_functions(reader, image))
    except LinkScopeError:
        return _NONE
