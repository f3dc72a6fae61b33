"""What is meant by the name of a library that somebody asks for: sonames, a file, what contents call it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache

import msgspec

from linkscope.analysis.circumstances import place
from linkscope.analysis.sought_names import known_names
from linkscope.contents import forks, languages, symbols
from linkscope.contents.banners import Library, is_called, without_hash
from linkscope.contents.banners import libraries as libraries_with_banners
from linkscope.errors import StoreUnusable
from linkscope.loader.system import System
from linkscope.model.inspect import Content
from linkscope.model.meant import meant

# A crate is often called as the library that it binds, and counts its versions on its own; a distribution's package
# has a version of its own, too. The path of a Go module is nobody else's name.
_NAMED_ALONE = frozenset(("generic", "go"))
_SONAME = re.compile(r"\.so(\.|$)")
# What a Debian package is called after the soname that it has (Debian Policy, 8.1), and after its time_t of 64 bits.
_OF_PACKAGE = re.compile(r"(lib[\w+.-]*?)-?(\d[\d.]*)(?:t64)?")
# Names of contents that stand in no table: Go's own packages, and C libraries.
_OTHERS = frozenset(("stdlib", "uclibc-ng", "dietlibc", "bionic"))


class Sought(msgspec.Struct, frozen=True):
    """A library that is looked for. name: as it was given.

    path: of a file that was named, absolute and without symlinks, None where no file was. also: other paths of it, as
    processes may have mapped it. libraries: the projects that are meant, for their sonames, if `by_project`, and for
    what is inside of files; of a file that was named, for its version alone. stem: the beginning of sonames that count.
    """

    name: str
    path: str | None
    also: frozenset[str]
    libraries: tuple[Library, ...]
    by_project: bool
    stem: str | None

    @property
    def projects(self) -> frozenset[str]:
        """The names of the projects, as contents have them."""
        return frozenset(library.name for library in self.libraries)

    @property
    def names(self) -> frozenset[str] | None:
        """The plain libraries that have to be looked for inside of files; None: anything may be meant."""
        if self.libraries or self.path is not None or _SONAME.search(self.name):
            return self.projects
        return None

    def is_at(self, paths: Iterable[str | None]) -> bool:
        """Whether one of PATHS is that of the file that was named."""
        return self.path is not None and any(path == self.path or path in self.also for path in paths if path)

    def is_called(self, names: Iterable[str | None]) -> bool:
        """Whether one of NAMES (sonames, names of files) is the library's; never where a file was named."""
        if self.path is not None:
            return False
        return any(self._is_its(name) for name in names if name)

    def _is_its(self, name: str) -> bool:
        plain = without_hash(name)
        grafted = plain != name
        if self.name in (name, plain) or (grafted and plain.startswith(f"{self.name}.") and self._is_soname):
            return True
        if self.by_project:
            return any(is_called(library, name) for library in self.libraries)
        return self.stem is not None and bool(re.fullmatch(rf"{re.escape(self.stem)}(-[\d.]+)?\.so(\..*)?", plain))

    @property
    def _is_soname(self) -> bool:
        return _SONAME.search(self.name) is not None

    def is_part(self, soname: str | None) -> bool:
        """Whether a library called SONAME is of the same project: what is inside of it is itself, and nothing more."""
        return soname is not None and any(is_called(library, soname) for library in self.libraries)

    def is_inside(self, content: Content) -> bool:
        """Whether CONTENT, out of some file, is the library."""
        return self.path is None and (self.tells(content) or self._is_named(content))

    def tells(self, content: Content) -> bool:
        """Whether CONTENT, out of the library's own file, is about it."""
        return content.ecosystem == "generic" and content.name in self.projects

    def _is_named(self, content: Content) -> bool:
        if self.name == f"{content.ecosystem}:{content.name}":
            return True
        return content.ecosystem in _NAMED_ALONE and content.name == self.name

    def is_another(self, soname: str, found: list[Content]) -> bool:
        """Whether a library called SONAME, in which everything was looked for and FOUND, is another project's.

        So there are libjpeg and libjpeg-turbo, OpenSSL and LibreSSL. Somebody who gave a soname means any of them.
        """
        names = {content.name for content in found if content.ecosystem == "generic"}
        rivals = {library.name for library in libraries() if library.name in names and is_called(library, soname)}
        return bool(rivals - self.projects or any(names & forks.of(project) for project in self.projects))


@cache
def libraries() -> tuple[Library, ...]:
    """All that are known by banners or by symbols, each name once."""
    told = {library.name: library for library in libraries_with_banners()}
    for row in symbols.libraries():
        told.setdefault(row.name, Library(name=row.name, sonames=symbols.sonames_of(row), banner=()))
    return tuple(told.values())


def sought(name: str, system: System) -> Sought:
    """What NAME means: the file at a path, a soname, or a project; `libssl` is what sonames begin with.

    So is `libssl.so`, which is what a linker looks for, whatever the version. A name with a slash is a path, unless
    nothing stands there and it does not look like one: Go's modules have such names. Contents of another ecosystem are
    named with it (`cargo:openssl`).
    """
    path = _path(name, system)
    if path is not None:
        inside = place(name, system).inside
        also = frozenset((inside, os.path.normpath(inside)))
        return Sought(name, path, also, of_soname(path.rpartition("/")[2]), by_project=False, stem=None)
    if _SONAME.search(name):
        stem = name.removesuffix(".so") if name.endswith(".so") else None
        return Sought(name, None, frozenset(), of_soname(name), by_project=False, stem=stem)
    project = tuple(library for library in libraries() if library.name == name.lower())
    if project:
        return Sought(name, None, frozenset(), project, by_project=True, stem=None)
    stem = _stem(name)
    plain = re.fullmatch(r"[\w+.-]+", name) is not None
    libraries_of_it = of_soname(f"{stem}.so") if plain else ()
    return Sought(name, None, frozenset(), libraries_of_it, by_project=False, stem=stem if plain else None)


def _path(name: str, system: System) -> str | None:
    """The path that NAME is, without symlinks; None where it is none."""
    if "/" not in name:
        return None
    inside = place(name, system).inside
    real = system.realpath(inside, "/")
    if real is not None:
        return real
    is_path = name.startswith(("/", "./", "../")) or _SONAME.search(name)
    return os.path.normpath(inside) if is_path else None


def _stem(name: str) -> str:
    return name if name.startswith("lib") else f"lib{name}"


def of_soname(soname: str) -> tuple[Library, ...]:
    """The libraries whose soname it is or may be: several where forks keep the name."""
    return tuple(library for library in libraries() if is_called(library, soname))


def near(name: str) -> list[str]:
    """The projects that are known whose names are nearly NAME; [] where it is one itself, or begins their sonames."""
    try:
        return meant(name.lower(), [*known_names(), *_OTHERS], 2) if is_nobodys(name) else []
    except StoreUnusable:  # this is about advice: whoever needs the store is told
        return []


def soname_of_package(name: str) -> str | None:
    """The soname after which a package NAME would be called (`libssl3`), where it is a known library's."""
    parts = _OF_PACKAGE.fullmatch(name.lower())
    if parts is None or _SONAME.search(name) or any(library.name == name.lower() for library in libraries()):
        return None
    soname = f"{parts[1]}.so.{parts[2]}"
    return soname if of_soname(soname) else None


def is_nobodys(name: str, store: str | None = None, shipped: bool = True) -> bool:
    """Whether NAME is a plain name, and none by which anything could be found inside of a file.

    Globs, sonames, paths of modules and names with their ecosystem are no plain names. store, shipped: as of
    `signatures.packs`. Raises StoreUnusable.
    """
    if re.fullmatch(r"[\w+-]+(\.\d+)*", name) is None or _is_known(name):
        return False
    if name in _OTHERS or any(name == runtime.name for runtime in languages.runtimes()):
        return False
    from linkscope.analysis.signatures import packs  # the tables know most names

    known = packs(store, shipped)
    return all(name.lower() != filed.archive.library for pack in known for filed in pack.filed())


def _is_known(name: str) -> bool:
    known = any(library.name == name.lower() for library in libraries())
    return known or bool(of_soname(name) or of_soname(f"{_stem(name)}.so"))
