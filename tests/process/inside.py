"""What tests of a process's memory start from: its mappings, its program, its memory; and a memory that is made up."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError
from linkscope.process import mappings as maps
from linkscope.process import procfs
from linkscope.process.image_memory import Places, load_addresses
from linkscope.process.linkmap_memory import Carrier, LinkMapMemory, NoLinkMap, read_by_carriers, read_link_map
from tests.oracle.availability import Unavailable

PAGE = os.sysconf("SC_PAGE_SIZE")


class Inside(msgspec.Struct, frozen=True):
    """A process, as far as it was read."""

    memory: procfs.Memory
    places: Places
    vector: dict[int, int]
    image: Image
    reader: Reader

    @property
    def carriers(self) -> tuple[Carrier, ...]:
        """Its own program."""
        inode = os.stat(f"/proc/{self.memory.pid}/exe").st_ino
        own = [mapping for mapping in self.places.mappings if mapping.identity[1] == inode]
        bases = load_addresses(self.image.segments, own, self.image.layout.word)
        return tuple(Carrier(base, self.image, self.reader) for base in bases)


@contextlib.contextmanager
def inside(pid: int) -> Iterator[Inside]:
    """The process, until the block ends. Raises LinkScopeError where it is gone, or may not be looked into."""
    with open_reader(f"/proc/{pid}/exe") as reader, procfs.Memory(pid) as memory:
        image = read_image(reader)
        vector = procfs.auxv(pid, image.layout.word, image.layout.order)
        yield Inside(memory, Places(maps.read_maps(pid)), vector, image, reader)


def link_map(pid: int) -> LinkMapMemory | NoLinkMap:
    """The link map of a process."""
    with inside(pid) as process:
        mappings, layout = process.places.mappings, process.image.layout
        found = read_link_map(process.memory, mappings, process.vector, layout)
        if isinstance(found, NoLinkMap):
            return read_by_carriers(process.memory, mappings, layout, process.carriers)
        return found


def listed(pid: int) -> LinkMapMemory:
    """The same where there has to be one that is whole."""
    found = link_map(pid)
    assert isinstance(found, LinkMapMemory), found
    assert found.broken is None
    return found


def everybody() -> Iterator[int]:
    """Every process whose memory can be read now, this one among them."""
    for pid in procfs.pids():
        with contextlib.suppress(LinkScopeError, OSError), procfs.Memory(pid) as memory:
            if Path(f"/proc/{memory.pid}/exe").exists():
                yield pid


def file_of(pid: int, mapping: maps.Mapping) -> str:
    """Where the very file that is mapped can be opened; raises Unavailable where only the administrator could.

    The kernel lets nobody else follow map_files (Linux fs/proc/base.c, proc_map_files_get_link).
    """
    link = f"/proc/{pid}/{mapping.map_file}"
    if os.access(link, os.R_OK):
        return link
    if os.path.exists(mapping.name) and os.stat(mapping.name).st_ino == mapping.identity[1]:
        return mapping.name
    raise Unavailable("only the administrator may open the file that a process has mapped, once it has no name")


class Pages(procfs.Memory):
    """A memory that holds these bytes, each piece at its address, and nothing else. reads: how often it was asked."""

    def __init__(self, pieces: Mapping[int, bytes]) -> None:
        self.pid = 0
        self.reads = 0
        self._pieces = dict(sorted(pieces.items()))

    def read(self, address: int, size: int) -> bytes | None:
        self.reads += 1
        found = b""
        for start, data in self._pieces.items():
            at = address + len(found)
            if start <= at < start + len(data):
                found += data[at - start : at - start + size - len(found)]
        return found if len(found) == size and size > 0 else None

    def close(self) -> None:
        """Nothing is open."""
