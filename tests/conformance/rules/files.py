"""What decides that a program is loaded by a loader at all (Linux fs/binfmt_elf.c)."""

from typing import Final

from tests.conformance.rules.rule import LOADER, Refused, Rule, app, lib, rule

_A = lib("a/liba.so")

RULES: Final[dict[str, Rule]] = {
    "without PT_INTERP nothing is loaded, whatever is needed": rule(
        app("liba.so", interp=None, rpath="@/a"), _A, to=()
    ),
    "an interpreter that is not there keeps the program from starting": rule(
        app("liba.so", interp="/nonexistent/ld.so", rpath="@/a"), _A, to=Refused("No such file or directory")
    ),
    "PT_INTERP, and nothing needed": rule(app(), to=()),
    "up to 2.40, a loader that nothing refers to is not listed": rule(app(), rooted=True, release="debian:12", to=()),
    "from 2.41 on, it is": rule(app(), rooted=True, release="debian:13", to=(LOADER,)),
    "an executable at a fixed address": rule(app("liba.so", rpath="@/a", pie=False), _A, to=("a/liba.so",)),
    "section headers need not be there": rule(app("liba.so", rpath="@/a", sections=False), _A, to=("a/liba.so",)),
    "and may be": rule(app("liba.so", rpath="@/a", sections=True), lib("a/liba.so", sections=True), to=("a/liba.so",)),
}
