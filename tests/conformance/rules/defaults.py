"""ld.so.cache and the default folders (glibc elf/dl-cache.c, elf/dl-load.c)."""

from typing import Final

from tests.conformance.rules.rule import Decided, Rule, app, lib, rule
from tests.oracle.elfformat import DF_1_NODEFLIB
from tests.oracle.forest import Node

_DEFAULTS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib")
_LEVEL2 = "glibc-hwcaps/x86-64-v2"
_IN_L, _IN_M, _DEFAULT = lib("opt/l/liba.so"), lib("opt/m/liba.so"), lib("lib/liba.so")

RULES: Final[dict[str, Rule]] = {
    "the default folders, in the order the loader was built with": rule(
        app("liba.so", "libb.so", "libc2.so", "libd.so"),
        *(
            lib(f"{folder}/{name}")
            for first, name in enumerate(("liba.so", "libb.so", "libc2.so", "libd.so"))
            for folder in _DEFAULTS[first:]
        ),
        rooted=True,
        to=Decided(),
    ),
    "ld.so.conf itself is not read": rule(
        app("liba.so"), Node("etc/ld.so.conf", content=b"/opt/l\n"), _IN_L, rooted=True, to=(None,)
    ),
    "the cache comes before the default folders": rule(
        app("liba.so"), _IN_L, _DEFAULT, rooted=True, conf=("/opt/l",), to=("opt/l/liba.so",)
    ),
    "behind a stale entry, the default folders are searched": rule(
        app("liba.so"),
        _IN_L,
        rooted=True,
        conf=("/opt/l",),
        late=(_DEFAULT,),
        removed=("opt/l/liba.so",),
        to=("lib/liba.so",),
    ),
    "behind a stale entry, the next one is not tried": rule(
        app("liba.so"),
        _IN_L,
        _IN_M,
        rooted=True,
        conf=("/opt/l", "/opt/m"),
        removed=("opt/l/liba.so",),
        to=(None,),
    ),
    "behind a stale hwcaps entry, the plain one is not tried": rule(
        app("liba.so"),
        _IN_L,
        lib(f"opt/l/{_LEVEL2}/liba.so"),
        rooted=True,
        conf=("/opt/l",),
        removed=(f"opt/l/{_LEVEL2}/liba.so",),
        to=(None,),
    ),
    "the best entry for this CPU is taken": rule(
        app("liba.so"),
        _IN_L,
        lib(f"opt/l/{_LEVEL2}/liba.so"),
        rooted=True,
        conf=("/opt/l",),
        to=(f"opt/l/{_LEVEL2}/liba.so",),
    ),
    "an entry for no CPU is skipped": rule(
        app("liba.so"),
        _IN_L,
        lib("opt/l/glibc-hwcaps/x86-64-v9/liba.so"),
        rooted=True,
        conf=("/opt/l",),
        to=("opt/l/liba.so",),
    ),
    "an entry for 32 bits is skipped": rule(
        app("liba.so"),
        lib("opt/l/liba.so", elf_class=32, machine=3),
        _IN_M,
        rooted=True,
        conf=("/opt/l", "/opt/m"),
        to=("opt/m/liba.so",),
    ),
    "entries compare numbers, not digits": rule(
        app("liba.so.1"), lib("opt/l/liba.so.01"), rooted=True, conf=("/opt/l",), to=("opt/l/liba.so.01",)
    ),
    "an entry is made after the soname": rule(
        app("libz.so.3"),
        lib("opt/l/libfile.so", soname="libz.so.3"),
        rooted=True,
        conf=("/opt/l",),
        to=("opt/l/libz.so.3",),
    ),
    "DF_1_NODEFLIB: the default folders are not searched": rule(
        app("liba.so", flags_1=DF_1_NODEFLIB), _DEFAULT, rooted=True, to=(None,)
    ),
    "DF_1_NODEFLIB: the cache counts": rule(
        app("liba.so", flags_1=DF_1_NODEFLIB), _IN_L, rooted=True, conf=("/opt/l",), to=("opt/l/liba.so",)
    ),
    "DF_1_NODEFLIB: save its entries below default folders": rule(
        app("liba.so", flags_1=DF_1_NODEFLIB),
        lib("usr/lib/sub/liba.so"),
        rooted=True,
        conf=("/usr/lib/sub",),
        to=(None,),
    ),
    "DF_1_NODEFLIB of the program is not for its libraries": rule(
        app("libmid.so", rpath="/m", flags_1=DF_1_NODEFLIB),
        lib("m/libmid.so", "liba.so"),
        _DEFAULT,
        rooted=True,
        to=("m/libmid.so", "lib/liba.so"),
    ),
}
