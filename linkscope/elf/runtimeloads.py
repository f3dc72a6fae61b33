"""What a static program may still load when it runs: glibc's name services, iconv and dlopen open shared libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from linkscope.elf.calls import is_called
from linkscope.elf.libc import family_inside
from linkscope.elf.linkage import linkage
from linkscope.elf.rodata import found_among
from linkscope.elf.symbols import section_table

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.elf.symbols import SymbolTable

# Every static program of glibc 2.34 and later holds the code of gconv and dlopen, used or not. What tells is what is
# linked in only for a program that uses it (glibc nss/nss_database.c, iconv/iconv_open.c); as dlopen itself is always
# there, and glibc does not call it under this name, its callers are looked for.
_NSS = b"/etc/nsswitch.conf"
_ICONV = frozenset((b"iconv_open",))
# libstdc++ calls it in every static program that has a locale inside, which std::cout does, in a function that nothing
# but a locale with a thousands separator of several bytes comes to (config/locale/gnu/numeric_members.cc).
_OF_LIBSTDCXX = frozenset((b"_ZSt24__narrow_multibyte_charsPKcP15__locale_struct",))
_DLOPEN = frozenset((b"dlopen",))


class RunTimeLoad(msgspec.Struct, frozen=True):
    """One way in which a static program opens shared libraries; evidence: the text or symbol that shows it."""

    how: Literal["nss", "iconv", "dlopen"]
    evidence: str


def loads_at_run_time(reader: Reader, image: Image) -> tuple[RunTimeLoad, ...]:
    """What a static glibc program opens of the system that it runs on; () for any other file.

    nss is told by a text, so that a stripped file tells it too. iconv and dlopen are told by symbols, and dlopen only
    on x86 and AArch64: of a stripped file they cannot be told. That a locale's character set may need a module as well
    is not told either, nor that libstdc++ asks iconv for the separators of numbers in some locales. musl's static
    programs never load anything.
    """
    if linkage(image) != "static" or family_inside(reader, image) != "glibc":
        return ()
    found: list[RunTimeLoad] = []
    if found_among(reader, image, (_NSS,)):
        found.append(RunTimeLoad("nss", _NSS.decode()))
    table = section_table(reader, image)
    if table is not None:
        if _converts(reader, image, table):
            found.append(RunTimeLoad("iconv", "iconv_open"))
        if is_called(reader, image, table, _DLOPEN):
            found.append(RunTimeLoad("dlopen", "dlopen"))
    return tuple(found)


def _converts(reader: Reader, image: Image, table: SymbolTable) -> bool:
    """Whether more than libstdc++ calls iconv_open: that it is linked in tells only where libstdc++ is not."""
    if not table.names_among(_ICONV):
        return False
    if not table.names_among(_OF_LIBSTDCXX):
        return True
    return bool(is_called(reader, image, table, _ICONV, _OF_LIBSTDCXX))
