"""Versions, checked before the start (glibc elf/dl-version.c), and symbols (elf/dl-lookup.c)."""

from typing import Any, Final

import msgspec

from tests.conformance.rules.rule import LOADER, Decided, Mapped, Refused, Rule, app, lib, rule
from tests.oracle.elfformat import DF_1_NOW
from tests.oracle.recipe import Symbol

_VER_FLG_WEAK = 2
_F, _DATA = Symbol("f"), Symbol("f", kind="object")
_OFFERS_V1: dict[str, Any] = {"verdef": ("V1",), "symbols": (Symbol("f", "V1"),)}
_STARTS = ("a/liba.so",)


def _versions(to: Mapped | Refused | Decided, *wanted: tuple[str, int], **library: Any) -> Rule:
    """The program asks for these versions (name, vna_flags) of a library."""
    return rule(app("liba.so", runpath="@/a", verneed=(("liba.so", wanted),)), lib("a/liba.so", **library), to=to)


def _bound(to: Mapped | Refused | Decided, undefined: Symbol, library: dict[str, Any], **program: Any) -> Rule:
    """The program refers to a symbol, which the library may have."""
    made = rule(app("liba.so", runpath="@/a", undefined=(undefined,), **program), lib("a/liba.so", **library), to=to)
    return msgspec.structs.replace(made, symbols=True)


def _unversioned(release: str, to: Mapped | Refused | Decided) -> Rule:
    """A variable of version V1 is asked for, of a library without any versions."""
    asks = {"verneed": (("liba.so", (("V1", 0),)),), "undefined": (Symbol("f", "V1", kind="object"),)}
    library = lib("a/liba.so", symbols=(_DATA,))
    return rule(app("liba.so", runpath="/a", **asks), library, rooted=True, release=release, to=to)


RULES: Final[dict[str, Rule]] = {
    "a version that is asked for and there": _versions(_STARTS, ("V1", 0), **_OFFERS_V1),
    "a version that is not there, though no symbol uses it": _versions(
        Refused("version `V2' not found"), ("V1", 0), ("V2", 0), **_OFFERS_V1
    ),
    "a version that is not there, but weak": _versions(_STARTS, ("V2", _VER_FLG_WEAK), **_OFFERS_V1),
    "GLIBC_ABI_DT_RELR counts, though no symbol has it": rule(
        app("libc.so.6", runpath="@/a", verneed=(("libc.so.6", (("GLIBC_ABI_DT_RELR", 0),)),)),
        lib("a/libc.so.6", verdef=("GLIBC_2.2.5",)),
        to=Refused("version `GLIBC_ABI_DT_RELR' not found"),
    ),
    "a library without versions is good enough for a lazy start": _versions(_STARTS, ("V1", 0), symbols=(_F,)),
    "up to 2.40, not for what is bound at the start": _unversioned("debian:12", Refused("Assertion")),
    "from 2.41 on, it is good enough for that too": _unversioned("debian:13", (*_STARTS, LOADER)),
    "a reference without version takes the first version": _bound(_STARTS, _DATA, _OFFERS_V1),
    "a missing function is not missed at the start": _bound(_STARTS, Symbol("gone"), {}),
    "with BIND_NOW it is": _bound(Refused("undefined symbol: gone"), Symbol("gone"), {}, flags_1=DF_1_NOW),
    "a missing variable is missed at the start": _bound(
        Refused("undefined symbol: gone"), Symbol("gone", kind="object"), {}
    ),
    "a missing weak symbol is not missed": _bound(_STARTS, Symbol("gone", kind="object", weak=True), {}),
}
