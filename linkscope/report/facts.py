"""What a file is, in one line and in a list of facts with their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from linkscope.model.inspect import File, Hardening
from linkscope.report.linkages import program
from linkscope.report.page import INDENT, LABEL, Page, Span, flow

_KINDS = {
    "shared-library": "shared library",
    "interpreter": "dynamic loader",
    "relocatable": "object file, not linked yet",
    "kernel-module": "kernel module",
    "core": "core dump",
    "debug": "separate debug information",
}
# How a machine is usually written, and the class and byte order that go without saying; others have both said.
_MACHINES = {
    "x86_64": ("x86-64", 64, "little"),
    "386": ("x86 32-bit", 32, "little"),
    "aarch64": ("arm64", 64, "little"),
    "arm": ("Arm 32-bit", 32, "little"),
    "s390": ("s390x", 64, "big"),
    "loongarch": ("LoongArch", 64, "little"),
}
_LIBCS = {"uclibc": "uClibc", "none": "no C library", "unknown": "C library unknown"}
# Files of these kinds are linked with a C library; of the others its absence says nothing.
_LINKED = ("executable", "shared-library")


def summary(file: File, page: Page) -> Iterator[list[Span]]:
    """`dynamic PIE · x86-64 · glibc ≥ 2.34 · 23 libraries`, and what is missing, in as many lines as the page needs."""
    parts = [(_what(file), ""), (_machine(file), ""), (_libc(file), ""), (_count(file), "")]
    items: list[Span] = [part for part in parts if part[0]]
    if file.missing:
        items[-1] = (f"{items[-1][0]} found, {len(file.missing)} missing", "bad")
    if any(problem.fatal for problem in file.problems):
        items.append(("does not start" if file.kind == "executable" else "does not load", "bad"))
    yield from flow(items, page, [(" " * INDENT, "")], [], " · ")


def _what(file: File) -> str:
    return _KINDS.get(file.kind) or program(file.linkage or "static", file.pie)


def _machine(file: File) -> str:
    name, bits, order = _MACHINES.get(file.elf.machine, (file.elf.machine, None, None))
    if file.elf.class_ != bits:
        name += f" {file.elf.class_}-bit"
    return name if file.elf.endian == order else f"{name} {file.elf.endian}-endian"


def _libc(file: File) -> str:
    family = file.libc.family
    if family in ("none", "unknown") and file.kind not in _LINKED:
        return ""
    name = _LIBCS.get(family, family)
    if file.libc.version:
        return f"{name} {file.libc.version}"
    floor = file.requires.get("GLIBC") if family == "glibc" else None
    return f"{name} ≥ {floor}" if floor else name


def _count(file: File) -> str:
    """How many libraries would be mapped; "" where the loader has no part in it.

    glibc's loader is none of them, but musl's is: it is the C library as well.
    """
    if file.kind not in _LINKED or file.linkage == "static":
        return ""
    counted = file.libc.family == "musl"
    number = sum(
        entry.path is not None and (entry.found_by != "interpreter" or (counted and bool(entry.needed_by)))
        for entry in file.closure
    )
    return f"{number or 'no'} {'library' if number == 1 else 'libraries'}"


def facts(file: File, page: Page) -> Iterator[list[Span]]:
    """One line (more where it is long) for each fact that the file has."""
    for label, of in _FACTS:
        items = of(file)
        if items:
            start = [(f"{'':{INDENT}}{label:<{LABEL}}", "faint")]
            yield from flow(items, page, start, [], ", ")


def _loading(file: File) -> list[Span]:
    if file.linkage != "static":
        return []
    return [("by the kernel alone: no loader", ""), ("no libraries", "")]


def _interpreter(file: File) -> list[Span]:
    if file.interpreter is None:
        return []
    gone = any(problem.code == "missing-interpreter" for problem in file.problems)
    return [(file.interpreter, "bad" if gone else "")]


def _elements(search_path: list[str]) -> list[Span]:
    return [(element, "") if element else ("(empty: the working directory)", "warn") for element in search_path]


def _requires(file: File) -> list[Span]:
    floors = [(f"{family} {version}", "") for family, version in file.requires.items()]
    return floors + [(name, "faint") for name in file.requires_other]


_RELRO = {"full": ("full RELRO", "good"), "partial": ("partial RELRO", "warn"), "none": ("no RELRO", "bad")}
# What is said when it is on, off, and off where the file cannot tell ("" is nothing).
_SWITCHES: tuple[tuple[str, Span, Span], ...] = (
    ("bind_now", ("bind now", "good"), ("lazy binding", "warn")),
    ("nx", ("NX", "good"), ("executable stack", "bad")),
    ("canary", ("stack canary", "good"), ("no canary", "warn")),
    ("fortify", ("fortify", "good"), ("no fortify", "warn")),
    ("cet", ("CET", "good"), ("no CET", "faint")),
    ("bti", ("BTI", "good"), ("no BTI", "faint")),
    ("pac", ("PAC", "good"), ("no PAC", "faint")),
)


def _hardening(file: File) -> list[Span]:
    hardening: Hardening = file.hardening
    items: list[Span] = [_RELRO[hardening.relro]] if hardening.relro else []
    for key, on, off in _SWITCHES:
        value = getattr(hardening, key)
        if key == "bind_now" and not value and file.linkage == "static":
            continue  # it binds all there is when it starts, and nothing later
        if value is not None:
            items.append(on if value else off)
    return items


def _toolchain(file: File) -> list[Span]:
    if file.toolchain is None:
        return []
    return [(name, "") for name in (file.toolchain.language, *map(_compiler, file.toolchain.compiler)) if name]


def _compiler(comment: str) -> str:
    """A line of .comment as one says it: `GCC: (Debian 12.2.0-14) 12.2.0` with its version before its packager."""
    name, marked, rest = comment.partition(": (")
    packager, closed, version = rest.rpartition(") ")
    return f"{name} {version} ({packager})" if marked and closed else comment


def _script(file: File) -> list[Span]:
    if file.script is None:
        return []
    argument = f" {file.script.argument}" if file.script.argument else ""
    return [(f"{file.script.path} begins with #!{file.script.interpreter}{argument}", "")]


# In the order in which they are shown.
_FACTS: tuple[tuple[str, Callable[[File], list[Span]]], ...] = (
    ("started for", _script),
    ("started", _loading),
    ("interpreter", _interpreter),
    ("soname", lambda file: [(file.soname, "")] if file.soname else []),
    ("rpath", lambda file: _elements(file.rpath)),
    ("runpath", lambda file: _elements(file.runpath)),
    ("requires", _requires),
    ("hardening", _hardening),
    ("made with", _toolchain),
    ("build id", lambda file: [(file.build_id, "faint")] if file.build_id else []),
)
