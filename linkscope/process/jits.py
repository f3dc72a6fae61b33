"""Executable memory that no file stands behind, or that is writable too, and who may have made it.

Which engines make code, and how their memory or their files are called, is the table jits.toml.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from linkscope.process.mappings import Mapping, without_mark
from linkscope.process.tables import read_table

Place = Literal["memory", "shared memory", "stack", "heap", "file"]
# What the kernel itself maps: Linux arch/x86/entry, arch/arm/kernel/process.c, kernel/events/uprobes.c.
_KERNELS = frozenset(("[vdso]", "[vsyscall]", "[vectors]", "[sigpage]", "[uprobes]", "[vvar]", "[vvar_vclock]"))
# Files of the kernel's own: memfd_create(2), shared anonymous memory (mm/shmem.c, shmem_zero_setup), shmget(2).
_SHARED = ("/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage")


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of jits.toml, which says what its fields are."""

    engine: str
    source: str
    examples: list[str]
    refuses: list[str]
    memory: list[str] = []
    object: list[str] = []
    weak: bool = False


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    engine: list[Engine]


class Region(msgspec.Struct, frozen=True):
    """A stretch of executable memory. place: `file` where a file with a name stands behind it, which is then writable.

    engine: what probably makes code there, None where nothing that is known does.
    """

    address: int
    size: int
    writable: bool
    place: Place
    name: str
    engine: str | None


def executable_memory(
    mappings: Iterable[Mapping], programs: Collection[tuple[int, int]], objects: Iterable[str]
) -> list[Region]:
    """The stretches that are executable and anonymous, or executable and writable, in the order of addresses.

    programs: the identities of the mapped ELF files: any other file that has no name any more (a memfd, a temporary
    file) is as good as anonymous. objects: sonames and paths of all that is mapped, the program's among them.
    Neighbours of one kind are one stretch.
    """
    names = frozenset(os.path.basename(without_mark(name)) for name in objects)
    engines: dict[str, str | None] = {}
    found: list[Region] = []
    mappings = list(mappings)
    stack = _stack(mappings)
    for mapping in mappings:
        place = "stack" if mapping.executable and mapping.start in stack else _place(mapping, programs)
        if place is None:
            continue
        last = found[-1] if found else None
        if last is not None and _goes_on(last, mapping, place):
            found[-1] = msgspec.structs.replace(last, size=last.size + mapping.size)
            continue
        made = place in ("memory", "shared memory")
        if made and mapping.name not in engines:
            engines[mapping.name] = engine_for(mapping.name, names)
        engine = engines[mapping.name] if made else None
        found.append(Region(mapping.start, mapping.size, mapping.writable, place, mapping.name, engine))
    return found


def _stack(mappings: list[Mapping]) -> set[int]:
    """Where the mappings of the first thread's stack begin. mappings: all of them, in the order of addresses.

    The kernel calls only the one `[stack]` in which it began (Linux fs/proc/task_mmu.c, vma_is_initial_stack); mprotect
    may have divided it. Nothing else borders on it (mm/mmap.c, stack_guard_gap).
    """
    named = next((place for place, mapping in enumerate(mappings) if mapping.name == "[stack]"), None)
    if named is None:
        return set()
    first = last = named
    while first > 0 and not mappings[first - 1].name and mappings[first - 1].end == mappings[first].start:
        first -= 1
    while last + 1 < len(mappings) and not mappings[last + 1].name and mappings[last].end == mappings[last + 1].start:
        last += 1
    return {mapping.start for mapping in mappings[first : last + 1]}


def _goes_on(last: Region, mapping: Mapping, place: Place) -> bool:
    same = (last.writable, last.place, last.name) == (mapping.writable, place, mapping.name)
    return same and last.address + last.size == mapping.start


def _place(mapping: Mapping, programs: Collection[tuple[int, int]]) -> Place | None:
    """What kind of executable memory a mapping is; None where it is none, or ordinary code of a file."""
    if not mapping.executable or mapping.name in _KERNELS:
        return None
    if mapping.name == "[heap]":
        return "heap"
    if mapping.name.startswith("[stack:"):  # of any thread, before Linux 4.5
        return "stack"
    # By its name first: the inode of a System V segment is its number, which may be 0 (ipc/shm.c, newseg).
    if mapping.identity not in programs and _is_nameless(mapping):
        return "shared memory"
    if not mapping.is_file:
        return "memory"
    return "file" if mapping.writable else None


def _is_nameless(mapping: Mapping) -> bool:
    return mapping.name.startswith((*_SHARED, "[anon_shmem:")) or mapping.name != without_mark(mapping.name)


def engine_for(memory: str, objects: frozenset[str]) -> str | None:
    """What probably makes code in memory that is called so (/proc/PID/maps; "" without a name); None where unknown.

    objects: the sonames and file names of all that the process has mapped.
    """
    memory = without_mark(memory)
    by_memory = [row for row in _rows() if row.memory and row.memory.fullmatch(memory)]
    by_object = [row for row in _rows() if row.object and any(map(row.object.fullmatch, objects))]
    both = [row for row in by_memory if row in by_object]
    strong = both or by_memory or [row for row in by_object if not row.weak]
    if strong:
        return strong[0].engine
    return " or ".join(row.engine for row in by_object) or None


class _Row(msgspec.Struct, frozen=True):
    engine: str
    weak: bool
    memory: re.Pattern[str] | None
    object: re.Pattern[str] | None


@functools.cache
def _rows() -> tuple[_Row, ...]:
    return tuple(_Row(row.engine, row.weak, _either(row.memory), _either(row.object)) for row in engines())


def engines() -> list[Engine]:
    """The table."""
    return read_table("jits.toml", _Table).engine


def _either(patterns: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.DOTALL) if patterns else None
