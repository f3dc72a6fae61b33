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

# Every static program of glibc 2.34 and later holds the code of gconv and dlopen, used or not. What tells is what is
# linked in only for a program that uses it (glibc nss/nss_database.c, iconv/iconv_open.c); as dlopen itself is always
# there, and glibc does not call it under this name, its callers are looked for.
_NSS = b"/etc/nsswitch.conf"
_ICONV = frozenset((b"iconv_open",))
_DLOPEN = frozenset((b"dlopen",))


class RunTimeLoad(msgspec.Struct, frozen=True):
    """One way in which a static program opens shared libraries; evidence: the text or symbol that shows it."""

    how: Literal["nss", "iconv", "dlopen"]
    evidence: str


def loads_at_run_time(reader: Reader, image: Image) -> tuple[RunTimeLoad, ...]:
    """What a static glibc program opens of the system that it runs on; () for any other file.

    nss is told by a text, so that a stripped file tells it too. iconv and dlopen are told by symbols, and dlopen only
    on x86 and AArch64: of a stripped file they cannot be told. That a locale's character set may need a module as well
    is not told either. musl's static programs never load anything.
    """
    if linkage(image) != "static" or family_inside(reader, image) != "glibc":
        return ()
    found: list[RunTimeLoad] = []
    if found_among(reader, image, (_NSS,)):
        found.append(RunTimeLoad("nss", _NSS.decode()))
    table = section_table(reader, image)
    if table is not None:
        if table.names_among(_ICONV):
            found.append(RunTimeLoad("iconv", "iconv_open"))
        if is_called(reader, image, table, _DLOPEN):
            found.append(RunTimeLoad("dlopen", "dlopen"))
    return tuple(found)
