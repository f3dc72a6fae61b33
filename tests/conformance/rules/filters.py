"""DT_AUXILIARY and DT_FILTER (glibc elf/dl-deps.c), DT_AUDIT (man rtld-audit)."""

from typing import Final

from tests.conformance.rules.rule import Rule, app, lib, rule

_A, _FILTEE = lib("a/liba.so"), lib("a/libx.so")

RULES: Final[dict[str, Rule]] = {
    "DT_AUXILIARY: the filtee is mapped, before its filter": rule(
        app("liba.so", rpath="@/a"),
        lib("a/liba.so", auxiliary=("libx.so",)),
        _FILTEE,
        to=("a/libx.so", "a/liba.so"),
    ),
    "DT_AUXILIARY: without its filtee all is well": rule(
        app("liba.so", rpath="@/a"), lib("a/liba.so", auxiliary=("libx.so",)), to=("a/liba.so",)
    ),
    "DT_FILTER: the filtee is mapped, before its filter": rule(
        app("liba.so", rpath="@/a"),
        lib("a/liba.so", filter=("libx.so",)),
        _FILTEE,
        to=("a/libx.so", "a/liba.so"),
    ),
    "DT_FILTER: without its filtee nothing starts": rule(
        app("liba.so", rpath="@/a"), lib("a/liba.so", filter=("libx.so",)), to=(None, "a/liba.so")
    ),
    "a filtee of the program itself is mapped too": rule(
        app("liba.so", rpath="@/a", auxiliary=("libx.so",)), _A, _FILTEE, to=("a/libx.so", "a/liba.so")
    ),
    "an auditor is not among the libraries": rule(
        app("liba.so", rpath="@/a", audit="@/a/libx.so"), _A, _FILTEE, to=("a/liba.so",)
    ),
}
