"""What one file says by itself, whatever it is started as: the part of the answer that needs no other file."""

from __future__ import annotations

import msgspec

from linkscope.analysis import problems
from linkscope.elf import constants as c
from linkscope.elf import hardening, libc, linkage, machines, notes, toolchain, versions
from linkscope.elf.image import Image
from linkscope.elf.reader import Reader
from linkscope.loader.glibc import split_search_path
from linkscope.model.document import exact_bytes, text
from linkscope.model.inspect import ElfHeader, File


class FileFacts(msgspec.Struct, frozen=True):
    """A file as far as it speaks for itself.

    file: the answer with the path that the file was first met by, and with nothing loaded. declared: the entries of
    `.note.dlopen`.
    """

    image: Image
    file: File
    declared: tuple[notes.DlopenEntry, ...]

    @property
    def is_loaded(self) -> bool:
        """Whether a dynamic loader has to do with the file."""
        return self.file.kind == "shared-library" or self.file.linkage == "dynamic"


def file_facts(reader: Reader, image: Image) -> FileFacts:
    """The facts of an open file. Raises LinkScopeError for what contradicts itself."""
    return FileFacts(image, _file(reader, image), notes.dlopen_entries(reader, image))


def _file(reader: Reader, image: Image) -> File:
    how = linkage.linkage(image)
    requires, other = versions.highest_versions(image.verneed)
    return File(
        path=text(image.path),
        path_bytes=exact_bytes(image.path),
        kind=linkage.kind(reader, image),
        linkage=how,
        pie=linkage.pie(image),
        elf=_header(image),
        interpreter=None if image.interpreter is None else text(image.interpreter),
        libc=libc.libc(reader, image),
        soname=None if image.soname is None else text(image.soname),
        needed=[text(name) for name in image.needed],
        rpath=[text(element) for element in split_search_path(image.rpath or "", ":")],
        runpath=[text(element) for element in split_search_path(image.runpath or "", ":")],
        build_id=notes.build_id(reader, image),
        requires={text(family): number for family, number in requires.items()},
        requires_other=[text(name) for name in other],
        hardening=hardening.hardening(reader, image),
        toolchain=toolchain.toolchain(reader, image),
        closure=[],
        missing=[],
        problems=problems.of_file(reader, image, how),
        dlopen=[],
    )


def _header(image: Image) -> ElfHeader:
    return ElfHeader(
        class_=64 if image.elf_class == 64 else 32,
        endian="little" if image.layout.order == "<" else "big",
        machine=machines.machine_name(image.machine),
        type=c.TYPE_NAMES.get(image.type, str(image.type)),
    )
