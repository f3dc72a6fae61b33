"""$ORIGIN, $LIB, $PLATFORM, and what only looks like a token (glibc elf/dl-load.c, elf/dl-dst.h)."""

from typing import Final

from tests.conformance.rules.rule import Decided, Rule, app, lib, rule
from tests.oracle.forest import Node

_LIB_FOLDERS = ("lib", "lib64", "lib/x86_64-linux-gnu")
_PLATFORMS = ("x86_64", "haswell", "xeon_phi", "")

RULES: Final[dict[str, Rule]] = {
    "$ORIGIN of a program started by a link is the real folder": rule(
        app("liba.so", runpath="$ORIGIN"),
        Node("x/start", link="@/bin/app"),
        lib("bin/liba.so"),
        lib("x/liba.so"),
        started_as="@/x/start",
        to=("bin/liba.so",),
    ),
    "$ORIGIN of a library is the folder it was found in": rule(
        app("libmid.so", runpath="@/link"),
        Node("link/libmid.so", link="@/m/libmid.so"),
        lib("m/libmid.so", "liba.so", runpath="$ORIGIN"),
        lib("m/liba.so"),
        lib("link/liba.so"),
        to=("link/libmid.so", "link/liba.so"),
    ),
    "$ORIGIN of a library found by a relative path is absolute": rule(
        app("m/libmid.so"),
        lib("m/libmid.so", "liba.so", runpath="$ORIGIN"),
        lib("m/liba.so"),
        to=("=m/libmid.so", "m/liba.so"),
    ),
    "$ORIGIN in LD_LIBRARY_PATH is the program's": rule(
        app("libmid.so", runpath="@/m"),
        lib("m/libmid.so", "liba.so"),
        lib("m/liba.so"),
        lib("bin/liba.so"),
        library_path="$ORIGIN",
        to=("m/libmid.so", "bin/liba.so"),
    ),
    "$ORIGIN may stand in a name": rule(app("$ORIGIN/../a/liba.so"), lib("a/liba.so"), to=("bin/../a/liba.so",)),
    "braces may stand around a token": rule(
        app("liba.so", runpath="${ORIGIN}/../a"), lib("a/liba.so"), to=("bin/../a/liba.so",)
    ),
    "$ORIGINAL is no token": rule(
        app("liba.so", runpath="$ORIGINAL"),
        lib("$ORIGINAL/liba.so"),
        lib("binAL/liba.so"),
        to=("=$ORIGINAL/liba.so",),
    ),
    "$ORIGIN.x is one": rule(
        app("liba.so", runpath="$ORIGIN.x"), lib("$ORIGIN.x/liba.so"), lib("bin.x/liba.so"), to=("bin.x/liba.so",)
    ),
    "an unknown token stays as it is": rule(
        app("liba.so", runpath="@/$FOO"), lib("$FOO/liba.so"), to=("$FOO/liba.so",)
    ),
    "$LIB is what the loader was built with": rule(
        app("liba.so", runpath="@/$LIB"), *(lib(f"{folder}/liba.so") for folder in _LIB_FOLDERS), to=Decided()
    ),
    "$PLATFORM is the loader's name for the CPU": rule(
        app("liba.so", runpath="@/p-$PLATFORM"), *(lib(f"p-{name}/liba.so") for name in _PLATFORMS), to=Decided()
    ),
}
