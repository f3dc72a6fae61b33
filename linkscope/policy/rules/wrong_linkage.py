"""`wrong-linkage`: the file is not linked in the way that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from linkscope.model.inspect import File, Kind
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import packer_of

# What nobody starts and no loader maps: such files stand beside a release, and are not linked in any of these ways.
_NEVER_STARTED: frozenset[Kind] = frozenset(("relocatable", "kernel-module", "core", "debug"))
_ASKED = {
    "static": "a static program",
    "static-pie": "a static position-independent program",
    "dynamic": "a dynamic program or library",
    "pie": "a position-independent program or library",
    "no-libraries": "a file that needs no shared library",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """linkage: how the file has to be linked, "" where nothing was asked.

    static: the kernel alone starts it, whether it is a PIE or not. static-pie, pie: as their names say. dynamic: a
    loader maps it. no-libraries: it needs no shared library, whatever its type says.
    """

    linkage: Literal["", "static", "static-pie", "dynamic", "pie", "no-libraries"] = ""


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    file = subject.file
    if file.kind in _NEVER_STARTED:
        return
    packer = packer_of(file)
    if packer is not None:
        told = f"is packed by {packer}: how the program inside is linked cannot be told"
        yield Fault("", told, ("what is seen is the stub that unpacks it",))
        return
    actual = _otherwise(file, settings.linkage)
    if actual is not None:
        yield Fault("", f"{actual}; asked for: {_ASKED[settings.linkage]}", tuple(_evidence(file)))


def _otherwise(file: File, asked: str) -> str | None:
    """What the file is instead of what is ASKED; None where it is that."""
    if asked == "no-libraries":
        return f"needs {_number(len(file.needed))}" if file.needed else None
    if file.kind != "executable":
        return None if asked in ("dynamic", "pie") and file.kind == "shared-library" else _no_program(file)
    if asked in ("static", "static-pie") and file.linkage == "dynamic":
        return _dynamic(file)
    if asked in ("static-pie", "pie") and not file.pie:
        return f"is {file.linkage} at a fixed address, and no PIE"
    if asked == "dynamic" and file.linkage == "static":
        return "is static, and a PIE" if file.pie else "is static"
    return None


def _no_program(file: File) -> str:
    if file.kind == "interpreter":
        return "is a dynamic loader, which maps other programs, and itself no program of this kind"
    needs = f"it needs {_number(len(file.needed))}" if file.needed else "though it needs no other one"
    return f"is a shared library ({needs}) and no program: a loader has to map it"


def _dynamic(file: File) -> str:
    kind = "a dynamic PIE" if file.pie else "dynamic"
    if file.needed:
        return f"is {kind}: it has the interpreter {file.interpreter}, and needs {_number(len(file.needed))}"
    return f"is {kind}: it has the interpreter {file.interpreter}, though it needs no library"


def _number(count: int) -> str:
    return f"{count} shared librar{'y' if count == 1 else 'ies'}"


def _evidence(file: File) -> Iterator[str]:
    if file.interpreter is not None:
        yield f"PT_INTERP {file.interpreter}"
    yield from (f"NEEDED {name}" for name in file.needed)
    if file.interpreter is not None and file.needed and file.libc.family == "musl":
        yield "musl-gcc -static-pie makes a dynamic PIE on some systems: link with -static, or rcrt1.o named by hand"


RULE = Rule(
    id="wrong-linkage",
    level="error",
    summary="The file is not linked in the way that was asked for.",
    why=(
        "What decides is what the kernel and the loader do: a program is static if the kernel alone starts it (no "
        "PT_INTERP), whether or not it is a PIE. A program with an interpreter is dynamic, though it needs nothing, "
        "and a shared library is no static program, though it needs nothing either."
    ),
    remedy=(
        "Link with `-static` (or `-static-pie`), in Go with `CGO_ENABLED=0` and no `-buildmode=pie`, in Rust for a "
        "`-musl` target with `-C target-feature=+crt-static`; `linkscope inspect FILE` shows what is needed."
    ),
    check=_check,
    settings=Settings,
    asked=("linkage",),
)
