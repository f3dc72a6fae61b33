"""What a glibc loader says of itself: default folders, $LIB, version. Read out of its file, which is never run.

The folders stand NUL-separated in its read-only data (`system_dirs`, each ending in `/`), and so does the value of
$LIB behind the names of the tokens (`DL_DST_LIB`). Both are fixed when glibc is built. The version is in the text that
`ld.so --version` prints (since 2.33), and before that in the name of the file, or in libc.so.6 beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.reader import Reader
from linkscope.elf.rodata import loader_constants

# Each begins to match only where a string begins, and is bounded, so that a search takes time linear in the file.
_FOLDERS = re.compile(rb"(?<![\w./+@-])[\w.+@-]*+((?:/[\w./+@-]{1,4095}+(?<=/)\0){2,64})")
_ONE_FOLDER = re.compile(rb"\0(/[\w./+@-]{0,4000}/lib(?:32|64|x32)?/)\0")
_LIB = re.compile(rb"\0LIB\0++([\w./-]{1,255}+)\0")
_VERSION = re.compile(rb"(?:GNU C Library|ld\.so) \(([^)\n]{0,200})\)[^\n]{0,80}version (\d{1,4}\.\d{1,4})")
_FILE_NAME = re.compile(r"ld-(\d+\.\d+)\.so$")


class LoaderFacts(msgspec.Struct, frozen=True):
    """The compiled-in facts of one glibc loader.

    folders: the default search folders in order, each ending with `/`. lib: the value of $LIB. version: (2, 36), or
    None where the file does not tell. vendor: who built it, as it says itself (`Debian GLIBC 2.36-9`).
    """

    path: str
    folders: tuple[str, ...]
    lib: str
    version: tuple[int, int] | None
    vendor: str

    def before(self, *version: int) -> bool:
        """Whether the loader is older than this glibc version. An unknown version counts as the newest."""
        return self.version is not None and self.version < version

    @property
    def skips_other_machines_first(self) -> bool:
        """Whether a file of another machine is passed over before its byte order is looked at.

        Debian's patch `ldso-machine-mismatch`, which its derivatives carry as well.
        """
        return self.vendor.startswith(("Debian", "Ubuntu"))


def read_loader(reader: Reader, image: Image) -> LoaderFacts:
    """The facts of the loader in an open file."""
    data = loader_constants(reader, image, c.PF_W | c.PF_X)
    folders = _folders(data)
    if not folders:  # linked with its constants beside the code
        data = loader_constants(reader, image, c.PF_W)
        folders = _folders(data)
    banner = _VERSION.search(data)
    lib = _LIB.search(data)
    return LoaderFacts(
        path=image.path,
        folders=folders,
        lib=os.fsdecode(lib[1]) if lib else (folders[0].strip("/") if folders else "lib"),
        version=version_number(os.fsdecode(banner[2])) if banner else None,
        vendor=os.fsdecode(banner[1]) if banner else "",
    )


def _folders(data: bytes) -> tuple[str, ...]:
    runs = [match[1].rstrip(b"\0").split(b"\0") for match in _FOLDERS.finditer(data)]
    runs = [run for run in runs if any(b"lib" in folder for folder in run)]
    if not runs:  # a distribution with one default folder (NixOS)
        runs = [[match[1]] for match in _ONE_FOLDER.finditer(data)]
    return tuple(os.fsdecode(folder) for folder in max(runs, key=len)) if runs else ()


def version_number(text: str) -> tuple[int, int]:
    """(2, 36) for "2.36"."""
    major, minor = text.split(".")
    return int(major), int(minor)


def dated(facts: LoaderFacts, real_path: str, libc: Iterable[bytes]) -> LoaderFacts:
    """FACTS of a loader that does not tell its version (before 2.33): its file's name does, and libc.so.6 beside it.

    libc: the read-only data of that library, in pieces. A version that nothing tells stays None.
    """
    banner = next((match for match in map(_VERSION.search, libc) if match), None)
    name = _FILE_NAME.search(real_path)
    version = name[1] if name else os.fsdecode(banner[2]) if banner else None
    return msgspec.structs.replace(
        facts,
        version=version_number(version) if version else None,
        vendor=os.fsdecode(banner[1]) if banner else "",
    )
