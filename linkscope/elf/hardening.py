"""What the link step switched on against exploitation: from program headers, dynamic tags and symbol names.

Names as checksec and the GNU tools use them: RELRO, BIND_NOW, NX, stack canary, _FORTIFY_SOURCE, CET, BTI, PAC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from linkscope.elf import constants as c
from linkscope.elf import notes
from linkscope.elf.libc import family_inside
from linkscope.elf.linkage import binds_now, linkage
from linkscope.elf.sections import sections_named
from linkscope.elf.symbols import dynamic_table, section_table
from linkscope.errors import MalformedElf
from linkscope.model.inspect import Hardening

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

# Called when a canary was overwritten (`_local`: a stub inside the file, for i386 and PowerPC), or the canary itself
# where it is a variable: GCC and Clang, and the Intel compiler.
_CANARY = frozenset((b"__stack_chk_fail", b"__stack_chk_fail_local", b"__stack_chk_guard", b"__intel_security_cookie"))
# The functions that have a checking variant, `__NAME_chk`, in glibc (debug/Versions, string/Versions) …
_CHECKED = """
    asprintf confstr dprintf explicit_bzero fdelt fgets fgets_unlocked fgetws fgetws_unlocked fprintf fread
    fread_unlocked fwprintf getcwd getdomainname getgroups gethostname getlogin_r gets getwd inet_ntop inet_pton
    longjmp mbsnrtowcs mbsrtowcs mbstowcs memcpy memmove mempcpy memset obstack_printf obstack_vprintf poll ppoll
    ppoll64 pread pread64 printf ptsname_r read readlink readlinkat realpath recv recvfrom snprintf sprintf stpcpy
    stpncpy strcat strcpy strlcat strlcpy strncat strncpy swprintf syslog ttyname_r vasprintf vdprintf vfprintf
    vfwprintf vprintf vsnprintf vsprintf vswprintf vsyslog vwprintf wcpcpy wcpncpy wcrtomb wcscat wcscpy wcslcat
    wcslcpy wcsncat wcsncpy wcsnrtombs wcsrtombs wcstombs wctomb wmemcpy wmemmove wmempcpy wmemset wprintf
""".split()
# … and in bionic alone (libc/libc.map.txt).
_CHECKED_BY_BIONIC = """
    FD_CLR FD_ISSET FD_SET fwrite memchr memrchr pwrite pwrite64 send sendto strchr strlen strrchr umask write
""".split()
# The last two: where `long double` is the same as `double`, and where it is IEEE binary128.
_CHECKING = ("__{}_chk", "__nldbl___{}_chk", "__{}_chkieee128")
_FORTIFIED = frozenset(form.format(name).encode() for form in _CHECKING for name in _CHECKED + _CHECKED_BY_BIONIC) | {
    b"__open_2",
    b"__open64_2",
    b"__openat_2",
    b"__openat64_2",
}
_NOT_FORTIFIED = frozenset(name.encode() for name in _CHECKED)
_NAMES = _CANARY | _FORTIFIED | _NOT_FORTIFIED
# Without PT_GNU_STACK the stack is executable, save where kernel and C library default otherwise
# (glibc sysdeps/*/stackinfo.h, DEFAULT_STACK_PERMS; the kernel alone would spare x86-64 since 5.8, glibc does not).
_NX_WITHOUT_HEADER = frozenset((c.EM_PPC64, c.EM_AARCH64, c.EM_RISCV, c.EM_LOONGARCH))
_SLOTS = frozenset((b".got.plt", b".text"))  # where functions are found; and what tells that there are names at all
# e_machine: the GNU property, and the bits that each answer needs.
_BRANCH_PROPERTIES = {
    c.EM_X86_64: (notes.GNU_PROPERTY_X86_FEATURE_1_AND, {"cet": 3}),
    c.EM_386: (notes.GNU_PROPERTY_X86_FEATURE_1_AND, {"cet": 3}),
    c.EM_AARCH64: (notes.GNU_PROPERTY_AARCH64_FEATURE_1_AND, {"bti": 1, "pac": 2}),
}


def hardening(reader: Reader, image: Image) -> Hardening:
    """The protections of one file; all None for an object file, a core or a separate debug file.

    bind_now is None without a dynamic section, where nothing is ever bound. canary and fortify are told by symbols:
    None where there are none to see. In a static program they are those of the C library inside as well, which has
    canaries of its own (Debian's; musl always has the function that is called then), and calls what has a checking
    variant: of such a one canary is never True, nor is fortify False.
    """
    if image.type not in (c.ET_EXEC, c.ET_DYN) or image.debug:
        return Hardening(relro=None, bind_now=None, nx=None, canary=None, fortify=None)
    bind_now = None if image.dynamic is None else binds_now(image)
    canary, fortify = _symbol_protections(reader, image)
    if linkage(image) == "static" and family_inside(reader, image) != "none":
        canary, fortify = None if canary else canary, fortify or None
    return Hardening(
        relro=_relro(reader, image, bind_now),
        bind_now=bind_now,
        nx=_nx(image),
        canary=canary,
        fortify=fortify,
        **_branch_protections(reader, image),
    )


def _relro(reader: Reader, image: Image, bind_now: bool | None) -> Literal["full", "partial", "none"] | None:
    """`full` needs BIND_NOW: otherwise the slots of lazy binding (.got.plt) stay writable.

    A static file without dynamic section has such slots too, for its indirect functions (R_*_IRELATIVE); with `-z now`
    the linker puts them into .got, which is protected. Only section headers tell which it was: without them, None.
    """
    area = image.segment(c.PT_GNU_RELRO)
    if area is None:
        return "none"
    if bind_now is not None:
        return "full" if bind_now else "partial"
    try:
        found = sections_named(reader, image, _SLOTS)
    except MalformedElf:
        return None
    if not found:
        return None
    slots = found.get(b".got.plt")
    protected = slots is None or (area.vaddr <= slots.addr and slots.addr + slots.size <= area.vaddr + area.memsz)
    return "full" if protected else "partial"


def _nx(image: Image) -> bool:
    stack = image.segment(c.PT_GNU_STACK)
    return image.machine in _NX_WITHOUT_HEADER if stack is None else not stack.flags & c.PF_X


def _symbol_protections(reader: Reader, image: Image) -> tuple[bool | None, bool | None]:
    """(canary, fortify), from the names of the symbols that the file uses.

    A file that imports nothing, static or a loader, holds what it uses: only .symtab names that.
    """
    imports = dynamic_table(reader, image)
    names = imports.names_among(_NAMES) if imports else set()
    told = bool(image.needed) or (imports is not None and imports.imports_anything())
    if not told:
        own = section_table(reader, image)
        told = own is not None
        names |= own.names_among(_NAMES) if own else set()
    canary = True if names & _CANARY else False if told else None
    # Without any function that has a checking variant, nothing shows how the file was compiled.
    fortify = True if names & _FORTIFIED else False if names & _NOT_FORTIFIED else None
    return canary, fortify


def unchecked_functions(reader: Reader, image: Image) -> list[str]:
    """The functions that the file uses and that have a checking variant, by name, where it uses no such variant.

    Of a file that holds its C library they are that library's own. Raises MalformedElf.
    """
    table = dynamic_table(reader, image)
    return sorted(name.decode() for name in table.names_among(_NOT_FORTIFIED)) if table else []


def _branch_protections(reader: Reader, image: Image) -> dict[str, bool]:
    known = _BRANCH_PROPERTIES.get(image.machine)
    if known is None:
        return {}
    wanted, bits = known
    value = notes.gnu_property(reader, image.layout, image.segments, wanted)
    return {name: value & mask == mask for name, mask in bits.items()}
