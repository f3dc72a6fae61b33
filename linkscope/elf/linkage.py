"""What a file is (kind), and what kernel and loader do with it when it is started (linkage, pie, binds_now).

What its sections are called plays no part, save for object files, which have nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linkscope.elf import constants as c
from linkscope.elf.sections import holds_no_program, sections_named
from linkscope.elf.symbols import dynamic_table
from linkscope.errors import MalformedElf

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.model.inspect import Kind, Linkage

# Linkers write these tags into executables only, PIE or not: the loader puts the address of its link map there, for
# debuggers (binutils bfd/elflink.c, bfd_elf_size_dynamic_sections; bfd/elfxx-mips.c; lld ELF/SyntheticSections.cpp;
# gold layout.cc; Go cmd/link). They tell a PIE from a library where the linker is older than DF_1_PIE (2015).
_DEBUGGER_TAGS = frozenset((c.DT_DEBUG,))
_MIPS_DEBUGGER_TAGS = _DEBUGGER_TAGS | {c.DT_MIPS_RLD_MAP, c.DT_MIPS_RLD_MAP_REL}
# A dynamic loader offers debuggers its link map under one of these names: glibc and uClibc, musl, bionic.
_RENDEZVOUS = frozenset((b"_r_debug", b"_dl_debug_state", b"_dl_debug_addr", b"rtld_db_dlactivity"))
# Linux scripts/mod/modpost: every module has its description, and its `struct module`.
_MODULE_SECTIONS = frozenset((b".modinfo", b".gnu.linkonce.this_module"))


def kind(reader: Reader, image: Image) -> Kind:
    """What the file is, in the contract's words.

    Raises MalformedElf for an e_type that is none of the gABI's four kinds of file.
    """
    if image.debug:
        return "debug"
    if image.type == c.ET_CORE:
        return "core"
    if image.type == c.ET_REL:
        return _kind_of_object_file(reader, image)
    if image.type not in (c.ET_EXEC, c.ET_DYN):
        raise MalformedElf(image.path, f"e_type {image.type} is no kind of program, library or object file", 16)
    if _is_program(image):
        return "executable"
    return "interpreter" if _is_loader(reader, image) else "shared-library"


def linkage(image: Image) -> Linkage | None:
    """Whether the kernel starts a loader for this executable (PT_INTERP); None for other kinds.

    Neither NEEDED nor PT_DYNAMIC matter: a static-pie has PT_DYNAMIC, a Go PIE has PT_INTERP and needs nothing
    (Linux fs/binfmt_elf.c, load_elf_binary).
    """
    if not _is_program(image):
        return None
    return "static" if image.interpreter is None else "dynamic"


def pie(image: Image) -> bool | None:
    """Whether an executable is position-independent, so that its address is random; None for other kinds."""
    return image.type == c.ET_DYN if _is_program(image) else None


def binds_now(image: Image) -> bool:
    """Whether the loader binds the file's functions before it starts, not at their first call.

    Any of three tags says so (glibc elf/get-dynamic-info.h).
    """
    if image.dt_flags & c.DF_BIND_NOW or image.dt_flags_1 & c.DF_1_NOW:
        return True
    return image.value(c.DT_BIND_NOW) is not None


def _is_program(image: Image) -> bool:
    """Whether this is an executable and no library.

    PT_INTERP does not tell: libc.so.6, libcap and others can be started to print something, and are libraries.
    """
    if image.debug or image.type not in (c.ET_EXEC, c.ET_DYN):
        return False
    if image.type == c.ET_EXEC or image.dt_flags_1 & c.DF_1_PIE:
        return True
    if image.dynamic is None:  # no loader takes it as a library; the kernel starts it
        return image.entry != 0
    tags = _MIPS_DEBUGGER_TAGS if image.machine == c.EM_MIPS else _DEBUGGER_TAGS
    return any(tag in tags for tag, _ in image.dynamic)


def _is_loader(reader: Reader, image: Image) -> bool:
    """Whether a library is a dynamic loader: it needs nothing, can be entered, and shows its link map to debuggers.

    Not its name: musl's is called libc.so, and any file may be called ld.so.
    """
    if image.interpreter is not None or image.needed or not image.entry:
        return False
    table = dynamic_table(reader, image)
    return table is not None and bool(table.names_among(_RENDEZVOUS))


def _kind_of_object_file(reader: Reader, image: Image) -> Kind:
    try:
        if holds_no_program(reader, image):
            return "debug"
        return "kernel-module" if sections_named(reader, image, _MODULE_SECTIONS) else "relocatable"
    except MalformedElf:  # nothing can be linked with it, but it is what e_type says
        return "relocatable"
