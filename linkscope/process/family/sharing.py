"""Memory that members of a family share: mappings of one and the same file that may be written to.

Source: proc_pid_maps(5); the names of what no file system shows: Linux mm/shmem.c (shmem_zero_setup), ipc/shm.c,
mm/memfd.c, mm/hugetlb.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkscope.model.document import text
from linkscope.model.pid import Channel, ChannelEnd, ChannelKind
from linkscope.process.family.descriptors import Descriptor, status_of
from linkscope.process.family.holders import Held, Member
from linkscope.process.mappings import Mapping, without_mark

_ANONYMOUS = ("/dev/zero", "/anon_hugepage")
_SYSV, _MEMFD, _SHM, _HUGE = "/SYSV", "/memfd:", "/dev/shm/", "/dev/hugepages/"
Identity = tuple[int, int]


def shared_memory(members: Sequence[Member]) -> Iterator[Channel]:
    """What two members at least have mapped, or hold a descriptor of, and one of them may write to."""
    mapped = _mapped(members)
    held = _held(members)
    for identity in dict.fromkeys([*mapped, *held]):
        mappings = mapped.get(identity, {})
        holders = held.get(identity, {})
        everybody = [one for one in members if one.pid in mappings or one.pid in holders]
        if len(everybody) < 2 or not _is_written(mappings):
            continue
        kind, name = _called(identity, mappings, holders)
        ends = [_end(one, one.pid in mappings, holders.get(one.pid)) for one in everybody]
        pieces = [piece for theirs in mappings.values() for piece in theirs]
        yield Channel(kind=kind, name=text(name), size=_extent(pieces) if pieces else None, ends=ends)


def _mapped(members: Sequence[Member]) -> dict[Identity, dict[int, list[Mapping]]]:
    """By file and process."""
    found: dict[Identity, dict[int, list[Mapping]]] = {}
    for one in members:
        for mapping in one.mappings:
            if mapping.shared and mapping.is_file and _is_memory(mapping.name):
                found.setdefault(mapping.identity, {}).setdefault(one.pid, []).append(mapping)
    return found


def _is_memory(name: str) -> bool:
    """Whether it is no device, nor one of the kernel's own rings, of which many have one inode."""
    return name.startswith((*_ANONYMOUS, _SHM, _HUGE)) or (name.startswith("/") and not name.startswith("/dev/"))


def _held(members: Sequence[Member]) -> dict[Identity, dict[int, list[Descriptor]]]:
    """Open memfds and files in /dev/shm, whose device and inode stat(2) and maps agree on."""
    found: dict[Identity, dict[int, list[Descriptor]]] = {}
    for one in members:
        for descriptor in one.descriptors:
            if descriptor.target.startswith((_MEMFD, _SHM)):
                status = status_of(one.pid, descriptor)
                if status is not None:
                    by_pid = found.setdefault((status.st_dev, status.st_ino), {})
                    by_pid.setdefault(one.pid, []).append(descriptor)
    return found


def _is_written(mappings: dict[int, list[Mapping]]) -> bool:
    """Whether anybody may write: a cache that all read (gconv-modules.cache) is no channel."""
    return not mappings or any(mapping.writable for theirs in mappings.values() for mapping in theirs)


def _called(
    identity: Identity, mappings: dict[int, list[Mapping]], holders: dict[int, list[Descriptor]]
) -> tuple[ChannelKind, str]:
    names = [mapping.name for theirs in mappings.values() for mapping in theirs]
    name = (names or [each.target for theirs in holders.values() for each in theirs])[0]
    if name.startswith(_MEMFD):
        return "memfd", without_mark(name)[1:]
    if name.startswith(_SYSV):
        return "shared-memory", f"System V {identity[1]} (key 0x{without_mark(name)[len(_SYSV) :]})"
    if without_mark(name) in _ANONYMOUS:
        return "shared-memory", f"anonymous:[{identity[1]}]"
    return ("shared-memory" if name.startswith((_SHM, _HUGE)) else "shared-file"), name


def _end(one: Member, is_mapped: bool, descriptors: list[Descriptor] | None) -> ChannelEnd:
    return Held(one, descriptors or []).end("map" if is_mapped else "hold")


def _extent(mappings: Sequence[Mapping]) -> int:
    """How many bytes of the file are mapped by anybody."""
    total = reached = 0
    for start, end in sorted((mapping.offset, mapping.offset + mapping.size) for mapping in mappings):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
