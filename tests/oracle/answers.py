"""What a loader says, as values: its list of objects, its complaints, its refusals.

The formats are those of glibc's elf/rtld.c, dl-version.c, dl-lookup.c, and of musl's ldso/dynlink.c.
"""

import os
import re
import signal
from collections.abc import Callable
from typing import TypeVar

import msgspec

from tests.oracle.runner import Outcome

# What glibc calls the object that the kernel maps into every process (sysdeps/unix/sysv/linux, setup_vdso). No file.
VDSO = frozenset({"linux-vdso.so.1", "linux-gate.so.1", "linux-vdso32.so.1", "linux-vdso64.so.1"})


class Entry(msgspec.Struct, frozen=True):
    """One line of a trace: the name as first asked for, and the path that was opened; None: not found.

    Where the loader prints one string only (a name with a slash, the interpreter), it is both. reason: musl's, why it
    has no path; glibc gives none here, or ends its answer (`fatal`).
    """

    name: str
    path: str | None
    reason: str | None = None


class VersionComplaint(msgspec.Struct, frozen=True):
    """`file` lacks `version` (None: has no versions at all), which `required_by` asks for."""

    file: str
    version: str | None
    required_by: str
    weak: bool = False


class NotPreloaded(msgspec.Struct, frozen=True):
    """An object of `source` (LD_PRELOAD, /etc/ld.so.preload) that the loader goes on without."""

    name: str
    source: str
    reason: str


class UndefinedSymbol(msgspec.Struct, frozen=True):
    """A symbol that nothing in scope defines, as `ldd -r` reports it; `file`: where its version should have been."""

    name: str
    version: str | None
    required_by: str
    file: str | None = None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A loader's answer. entries: in link-map order, without the program and the vdso.

    fatal: what the loader says when it refuses ("libx.so: cannot open shared object file: …"), else None. status: None
    where it was not executed or ran out of time; negative where a signal ended it (a loader can crash), which is fatal.
    other: lines of standard error that are none of the rest.
    """

    status: int | None
    entries: tuple[Entry, ...] = ()
    static: bool = False
    fatal: str | None = None
    versions: tuple[VersionComplaint, ...] = ()
    not_preloaded: tuple[NotPreloaded, ...] = ()
    undefined: tuple[UndefinedSymbol, ...] = ()
    unused: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """What would be mapped, in order."""
        return [entry.path for entry in self.entries if entry.path is not None]

    @property
    def missing(self) -> list[str]:
        """The names that were not found, as often as they were asked for."""
        return [entry.name for entry in self.entries if entry.path is None]


_Record = VersionComplaint | NotPreloaded | UndefinedSymbol | Entry
_Kind = TypeVar("_Kind", VersionComplaint, NotPreloaded, UndefinedSymbol, Entry)


def _text(match: re.Match[bytes], group: int) -> str:
    return os.fsdecode(match[group])


# The lines of standard error that mean something, each with the value that it becomes.
_LINES: tuple[tuple[re.Pattern[bytes], Callable[[re.Match[bytes]], _Record]], ...] = (
    (
        re.compile(rb"(.*): (weak )?version `(.*)' not found \(required by (.*)\)"),
        lambda m: VersionComplaint(_text(m, 1), _text(m, 3), _text(m, 4), weak=bool(m[2])),
    ),
    (
        re.compile(rb"(.*): no version information available \(required by (.*)\)"),
        lambda m: VersionComplaint(_text(m, 1), None, _text(m, 2)),
    ),
    (
        re.compile(rb"ERROR: ld\.so: object '(.*)' from (.*) cannot be preloaded \((.*)\): ignored\."),
        lambda m: NotPreloaded(_text(m, 1), _text(m, 2), _text(m, 3)),
    ),
    (
        re.compile(rb"undefined symbol: (.*?)(?:, version (.*))?\t\((.*)\)"),
        lambda m: UndefinedSymbol(_text(m, 1), _text(m, 2) if m[2] else None, _text(m, 3)),
    ),
    (
        re.compile(rb"symbol (.*), version (.*) not defined in file (.*) with link time reference\t\((.*)\)"),
        lambda m: UndefinedSymbol(_text(m, 1), _text(m, 2), _text(m, 4), _text(m, 3)),
    ),
    (
        re.compile(rb"Error loading shared library (.*): (.*?) \(needed by .*\)"),
        lambda m: Entry(_text(m, 1), None, _text(m, 2)),
    ),
)
# An entry may hold newlines, but none that is followed by the tab which begins the next one.
_ENTRY = re.compile(rb"\t((?:[^\n]|\n(?!\t))*?)(?: \((?:0x[0-9a-f]+|0)\)|( => not found))\n")
_REFUSALS = rb"error while loading shared libraries|symbol lookup error|Inconsistency detected by ld\.so"
_ISA = rb"[^\n]*: CPU ISA level is lower than required"
_FATAL = re.compile(rb"^(?:(?:[^\n]*?: )?(?:" + _REFUSALS + rb"): ((?:.|\n)*)|(" + _ISA + rb")\n)\Z", re.MULTILINE)
_UNUSED = b"Unused direct dependencies:\n"


def parse(outcome: Outcome, program: str) -> Trace:
    """A loader's answer about a program (its argv[0]). Where the kernel does not execute it, or ends it: fatal too."""
    if outcome.errno is not None:
        return Trace(status=None, fatal=f"{program}: cannot be executed: {os.strerror(outcome.errno)}")
    if outcome.status is None or outcome.status < 0:
        end = "out of time" if outcome.status is None else signal.strsignal(-outcome.status)
        return Trace(status=outcome.status, fatal=f"{program}: {end}")
    fatal = _FATAL.search(outcome.stderr)
    complaints = outcome.stderr[: fatal.start()] if fatal else outcome.stderr
    records: list[_Record] = []
    other: list[str] = []
    for line in complaints.splitlines():
        line = line.removeprefix(os.fsencode(program) + b": ")
        matches = ((make, pattern.fullmatch(line)) for pattern, make in _LINES)
        found = next((make(match) for make, match in matches if match), None)
        if found is None:
            other.append(os.fsdecode(line))
        else:
            records.append(found)
    listed, _, rest = outcome.stdout.partition(_UNUSED)
    return Trace(
        status=outcome.status,
        entries=(*entries(listed), *_only(Entry, records)),
        static=outcome.stdout == b"\tstatically linked\n",
        fatal=os.fsdecode((fatal[1] or fatal[2]).removesuffix(b"\n")) if fatal else None,
        versions=_only(VersionComplaint, records),
        not_preloaded=_only(NotPreloaded, records),
        undefined=_only(UndefinedSymbol, records),
        unused=tuple(os.fsdecode(line.strip()) for line in rest.splitlines() if line.strip()),
        other=tuple(other),
    )


def _only(kind: type[_Kind], records: list[_Record]) -> tuple[_Kind, ...]:
    return tuple(record for record in records if isinstance(record, kind))


def entries(listing: bytes) -> list[Entry]:
    """The entries of a trace's standard output; the vdso, which is no file, is left out."""
    found = []
    for match in _ENTRY.finditer(listing):
        name, path = _halves(match[1])
        if match[2]:
            found.append(Entry(os.fsdecode(match[1]), None))
        elif name not in VDSO:
            found.append(Entry(name, path))
    return found


def _halves(text: bytes) -> tuple[str, str]:
    """Name and path of `name => path`; where the text itself has arrows, the path ends with the searched name."""
    parts = os.fsdecode(text).split(" => ")
    splits = [(" => ".join(parts[:at]), " => ".join(parts[at:])) for at in range(1, len(parts))]
    splits.sort(key=lambda split: not split[1].endswith("/" + split[0]))
    return splits[0] if splits else (parts[0], parts[0])
