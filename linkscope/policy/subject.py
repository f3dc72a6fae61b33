"""One file as rules see it: its document, and the further facts that they ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from linkscope.elf.image import Image
from linkscope.model.inspect import File

Tag = Literal["RPATH", "RUNPATH"]
Privilege = Literal["setuid", "setgid", "capabilities"]


class Wanted(msgspec.Struct, frozen=True):
    """One symbol version that an object of the release asks for.

    name: as in the file, `GLIBC_2.34`. family, number: of a FAMILY_N(.N)* version, else None and (); of
    GLIBC_ABI_DT_RELR they are GLIBC and (2, 36). provider: the DT_NEEDED name that must define it. asker: the path of
    the object that asks. weak: glibc only warns where it is absent (VER_FLG_WEAK).
    """

    name: str
    family: str | None
    number: tuple[int, ...]
    provider: str
    asker: str
    weak: bool


class Carrier(msgspec.Struct, frozen=True):
    """A symbol that carries a version. weak: its reference is weak (STB_WEAK), so that it may stay undefined."""

    symbol: str
    asker: str
    weak: bool


class Part(msgspec.Struct, frozen=True):
    """An object of the release: the file itself, or a library that it brings along.

    path: as in the answer.
    """

    path: str
    image: Image


class SearchElement(msgspec.Struct, frozen=True):
    """One element of the file's own RPATH or RUNPATH.

    element: as written. folder: what the loader makes of it for this file, as seen from inside the root; None where the
    loader drops the element. mode: st_mode of the folder, 0 where there is none. finds: the libraries (requested names)
    of the closure that are found in it.
    """

    tag: Tag
    element: str
    folder: str | None
    mode: int
    finds: tuple[str, ...]


class Borrowed(msgspec.Struct, frozen=True):
    """A library that the file uses and does not name in its own NEEDED. symbols: some that it takes from there."""

    library: str
    symbols: tuple[str, ...]


Way = Literal["is", "loads", "needs", "may open"]


class Use(msgspec.Struct, frozen=True):
    """A library outside of the file that was looked for by a name, as `linkscope who` understands that.

    soname: what the library is called. project: whose it is, None where it was not looked for by that. way: the file is
    the library itself, loads it, needs it where no loader looked for it, or says that it may open it when it runs.
    askers: the objects that need it.
    """

    soname: str
    project: str | None
    way: Way
    askers: tuple[str, ...] = ()


class Subject(Protocol):
    """One file, as rules see it. Facts beside `file` are worked out when they are first asked for."""

    def __hash__(self) -> int:
        """Equal only for the very same subject."""

    @property
    def file(self) -> File:
        """The document of the file, as `linkscope inspect` has it."""

    @property
    def image(self) -> Image:
        """The loader's view of the file."""

    @property
    def foreign(self) -> bool:
        """Whether the file is for other machines, and no root was given in which its libraries could be looked up."""

    @property
    def rooted(self) -> bool:
        """Whether a root was named, in which the program is to start."""

    @property
    def searched(self) -> bool:
        """Whether the rules of a loader at hand were followed, so that what is absent from the answer is missing."""

    @property
    def top(self) -> str | None:
        """The folder or package that is checked as a whole, as seen from inside; None for a file named by itself."""

    @property
    def claims(self) -> tuple[str, ...]:
        """The platform tags of the wheel that the file is in (`manylinux_2_17_x86_64`, `any`); () elsewhere."""

    def within(self, name: str) -> str | None:
        """Where a file called NAME lies in what is checked as a whole, by its path in there; None where it does not."""

    @property
    def privileges(self) -> tuple[Privilege, ...]:
        """The rights that the file gives to whoever starts it."""

    @property
    def parts(self) -> Sequence[Part]:
        """The file, and the libraries that it brings along: of what is checked, and not of the machine at hand."""

    @property
    def brought(self) -> frozenset[str]:
        """The requested names of the libraries that are brought along."""

    @property
    def unversioned(self) -> Sequence[str]:
        """The requested names of the libraries that are loaded, are not brought along and define no versions."""

    @property
    def refused(self) -> frozenset[str]:
        """The files of the release at which the search for a library ends, since the loader refuses them."""

    @property
    def wanted(self) -> Sequence[Wanted]:
        """Every symbol version that the parts ask for from libraries that are not brought along."""

    def carriers(self, wanted: Iterable[Wanted]) -> dict[Wanted, tuple[Carrier, ...]]:
        """The symbols that carry each of the WANTED versions, in the order of their symbol tables."""

    @property
    def undefined(self) -> frozenset[str]:
        """Names of symbols that the parts refer to and none of them defines; weak references do not count."""

    @property
    def search_path(self) -> Sequence[SearchElement]:
        """The file's own RPATH or RUNPATH, in order."""

    @property
    def borrowed(self) -> Sequence[Borrowed] | None:
        """Libraries used without being needed; None where symbols were not bound."""

    @property
    def sections(self) -> frozenset[str]:
        """Which of the sections that rules ask about the file has (`.symtab`, `.debug_info`, `.gnu_debuglink` …)."""

    @property
    def unchecked(self) -> Sequence[str]:
        """The functions of the C library that the file uses though they have a variant that checks, by name."""

    @property
    def relocated_code(self) -> Sequence[str]:
        """What of its code the loader has to change: names of functions, or addresses where no symbol tells."""

    @property
    def debug_file(self) -> str | None:
        """The separate debug file of the file, by build id or debug link, where the root has it."""

    @property
    def cpu_level(self) -> int:
        """The x86-64 ISA level (2 to 4) that the loader demands for the file; 0 where it demands none."""

    def uses(self, names: tuple[str, ...]) -> Sequence[Use]:
        """The libraries that NAMES mean and the file takes from outside of it, in whichever way.

        A name is a project's, as that of what is inside of files (`zlib`), a soname, or the beginning of one; a glob is
        about the names of projects.
        """
