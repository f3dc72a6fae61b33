"""Documents for the reports to lay out, each test saying only what matters to it."""

from linkscope.model.inspect import (
    ClosureEntry,
    Dlopen,
    ElfHeader,
    File,
    FoundBy,
    Hardening,
    Libc,
    Problem,
    Unresolved,
)


def library(
    name: str, needed_by: list[str], path: str | None = None, found_by: FoundBy | None = "default"
) -> ClosureEntry:
    """An entry of the closure, found as /lib/NAME unless PATH says otherwise; FOUND_BY None: found nowhere."""
    where = None if found_by is None else path or f"/lib/{name}"
    return ClosureEntry(
        soname=name, requested=name, path=where, realpath=where, found_by=found_by, needed_by=needed_by, depth=1
    )


def program(closure: list[ClosureEntry], path: str = "app", **other: object) -> File:
    """A dynamic program with CLOSURE."""
    facts: dict[str, object] = {
        "kind": "executable",
        "linkage": "dynamic",
        "pie": True,
        "elf": ElfHeader(class_=64, endian="little", machine="x86_64", type="DYN"),
        "interpreter": "/lib64/ld-linux-x86-64.so.2",
        "libc": Libc(family="glibc"),
        "soname": None,
        "needed": [],
        "rpath": [],
        "runpath": [],
        "build_id": None,
        "requires": {"GLIBC": "2.34"},
        "requires_other": [],
        "missing": [entry.requested for entry in closure if entry.found_by is None],
        "problems": [],
        "dlopen": [],
        "hardening": Hardening(relro="full", bind_now=True, nx=True, canary=True, fortify=True, cet=False),
    }
    return File(path=path, closure=closure, **{**facts, **other})  # type: ignore[arg-type]  # a table of all fields


def hostile(name: str) -> File:
    """A program in which every string that can come out of a file is NAME."""
    return program(
        [library(name, [name], path=f"/{name}/{name}"), library(f"{name}2", [f"/{name}/{name}"], found_by=None)],
        path=name,
        interpreter=name,
        soname=name,
        rpath=[name],
        runpath=[name],
        requires={name: name},
        requires_other=[name],
        problems=[Problem(code="missing-library", fatal=True, subject=name, needed_by=name, message=name)],
        dlopen=[Dlopen(soname=[name], feature=name, priority=name, found=name)],
        unresolved=[Unresolved(symbol=name, version=name, needed_by=name, fails="start")],
        unused=[name],
    )
