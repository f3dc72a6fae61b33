"""The objects of a process: every ELF file that it has mapped with a part of it executable, and the vdso."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import msgspec

from linkscope.elf import constants as c
from linkscope.elf import notes
from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError, NotElf
from linkscope.loader.system import System
from linkscope.process import procfs, witness
from linkscope.process.disk import Standing, files_of, standing_of
from linkscope.process.linkmap_memory import Entry
from linkscope.process.mappings import Cost, Mapping
from linkscope.process.views import Sight, View

VDSO = "[vdso]"
_MAGIC = b"\x7fELF"
_PAGE = 4096  # the least there is: what the beginning of a file is mapped with


Opening = Callable[[str, int], int]


class Facts(msgspec.Struct, frozen=True):
    """What the mapped file says of itself. image: None where it is damaged."""

    image: Image | None
    build_id: str | None


class Files:
    """The facts of every file that was met in one run, by device, inode, size and the time of its last change."""

    def __init__(self) -> None:
        self._known: dict[object, Facts | None] = {}

    def facts(self, standing: Standing) -> Facts | None:
        """The facts of the file behind one mapping; None where it is no ELF file, or its bytes cannot be had."""
        if standing.location is None:
            return None
        system = standing.view.system if standing.view and standing.disk == "same" else None
        if standing.status is None:
            return _read(standing.location, standing.path, _opener(standing), None)
        return self._kept(standing.status, standing.location, standing.path, _opener(standing), system)

    def is_elf(self, location: str) -> bool:
        """Whether what stands at LOCATION is an ELF file that can be read."""
        try:
            with open_reader(location) as reader:
                return reader.head.startswith(_MAGIC)
        except LinkScopeError:
            return False

    def build_id(self, path: str, view: View) -> str | None:
        """The build id of the file at PATH, as seen in VIEW; None where it has none."""
        spot = view.spot(path)
        if spot.status is None or spot.location is None:
            return None
        found = self._kept(spot.status, spot.location, path, view.system.root.open, None)
        return found.build_id if found else None

    def _kept(
        self, status: os.stat_result, location: str, path: str, how: Opening, system: System | None
    ) -> Facts | None:
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if key not in self._known:
            self._known[key] = _read(location, path, how, system)
        return self._known[key]


def _opener(standing: Standing) -> Opening:
    """What opens the file of a standing: its root, which follows no symlink, or the kernel where /proc has a link."""
    return os.open if standing.view is None or standing.linked else standing.view.system.root.open


def _read(location: str, path: str, how: Opening, system: System | None) -> Facts | None:
    """The facts of one file. SYSTEM: is told of it, so that the prediction does not read it again."""
    try:
        with open_reader(location, path, how) as reader:
            facts = _facts(reader)
            if system is not None and facts is not None and facts.image is not None:
                system.remember(facts.image, reader.head)
            return facts
    except LinkScopeError:
        return None


def _facts(reader: Reader) -> Facts | None:
    try:
        image = read_image(reader)
        return Facts(image, notes.build_id(reader, image))
    except NotElf:
        return None
    except LinkScopeError:
        return Facts(None, None)


class Mapped:
    """One object. mappings, costs: all of that file's, in the order of addresses; costs are [] where not asked for.

    entries: its places in the link map. soname, needed: of the file or, where that cannot be had, out of memory;
    what a filter stands for is needed too (DT_FILTER, DT_AUXILIARY).
    """

    __slots__ = ("costs", "entries", "facts", "mappings", "name", "needed", "soname", "standing")

    def __init__(self, name: str, standing: Standing | None, facts: Facts | None) -> None:
        self.name = name
        self.standing = standing
        self.facts = facts
        self.mappings: list[Mapping] = []
        self.costs: list[Cost] = []
        self.entries: list[Entry] = []
        image = facts.image if facts else None
        self.soname = image.soname if image else None
        self.needed: tuple[str, ...] = tuple(name for _, name in image.dependencies) if image else ()

    @property
    def image(self) -> Image | None:
        """The file as the loader sees it, None where its bytes cannot be had."""
        return self.facts.image if self.facts else None

    @property
    def path(self) -> str:
        """Its name as the process sees it."""
        return self.standing.path if self.standing else self.name

    @property
    def loaded_as(self) -> str | None:
        """Its name in the link map; None where it stands in none. The program's own is empty there."""
        return self.entries[0].name if self.entries else None

    @property
    def loaded_from(self) -> str | None:
        """The path by which it was loaded, where that means the same to everybody; None of a relative one, and of the
        number of an open file (a program started by fexecve(3), a library opened as /proc/self/fd/N)."""
        name = self.loaded_as or ""
        return name if name.startswith("/") and not name.startswith(("/proc/", "/dev/fd/")) else None

    @property
    def is_vdso(self) -> bool:
        """Whether it is the kernel's own, which is no file."""
        return self.standing is None

    @property
    def base(self) -> int | None:
        """What is added to the addresses in the file; None where that cannot be told."""
        return None if self.image is None else load_base(self.image, self.mappings)

    def holds(self, address: int) -> bool:
        """Whether one of its mappings covers ADDRESS."""
        return any(mapping.start <= address < mapping.end for mapping in self.mappings)

    def __repr__(self) -> str:
        return f"Mapped({self.path!r})"


def load_base(image: Image, mappings: Iterable[Mapping]) -> int | None:
    """What was added to the addresses in a file when its MAPPINGS were made; None where its beginning is not mapped."""
    first = next((mapping for mapping in mappings if mapping.offset == 0), None)
    segment = next((s for s in image.segments if s.type == c.PT_LOAD and s.offset < _PAGE), None)
    return None if first is None or segment is None else first.start - (segment.vaddr - segment.offset)


def objects_of(
    pid: int,
    mappings: list[Mapping],
    costs: list[Cost] | None,
    listed: frozenset[int],
    sight: Sight,
    files: Files,
) -> list[Mapped]:
    """Every object of a process, by address, the vdso last.

    COSTS: of the MAPPINGS, None if they were not asked for. LISTED: where those begin that the link map knows: they
    are objects also where the file has been written over, and is no ELF file any more.
    """
    found: list[Mapped | None] = []
    for places in files_of(pid, mappings):
        code = [mappings[place] for place in places if mappings[place].executable]
        if code:
            its = [mappings[place] for place in places]
            standing = witness.asked(pid, its, standing_of(pid, code[0], sight))
            facts = files.facts(standing)
            if facts is not None or _is_object(pid, its, standing, listed):
                found.append(_object(its, code[0], standing, facts))
    objects = [one for one in (*found, _vdso(mappings)) if one is not None]
    if costs is not None:
        by_start = dict(zip([mapping.start for mapping in mappings], costs, strict=True))
        for one in objects:
            one.costs = [by_start[mapping.start] for mapping in one.mappings]
    return objects


def _vdso(mappings: Iterable[Mapping]) -> Mapped | None:
    mapping = next((mapping for mapping in mappings if mapping.name == VDSO), None)
    if mapping is None:
        return None
    vdso = Mapped(VDSO, None, None)
    vdso.mappings = [mapping]
    return vdso


def _object(mappings: list[Mapping], code: Mapping, standing: Standing, facts: Facts | None) -> Mapped:
    one = Mapped(code.name, standing, facts)
    one.mappings = mappings
    return one


def _is_object(pid: int, mappings: list[Mapping], standing: Standing, listed: frozenset[int]) -> bool:
    """Whether a file that is no ELF file, or whose bytes cannot be had, is an object all the same."""
    if any(mapping.start in listed for mapping in mappings):
        return True
    return standing.location is None and _begins_as_elf(pid, mappings)


def _begins_as_elf(pid: int, mappings: list[Mapping]) -> bool:
    """Whether a file whose bytes cannot be had otherwise begins as an ELF file does, in memory.

    One whose beginning is not mapped, or may not be read, is taken to be one: nothing else is mapped executable often.
    """
    first = next((mapping for mapping in mappings if mapping.offset == 0 and mapping.readable), None)
    if first is None:
        return True
    try:
        with procfs.Memory(pid) as memory:
            begins = memory.read(first.start, len(_MAGIC))
    except LinkScopeError:
        return True
    return begins is None or begins == _MAGIC


def mapped_at(objects: Iterable[Mapped], address: int) -> Mapped | None:
    """The object that covers ADDRESS."""
    return next((one for one in objects if one.holds(address)), None)


def basename(path: str) -> str:
    """The last component of PATH."""
    return os.path.basename(path)
