"""Folders for better CPUs below each folder of a search path (glibc elf/dl-hwcaps.c, dl-hwcaps_split.c)."""

from typing import Final

from tests.conformance.rules.rule import LOADER, Decided, Rule, app, lib, rule

_BELOW = "glibc-hwcaps/x86-64-v2/liba.so"  # every CPU that is still about takes this level
_PLAIN = lib("a/liba.so")
_LEGACY = tuple(lib(f"a/{folder}liba.so") for folder in ("tls/x86_64/", "tls/", "x86_64/", ""))

RULES: Final[dict[str, Rule]] = {
    "glibc-hwcaps is looked into below RPATH": rule(
        app("liba.so", rpath="@/a"), lib(f"a/{_BELOW}"), _PLAIN, to=(f"a/{_BELOW}",)
    ),
    "glibc-hwcaps is looked into below RUNPATH": rule(
        app("liba.so", runpath="@/a"), lib(f"a/{_BELOW}"), _PLAIN, to=(f"a/{_BELOW}",)
    ),
    "glibc-hwcaps is looked into below LD_LIBRARY_PATH": rule(
        app("liba.so"), lib(f"a/{_BELOW}"), _PLAIN, library_path="@/a", to=(f"a/{_BELOW}",)
    ),
    "glibc-hwcaps is looked into below the default folders": rule(
        app("liba.so"), lib(f"lib/{_BELOW}"), lib("lib/liba.so"), rooted=True, to=(f"lib/{_BELOW}",)
    ),
    "glibc-hwcaps is looked into below an empty element": rule(
        app("liba.so", runpath=":"), lib(f"w/{_BELOW}"), lib("w/liba.so"), cwd="w", to=(f"={_BELOW}",)
    ),
    "the best level for this CPU comes first": rule(
        app("liba.so", runpath="@/a"),
        *(lib(f"a/glibc-hwcaps/x86-64-v{level}/liba.so") for level in (2, 3, 4)),
        _PLAIN,
        to=Decided(),
    ),
    "a level that is none is passed over": rule(
        app("liba.so", runpath="@/a"), lib("a/glibc-hwcaps/x86-64-v9/liba.so"), _PLAIN, to=("a/liba.so",)
    ),
    "the first folder of a path comes before a better one": rule(
        app("liba.so", runpath="@/a:@/b"), _PLAIN, lib(f"b/{_BELOW}"), to=("a/liba.so",)
    ),
    "up to 2.36, tls and x86_64 are looked into": rule(
        app("liba.so", runpath="/a"), *_LEGACY, rooted=True, release="debian:12", to=("a/tls/x86_64/liba.so",)
    ),
    "from 2.37 on, they are not": rule(
        app("liba.so", runpath="/a"), *_LEGACY, rooted=True, release="debian:13", to=("a/liba.so", LOADER)
    ),
    "up to 2.32, glibc-hwcaps is not looked into": rule(
        app("liba.so", runpath="/a"),
        lib(f"a/{_BELOW}"),
        _PLAIN,
        rooted=True,
        release="debian:11",
        to=("a/liba.so",),
    ),
}
