"""What is inside files that are met on the way (libraries, what processes have mapped), each of them read once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from linkscope.analysis.facts import file_facts
from linkscope.contents import embedded, forks, symbols
from linkscope.contents.identify import Inside, inside
from linkscope.contents.together import together
from linkscope.elf import linkage
from linkscope.elf.image import Image, read_image
from linkscope.elf.packing import packed
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError, StoreUnusable
from linkscope.loader.system import System
from linkscope.model.inspect import Content
from linkscope.process import procfs
from linkscope.process.mapped import Mapped
from linkscope.process.rebuilt import from_memory

if TYPE_CHECKING:
    from linkscope.contents.packs import Store

_Key = tuple[int, int, int, int]
# The names that `identify` has for C libraries, which are known by more than banners and symbols.
_C_LIBRARIES = frozenset(("glibc", "musl", "uclibc-ng", "dietlibc", "bionic"))


class Search(msgspec.Struct, frozen=True):
    """How files are searched. thorough: for machine code in dynamic ones, too.

    store: the path of the user's own signatures, None where it usually is; shipped: whether those brought along count.
    unpack: whether what was packed into a file is searched, too.
    """

    thorough: bool = False
    store: str | None = None
    shipped: bool = True
    unpack: bool = False


_USUAL = Search()


class Look(msgspec.Struct, frozen=True):
    """What was found in one file. by_code: whether its machine code was looked at, not its texts and symbols alone.

    unknown: the bytes of that code which no library accounts for that is known; 0 where it was not looked at.
    unpacked: whether all that is about what was packed into the file. failure: why that could not be worked out.
    """

    contents: list[Content]
    by_code: bool = False
    unknown: int = 0
    unpacked: bool = False
    failure: LinkScopeError | None = None


class Insides:
    """The contents of the files of one run. names: of plain libraries that are looked for; None: everything.

    Of a static program all that may be inside is looked for, by its machine code, too; of another file that only where
    no names were given, or if the search is thorough: else its texts and symbols tell, at twenty times the speed.
    """

    def __init__(self, names: frozenset[str] | None = None, search: Search = _USUAL) -> None:
        self._names = names
        self._search = search
        self._known: dict[_Key, Look] = {}

    @cached_property
    def _packs(self) -> Sequence[Store]:
        from linkscope.analysis.signatures import packs  # what texts and symbols tell needs none

        return packs(self._search.store, self._search.shipped)

    @cached_property
    def of_everything(self) -> Insides:
        """The same for everything that may be inside."""
        return self if self._names is None else Insides(None, self._search)

    def may_tell_more(self, look: Look | None, names: Iterable[str]) -> bool:
        """Whether a thorough search of the file of LOOK compares its code with that of the libraries of these NAMES."""
        if look is None or look.by_code or self._search.thorough or self._names == frozenset():
            return False
        return not self._with_code.isdisjoint(names)

    @cached_property
    def _with_code(self) -> frozenset[str]:
        try:
            return frozenset(filed.archive.library or "" for pack in self._packs for filed in pack.filed())
        except StoreUnusable:  # whoever searches by it is told; here it is about advice
            return frozenset()

    def of_path(self, path: str, system: System) -> list[Content] | None:
        """Of the file at PATH (absolute, as seen from inside); None where it cannot be read."""
        look = self.look_at(path, system)
        return None if look is None else look.contents

    def look_at(self, path: str, system: System) -> Look | None:
        """The same, with how it was looked for."""
        try:
            return self._at(system.root.locate(path), path, system.root.open)
        except OSError:
            return None

    def look_at_program(self, pid: int, path: str) -> Look | None:
        """Of the file that the kernel started as process PID, which may be deleted; None where it cannot be read."""
        return self._at(procfs.path_of(pid, "exe"), path, os.open)

    def of_mapped(self, pid: int, one: Mapped) -> list[Content] | None:
        """Of a file that process PID has mapped, deleted ones included; None where its bytes cannot be had."""
        look = self.look_at_mapped(pid, one)
        return None if look is None else look.contents

    def look_at_mapped(self, pid: int, one: Mapped) -> Look | None:
        """The same, with how it was looked for."""
        standing = one.standing
        if standing is None or self._names == frozenset():
            return Look([])
        if standing.location is not None:
            own = standing.linked or standing.view is None
            how = os.open if own or standing.view is None else standing.view.system.root.open
            found = self._at(standing.location, one.path, how)
            if found is not None:
                return found
        reader = from_memory(pid, one.mappings, one.path)
        if reader is None:
            return None
        with reader:
            return self._of(reader)

    def _at(self, location: str, path: str, how: Callable[[str, int], int]) -> Look | None:
        if self._names == frozenset():
            return Look([])
        try:
            status = os.stat(location)
            key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if key not in self._known:
                with open_reader(location, path, how) as reader:
                    self._known[key] = self._of(reader)
        except StoreUnusable:
            raise
        except (LinkScopeError, OSError, ValueError):
            return None
        return self._known[key]

    def _needs_everything(self, image: Image, names: frozenset[str]) -> bool:
        """Whether everything has to be looked for in a file, though NAMES were given."""
        return self._search.thorough or bool(names & _C_LIBRARIES) or linkage.linkage(image) == "static"

    def _of(self, reader: Reader) -> Look:
        try:
            image = read_image(reader)
            if packed(reader, image):
                return self._of_packed(reader, image) if self._search.unpack else Look([])
            if self._names is None or self._needs_everything(image, self._names):
                return _told(inside(reader, image, file_facts(reader, image).file, self._packs))
            return Look(_by_texts_and_symbols(reader, image, self._names))
        except StoreUnusable:  # which is no fault of the file, and must not look as if nothing was inside
            raise
        except LinkScopeError:
            return Look([])

    def _of_packed(self, reader: Reader, image: Image) -> Look:
        from linkscope.analysis.original import inside_packed  # few files are packed
        from linkscope.contents.upx import CannotUnpack

        try:
            return msgspec.structs.replace(_told(inside_packed(reader, image, self._packs)), unpacked=True)
        except CannotUnpack as error:
            return Look([], failure=error)


def _told(found: Inside) -> Look:
    code = found.code
    return Look(found.contents, code is not None, code.size - code.attributed if code else 0)


def _by_texts_and_symbols(reader: Reader, image: Image, names: frozenset[str]) -> list[Content]:
    """The plain libraries of these NAMES and their forks: what `identify` says of them but for the machine code."""
    wanted = forks.with_forks(names)
    defined = [content for content in symbols.contents(reader, image) if content.name in wanted]
    return forks.settled(together([*embedded.contents(reader, image, wanted), *defined]))
