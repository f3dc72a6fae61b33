"""A file as the rules of a policy see it: facts beside its document, each worked out when it is first asked for."""

from __future__ import annotations

import functools
import itertools
import os
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from linkscope.analysis import debugfile
from linkscope.analysis.brought import Release, brought_along, refused
from linkscope.analysis.inspect import Examined, Run
from linkscope.elf import constants as c
from linkscope.elf import sections as section_headers
from linkscope.elf.hardening import unchecked_functions
from linkscope.elf.image import Image
from linkscope.elf.protections import relocated_functions
from linkscope.elf.reader import Reader, open_reader
from linkscope.elf.symbols import Symbols, read_symbols
from linkscope.elf.versions import number_of
from linkscope.errors import LinkScopeError
from linkscope.loader.environment import has_file_capabilities, is_native
from linkscope.loader.linkmap import Folder, Loaded
from linkscope.model.document import text
from linkscope.model.inspect import File
from linkscope.policy.subject import Borrowed, Carrier, Part, Privilege, SearchElement, Tag, Use, Wanted

if TYPE_CHECKING:
    from linkscope.packages.unpacked import Kept

_SECTIONS = frozenset(
    (b".symtab", b".debug_info", b".zdebug_info", b".gnu_debuglink", b".gnu_debugaltlink", b".gnu_debugdata")
)
_LONGEST_LINK = 4096
_MOST_NAMES = 1 << 20  # of files below a folder
_NO_SYMBOLS = Symbols((), {}, False)


class FileSubject:
    """The Subject of one file that was examined.

    rooted: a root was named. kept: what a package says of the file, where it was in one. bundle: the folder of this
    machine in which that was unpacked: what lies there is brought along. top: the folder or package that was named and
    is checked as a whole, as seen from inside; None for a file that was named itself. claims: see Subject.
    """

    def __init__(
        self,
        run: Run,
        examined: Examined,
        rooted: bool,
        kept: Kept | None = None,
        bundle: str | None = None,
        top: str | None = None,
        claims: tuple[str, ...] = (),
    ) -> None:
        self.file: File = examined.file
        self.image: Image = examined.facts.image
        self.rooted = rooted
        self.top = top
        self.claims = claims
        self._run = run
        self._examined = examined
        self._mode = kept.mode if kept else self.image.mode
        self._has_capabilities = kept.capabilities if kept else None
        self._release = Release(bundle, top, rooted)

    @functools.cached_property
    def foreign(self) -> bool:
        """Whether no root was named, and this machine has no loader for the file, which is for other machines."""
        started = self._examined.started
        without = started is not None and started.rules is None
        return not self.rooted and without and not is_native(self.image.machine)

    @property
    def searched(self) -> bool:
        """Whether there was a loader whose rules are known."""
        started = self._examined.started
        return started is not None and started.rules is not None

    def within(self, name: str) -> str | None:
        """The first in the order of the folders. Nothing of a file that was named itself."""
        if self._release.bundle is None and self.top is None:
            return None
        system = self._run.system
        try:
            folder = self._release.bundle or system.root.locate(self.top or "/")
        except OSError:
            return None
        known = cast("dict[str, dict[str, str]]", system.memory.setdefault("names below", {}))
        if folder not in known:
            known[folder] = _names_below(folder)
        return known[folder].get(name)

    @functools.cached_property
    def privileges(self) -> tuple[Privilege, ...]:
        """What the file's mode and capabilities give to whoever starts it; nothing for a library."""
        if self.file.kind != "executable":
            return ()
        found: list[Privilege] = []
        if self._mode & stat.S_ISUID:
            found.append("setuid")
        if self._mode & stat.S_ISGID and self._mode & stat.S_IXGRP:
            found.append("setgid")
        known = self._has_capabilities
        if has_file_capabilities(self._examined.location) if known is None else known:
            found.append("capabilities")
        return tuple(found)

    @functools.cached_property
    def _brought_along(self) -> list[Loaded]:
        started = self._examined.started
        return brought_along(self._run.system, started, self._release) if started else []

    @functools.cached_property
    def parts(self) -> list[Part]:
        """The file itself first, then what it brings along, in link-map order."""
        brought = [Part(one.path or one.requested, one.image) for one in self._brought_along if one.image is not None]
        return [Part(self.file.path, self.image), *brought]

    @functools.cached_property
    def brought(self) -> frozenset[str]:
        """The names under which the libraries that are brought along are asked for, and their sonames.

        Without a loader for the file's machine nothing is searched: what the release has by that name is taken for it.
        """
        names = {one.requested for one in self._brought_along}
        names |= {one.image.soname for one in self._brought_along if one.image and one.image.soname}
        if self.foreign:
            names |= {name for name in self.image.needed if self.within(name) is not None}
        return frozenset(names)

    @functools.cached_property
    def unversioned(self) -> list[str]:
        """In link-map order."""
        started = self._examined.started
        own = {id(one) for one in self._brought_along}
        return [
            one.requested
            for one in (started.link_map.objects if started else ())
            if one.role != "main" and one.image is not None and one.image.verdef is None and id(one) not in own
        ]

    @functools.cached_property
    def refused(self) -> frozenset[str]:
        """As they stand in the document."""
        started = self._examined.started
        found = refused(self._run.system, started, self._release) if started else ()
        return frozenset(map(text, found))

    @functools.cached_property
    def wanted(self) -> list[Wanted]:
        """In the order of the parts and of their DT_VERNEED."""
        return [
            Wanted(version.name, *number_of(version.name), need.file, part.path, version.weak)
            for part in self.parts
            for need in part.image.verneed
            if need.file not in self.brought
            for version in need.versions
        ]

    def carriers(self, wanted: Iterable[Wanted]) -> dict[Wanted, tuple[Carrier, ...]]:
        """The symbols that carry each of WANTED; none for a version that no symbol carries (GLIBC_ABI_DT_RELR)."""
        asked = list(wanted)
        found: dict[Wanted, tuple[Carrier, ...]] = dict.fromkeys(asked, ())
        for asker in dict.fromkeys(one.asker for one in asked):
            uses = self._uses(asker)
            for one in asked:
                if one.asker == asker:
                    found[one] = tuple(uses.get((one.provider, one.name), ()))
        return found

    def _uses(self, asker: str) -> dict[tuple[str, str], list[Carrier]]:
        uses: dict[tuple[str, str], list[Carrier]] = {}
        symbols = next((self._symbols(part) for part in self.parts if part.path == asker), _NO_SYMBOLS)
        for entry in symbols.entries:
            version = symbols.versions.get(entry.version)
            if entry.shndx == c.SHN_UNDEF and version is not None and version.file is not None:
                carrier = Carrier(entry.name, asker, entry.bind == c.STB_WEAK)
                uses.setdefault((version.file, version.name), []).append(carrier)
        return uses

    @functools.cached_property
    def undefined(self) -> frozenset[str]:
        """Nothing of a part whose symbols cannot be read."""
        entries = [entry for part in self.parts for entry in self._symbols(part).entries if entry.name]
        defined = {entry.name for entry in entries if entry.shndx != c.SHN_UNDEF}
        asked = {entry.name for entry in entries if entry.shndx == c.SHN_UNDEF and entry.bind != c.STB_WEAK}
        return frozenset(asked - defined)

    def _symbols(self, part: Part) -> Symbols:
        try:
            with self._open(part) as reader:
                return read_symbols(reader, part.image)
        except LinkScopeError:
            return _NO_SYMBOLS

    def opened(self) -> Reader:
        """The file itself, open."""
        return self._open(self.parts[0])

    def _open(self, part: Part) -> Reader:
        location = self._examined.location
        for one in self._brought_along:
            if one.image is part.image and one.finding and one.finding.candidate:
                location = one.finding.candidate.location
        return open_reader(location, part.path, self._run.system.root.open)

    @functools.cached_property
    def search_path(self) -> list[SearchElement]:
        """Every element as it is written; what it means as far as the loader at hand honours it."""
        tag: Tag = "RUNPATH" if self.image.runpath is not None else "RPATH"
        elements = self.file.runpath if self.image.runpath is not None else self.file.rpath
        folders = self._folders()
        return [
            SearchElement(tag, element, folder, self._mode_of(folder), self._found_in(element))
            for element in elements
            for folder in (folders.get(element),)
        ]

    def _folders(self) -> dict[str, str]:
        started = self._examined.started
        if started is not None and started.rules is not None:
            own = started.rules.own_folders(started.link_map.main)
            return {folder.element: self._from_where_it_is(folder) for folder in own}
        origin = os.path.dirname(self._examined.where.inside)
        texts = [*self.file.rpath, *self.file.runpath]
        plain = {text: text.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for text in texts}
        return {text: folder for text, folder in plain.items() if "$" not in folder}

    def _from_where_it_is(self, folder: Folder) -> str:
        """Of a library named by a relative path musl makes a relative $ORIGIN, which is no fault of its own."""
        path = folder.prefix.rstrip("/") or folder.prefix
        return os.path.join(self._run.environment.cwd, path) if folder.element.startswith("$") else path

    def _mode_of(self, folder: str | None) -> int:
        if folder is None:
            return 0
        return self._run.system.mode(os.path.join(self._run.environment.cwd, folder))

    def _found_in(self, element: str) -> tuple[str, ...]:
        return tuple(one.requested for one in self.file.closure if one.of == self.file.path and one.element == element)

    @functools.cached_property
    def borrowed(self) -> list[Borrowed] | None:
        """In the order of the scope; None where symbols were not bound. A filtee is its filter's to name."""
        binding, started = self._examined.binding, self._examined.started
        if binding is None or started is None:
            return None
        reached = started.link_map.dependencies.values()
        filtees = {text(one.path or "") for found in reached for tag, _, one in found if tag != c.DT_NEEDED}
        return [Borrowed(path, symbols) for path, symbols in binding.borrowed if path not in filtees]

    @functools.cached_property
    def sections(self) -> frozenset[str]:
        """Those of the sections about debugging that the file has; none where it has no section headers."""
        return frozenset(name.decode() for name in self._sections)

    @functools.cached_property
    def _sections(self) -> dict[bytes, section_headers.Section]:
        try:
            with self.opened() as reader:
                return section_headers.sections_named(reader, self.image, _SECTIONS)
        except LinkScopeError:
            return {}

    @functools.cached_property
    def unchecked(self) -> list[str]:
        """What _FORTIFY_SOURCE would act on, by name; none where the symbols cannot be read."""
        try:
            with self.opened() as reader:
                return unchecked_functions(reader, self.image)
        except LinkScopeError:
            return []

    @functools.cached_property
    def relocated_code(self) -> list[str]:
        """What text relocations change, in the order of the addresses; none where the tables cannot be read."""
        try:
            with self.opened() as reader:
                return relocated_functions(reader, self.image)
        except LinkScopeError:
            return []

    @functools.cached_property
    def debug_file(self) -> str | None:
        """The first that there is, where gdb looks: by build id, then by .gnu_debuglink; none of another build."""
        build_id, link = self.file.build_id, self._debug_link()
        folder = os.path.dirname(self._examined.where.inside)
        found = debugfile.places(folder, build_id, link)
        return next((path for path in found if debugfile.belongs(self._run.system, path, build_id, link)), None)

    def _debug_link(self) -> debugfile.DebugLink | None:
        link = self._sections.get(b".gnu_debuglink")
        if link is None:
            return None
        try:
            with self.opened() as reader:
                content = reader.read(link.offset, min(link.size, _LONGEST_LINK))
        except LinkScopeError:
            return None
        return debugfile.debug_link(content, self.image.layout.order)

    def uses(self, names: tuple[str, ...]) -> list[Use]:
        """What of the closure, of the file's own needs and of its dlopen notes is one of NAMES."""
        from linkscope.analysis.uses import uses  # few policies ask, and it reads the tables of libraries

        return list(uses(names, self.file, self._examined.where, self._run.system))

    @property
    def cpu_level(self) -> int:
        """GNU_PROPERTY_X86_ISA_1_NEEDED as a level: its bits are baseline, v2, v3 and v4 (x86-64 psABI)."""
        level = self.image.x86_isa_needed.bit_length()
        return level if level > 1 else 0


def _names_below(folder: str) -> dict[str, str]:
    """The files below FOLDER by their names, each with its path from there; of very many the first."""
    from linkscope.inventory.walk import names_below  # only where a library is missing

    found: dict[str, str] = {}
    for path in itertools.islice(names_below(folder), _MOST_NAMES):
        found.setdefault(os.path.basename(path), os.path.relpath(path, folder))
    return found
