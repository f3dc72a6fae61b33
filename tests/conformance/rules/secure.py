"""Setuid programs, started by another user than their owner (man ld.so, "Secure-execution mode")."""

from typing import Final

from tests.conformance.rules.rule import Refused, Rule, app, lib, rule
from tests.oracle.elfwriter import program
from tests.oracle.forest import Node
from tests.oracle.recipe import Recipe

_A, _B, _P = lib("a/liba.so"), lib("b/liba.so"), lib("a/libp.so")

RULES: Final[dict[str, Rule]] = {
    "LD_LIBRARY_PATH does not count": rule(
        app("liba.so", runpath="@/a"), _A, _B, library_path="@/b", setuid=True, to=("a/liba.so",)
    ),
    "a preload with a slash does not count": rule(
        app("liba.so", runpath="@/a"), _A, _P, preload="@/a/libp.so", setuid=True, to=("a/liba.so",)
    ),
    "a preload from a default folder counts if it is setuid": rule(
        app(),
        Node("lib/libp.so", Recipe(), mode=0o4755),
        preload="libp.so",
        rooted=True,
        setuid=True,
        to=("lib/libp.so",),
    ),
    "a preload from a default folder does not count otherwise": rule(
        app("liba.so"),
        *(lib("lib/liba.so"), lib("lib/libp.so")),
        preload="libp.so",
        rooted=True,
        setuid=True,
        to=("lib/liba.so",),
    ),
    "$ORIGIN does not count outside the default folders": rule(
        app("liba.so", runpath="$ORIGIN/../a:@/b"), _A, _B, setuid=True, to=("b/liba.so",)
    ),
    "$ORIGIN counts below the default folders": rule(
        Node("usr/lib/app/run", program(needed=("liba.so",), runpath="$ORIGIN/../sub")),
        lib("usr/lib/sub/liba.so"),
        program="usr/lib/app/run",
        started_as="/usr/lib/app/run",
        rooted=True,
        setuid=True,
        to=("usr/lib/app/../sub/liba.so",),
    ),
    "$ORIGIN behind the beginning of an element does not count": rule(
        Node("usr/lib/app/run", program(needed=("liba.so",), runpath="/usr/lib/x$ORIGIN:/a")),
        lib("usr/lib/x/usr/lib/app/liba.so"),
        _A,
        program="usr/lib/app/run",
        started_as="/usr/lib/app/run",
        rooted=True,
        setuid=True,
        to=("a/liba.so",),
    ),
    "a token in a name is refused": rule(
        app("$ORIGIN/../a/liba.so"), _A, setuid=True, to=Refused("DST not allowed in SUID/SGID programs")
    ),
    "a relative folder counts all the same": rule(
        app("liba.so", runpath="w"), lib("w/liba.so"), setuid=True, to=("=w/liba.so",)
    ),
    "/etc/ld.so.preload counts": rule(
        app("liba.so", rpath="/a"),
        _A,
        _P,
        rooted=True,
        system_preload="/a/libp.so",
        setuid=True,
        to=("a/libp.so", "a/liba.so"),
    ),
}
