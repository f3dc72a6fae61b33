"""LD_PRELOAD and /etc/ld.so.preload (glibc elf/rtld.c, do_preload and handle_preload_list)."""

from typing import Final

from tests.conformance.rules.rule import Rule, app, lib, rule

_A, _P, _Q = lib("a/liba.so"), lib("a/libp.so"), lib("a/libq.so")
_NEEDY = lib("p/libp.so", "libq.so")

RULES: Final[dict[str, Rule]] = {
    "preloads come first, what they need last": rule(
        app("liba.so", rpath="@/a"),
        _A,
        lib("p/libp.so", "libq.so", runpath="@/a"),
        _Q,
        preload="@/p/libp.so",
        to=("p/libp.so", "a/liba.so", "a/libq.so"),
    ),
    "spaces and colons separate preloads": rule(
        app("liba.so", rpath="@/a"),
        *(_A, _P, _Q),
        preload="@/a/libp.so:@/a/libq.so @/a/liba.so",
        to=("a/libp.so", "a/libq.so", "a/liba.so"),
    ),
    "semicolons do not": rule(
        app("liba.so", rpath="@/a"), _A, _P, _Q, preload="@/a/libp.so;@/a/libq.so", to=("a/liba.so",)
    ),
    "a preload that is absent is passed over": rule(
        app("liba.so", rpath="@/a"), _A, preload="@/gone.so", to=("a/liba.so",)
    ),
    "a program that needs nothing gets its preloads too": rule(app(), _P, preload="@/a/libp.so", to=("a/libp.so",)),
    "a preload is searched for in the program's RPATH": rule(
        app("liba.so", rpath="@/a"), _A, _P, preload="libp.so", to=("a/libp.so", "a/liba.so")
    ),
    "a preload is searched for in the program's RUNPATH": rule(
        app("liba.so", runpath="@/a"), _A, _P, preload="libp.so", to=("a/libp.so", "a/liba.so")
    ),
    "RPATH of the program serves what a preload needs": rule(
        app("liba.so", rpath="@/p:@/a"), _A, _NEEDY, _Q, preload="libp.so", to=("p/libp.so", "a/liba.so", "a/libq.so")
    ),
    "RUNPATH of the program does not serve what a preload needs": rule(
        app("libp.so", runpath="@/p:@/a"), _NEEDY, _Q, preload="libp.so", to=("p/libp.so", None)
    ),
    "the soname of a preload answers to a name": rule(
        app("liba.so", runpath="@/a"),
        _A,
        lib("p/whatever.so", soname="liba.so"),
        preload="@/p/whatever.so",
        to=("p/whatever.so",),
    ),
    "the program's need comes before the same need of a preload": rule(
        app("libq.so", runpath="@/a"),
        _Q,
        lib("p/libp.so", "libq.so", runpath="@/p"),
        lib("p/libq.so"),
        preload="@/p/libp.so",
        to=("p/libp.so", "a/libq.so"),
    ),
    "/etc/ld.so.preload: white space, colons, comments": rule(
        app("liba.so", rpath="/a"),
        *(_A, _P, _Q, lib("a/libr.so"), lib("a/libs.so")),
        rooted=True,
        system_preload="/a/libp.so:/a/libq.so\n# /a/libs.so\n\t/a/libr.so\n",
        to=("a/libp.so", "a/libq.so", "a/libr.so", "a/liba.so"),
    ),
    "LD_PRELOAD comes before /etc/ld.so.preload": rule(
        app("liba.so", rpath="/a"),
        *(_A, _P, _Q),
        rooted=True,
        preload="/a/libq.so",
        system_preload="/a/libp.so",
        to=("a/libq.so", "a/libp.so", "a/liba.so"),
    ),
}
