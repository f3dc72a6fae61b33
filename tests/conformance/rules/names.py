"""What answers to a name, and what is opened without a search (glibc elf/dl-load.c, _dl_map_object; elf/dl-deps.c)."""

from typing import Final

import msgspec

from tests.conformance.rules.rule import Rule, app, lib, rule
from tests.oracle.forest import Node

RULES: Final[dict[str, Rule]] = {
    "loading is breadth first: the nearer copy serves all": rule(
        app("liba.so", "libb.so", rpath="@/m"),
        lib("m/liba.so", "libdeep.so"),
        lib("m/libb.so", "libleaf.so", runpath="@/near"),
        lib("m/libdeep.so", "libleaf.so", runpath="@/deep"),
        lib("near/libleaf.so"),
        lib("deep/libleaf.so"),
        to=("m/liba.so", "m/libb.so", "m/libdeep.so", "near/libleaf.so"),
    ),
    "a name loaded already is not searched for": rule(
        app("liba.so", "libb.so", rpath="@/m"),
        lib("m/liba.so", "libleaf.so", runpath="@/near"),
        lib("m/libb.so", "libleaf.so", runpath="@/nonexistent"),
        lib("near/libleaf.so"),
        to=("m/liba.so", "m/libb.so", "near/libleaf.so"),
    ),
    "the soname of what is loaded answers to a name": rule(
        app("@/a/file.so", "libx.so"), lib("a/file.so", soname="libx.so"), to=("a/file.so",)
    ),
    "the program's own soname answers": rule(
        app("liba.so", rpath="@/a", soname="libx.so"), lib("a/liba.so", "libx.so"), lib("a/libx.so"), to=("a/liba.so",)
    ),
    "the kernel's vdso answers to its name": rule(
        app("linux-vdso.so.1", "liba.so", rpath="@/a"), lib("a/linux-vdso.so.1"), lib("a/liba.so"), to=("a/liba.so",)
    ),
    "a file may have another soname than asked for": rule(
        app("liba.so", rpath="@/a"), lib("a/liba.so", soname="libother.so"), to=("a/liba.so",)
    ),
    "two hard links to a file are one object": rule(
        app("liba.so", "libb.so", rpath="@/a"), lib("a/liba.so"), Node("a/libb.so", same="a/liba.so"), to=("a/liba.so",)
    ),
    "a link to a loaded file is the same object": rule(
        app("liba.so", "libb.so", rpath="@/a"), lib("a/liba.so"), Node("a/libb.so", link="liba.so"), to=("a/liba.so",)
    ),
    "one soname by two paths: both, and the first answers": rule(
        app("@/a/libx.so", "@/b/libx.so", "liby.so", runpath="@/b"),
        lib("a/libx.so", soname="libx.so"),
        lib("b/libx.so", soname="libx.so"),
        lib("b/liby.so", "libx.so", runpath="@/b"),
        to=("a/libx.so", "b/libx.so", "b/liby.so"),
    ),
    "a name with a slash counts from the working directory": rule(
        app("a/liba.so", rpath="@"), lib("a/liba.so"), lib("w/a/liba.so"), cwd="w", to=("=a/liba.so",)
    ),
    "a name with a slash is not searched for": rule(app("a/liba.so", rpath="@"), lib("a/liba.so"), cwd="w", to=(None,)),
    "every missing name is told": rule(
        app("libgone.so.1", "liba.so", "liblost.so.2", rpath="@/a"),
        lib("a/liba.so", "libfar.so"),
        to=(None, "a/liba.so", None, None),
    ),
    "the exit code tells that a library is missing": msgspec.structs.replace(
        rule(app("libstdc++.so.99"), to=(None,)), by_exit_code=True
    ),
}
