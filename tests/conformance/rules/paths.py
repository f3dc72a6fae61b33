"""Which search path serves whom, in which order, and how its text is read (glibc elf/dl-load.c)."""

from typing import Final

from tests.conformance.rules.rule import LOADER, Rule, app, lib, rule
from tests.oracle.forest import Node

_A, _B, _C = lib("a/liba.so"), lib("b/liba.so"), lib("c/liba.so")
# libmid.so in m/, whose need liba.so only the search path of another object leads to.
_MID = lib("m/libmid.so", "liba.so")

RULES: Final[dict[str, Rule]] = {
    "RPATH comes before LD_LIBRARY_PATH": rule(
        app("liba.so", rpath="@/a"), _A, _B, library_path="@/b", to=("a/liba.so",)
    ),
    "LD_LIBRARY_PATH comes before RUNPATH": rule(
        app("liba.so", runpath="@/a"), _A, _B, library_path="@/b", to=("b/liba.so",)
    ),
    "RPATH of the program serves its libraries' needs": rule(
        app("libmid.so", rpath="@/m:@/a"), _MID, _A, to=("m/libmid.so", "a/liba.so")
    ),
    "RUNPATH of the program does not": rule(app("libmid.so", runpath="@/m:@/a"), _MID, _A, to=("m/libmid.so", None)),
    "RUNPATH of a library serves its own needs": rule(
        app("libmid.so", runpath="@/m"),
        lib("m/libmid.so", "liba.so", runpath="@/a"),
        _A,
        to=("m/libmid.so", "a/liba.so"),
    ),
    "a library with RUNPATH loses the RPATHs above it": rule(
        app("libmid.so", rpath="@/m:@/a"),
        lib("m/libmid.so", "liba.so", runpath="@/none"),
        _A,
        to=("m/libmid.so", None),
    ),
    "RPATH of a library does not bring back the program's RUNPATH": rule(
        app("libmid.so", runpath="@/m:@/a"),
        lib("m/libmid.so", "liba.so", rpath="@/none"),
        _A,
        to=("m/libmid.so", None),
    ),
    "the asker's own RPATH comes before the program's": rule(
        app("libmid.so", rpath="@/m:@/a"),
        lib("m/libmid.so", "liba.so", rpath="@/b"),
        _A,
        _B,
        to=("m/libmid.so", "b/liba.so"),
    ),
    "RPATH of a library serves what is below it": rule(
        app("libtop.so", runpath="@/m"),
        lib("m/libtop.so", "libmid.so", rpath="@/m:@/a"),
        _MID,
        _A,
        to=("m/libtop.so", "m/libmid.so", "a/liba.so"),
    ),
    "beside RUNPATH, RPATH is dead": rule(app("liba.so", rpath="@/a", runpath="@/none"), _A, to=(None,)),
    "beside RUNPATH, RPATH is dead for the libraries too": rule(
        app("libmid.so", rpath="@/m:@/a", runpath="@/m"), _MID, _A, to=("m/libmid.so", None)
    ),
    "an empty RUNPATH kills RPATH too": rule(app("liba.so", rpath="@/a", runpath=""), _A, to=(None,)),
    "only the first to ask for a library hands its RPATH on": rule(
        app("libx.so", "liby.so", rpath="@/m"),
        lib("m/libx.so", "libmid.so", rpath="@/m"),
        lib("m/liby.so", "libmid.so", rpath="@/m:@/a"),
        _MID,
        _A,
        to=("m/libx.so", "m/liby.so", "m/libmid.so", None),
    ),
    "a name not found is asked for again by others": rule(
        app("liba.so", "libmid.so", runpath="@/m"),
        lib("m/libmid.so", "liba.so", runpath="@/a"),
        _A,
        to=(None, "m/libmid.so", "a/liba.so"),
    ),
    "an empty element is the working directory": rule(
        app("liba.so", runpath="@/none::@/a"), lib("w/liba.so"), _A, cwd="w", to=("=liba.so",)
    ),
    "a colon at the end makes an empty element": rule(
        app("liba.so", runpath="@/none:"), lib("w/liba.so"), cwd="w", to=("=liba.so",)
    ),
    "a wholly empty RUNPATH is no list": rule(app("liba.so", runpath=""), lib("w/liba.so"), cwd="w", to=(None,)),
    "a wholly empty LD_LIBRARY_PATH is not set": rule(
        app("liba.so"), lib("w/liba.so"), cwd="w", library_path="", to=(None,)
    ),
    "a colon alone is two empty elements": rule(
        app("liba.so"), lib("w/liba.so"), cwd="w", library_path=":", to=("=liba.so",)
    ),
    "a relative element counts from the working directory": rule(
        app("liba.so", runpath="a"), _A, lib("w/a/liba.so"), cwd="w", to=("=a/liba.so",)
    ),
    "semicolons separate in LD_LIBRARY_PATH": rule(app("liba.so"), _A, library_path="@/none;@/a", to=("a/liba.so",)),
    "semicolons do not separate in RUNPATH": rule(
        app("liba.so", runpath="@/none;@/a"), _A, lib("none;/liba.so"), to=(None,)
    ),
    "dots behind a link are not cut out": rule(
        app("liba.so", runpath="@/link/../a"),
        Node("link", link="@/far/below"),
        lib("far/a/liba.so"),
        Node("far/below"),
        _A,
        to=("link/../a/liba.so",),
    ),
    "a folder that is absent, or a file, is passed over": rule(
        app("liba.so", runpath="@/none:@/bin/app:@/a"), _A, to=("a/liba.so",)
    ),
    "a closed folder is passed over": rule(app("liba.so", runpath="@/b:@/a"), Node("b", mode=0), _A, to=("a/liba.so",)),
    "a loop of links ends the list, and the next list is tried": rule(
        app("liba.so", rpath="@/b:@/a"),
        Node("b/liba.so", link="liba.so"),
        _A,
        _C,
        library_path="@/c",
        to=("c/liba.so",),
    ),
    "up to 2.38, a relative file in a path ends the list": rule(
        app("liba.so", runpath="bin/app:/a"), _A, rooted=True, release="debian:12", to=(None,)
    ),
    "from 2.39 on, a relative file in a path is passed over": rule(
        app("liba.so", runpath="bin/app:/a"), _A, rooted=True, release="debian:13", to=("a/liba.so", LOADER)
    ),
}
