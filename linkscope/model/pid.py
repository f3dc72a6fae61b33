"""The document of `linkscope pid` and `linkscope ps`: what processes have mapped, against what they should have."""

from __future__ import annotations

from typing import Literal

import msgspec

from linkscope.model.document import Document
from linkscope.model.inspect import Content, Linkage

State = Literal["running", "sleeping", "disk-sleep", "stopped", "tracing-stop", "zombie", "dead", "idle"]
Origin = Literal["executable", "interpreter", "needed", "preload", "audit", "dlopen", "dlopen-needed", "vdso"]
Disk = Literal["same", "replaced", "deleted", "renamed", "overwritten", "memfd", "unknown"]
Level = Literal["warning", "note"]
FindingCode = Literal[
    "stale-object",
    "missing-object",
    "other-path",
    "disk-unknown",
    "not-permitted",
    "not-predicted",
    "environment-unknown",
    "link-map-unknown",
    "preloaded",
    "audited",
    "loaded-by-static",
    "packed",
    "memory-file",
    "executable-anonymous-memory",
    "writable-executable-memory",
    "text-modified",
    "text-verified",
    "text-unknown",
    "zombie",
    "main-thread-ended",
    "zombie-children",
    "kernel-thread",
    "orphan-unknown",
    "stale-script",
    "old-kernel",
]
TO_BE_RESTARTED: frozenset[FindingCode] = frozenset(("stale-object", "stale-script", "old-kernel"))
"""The findings that only a restart, of the process or of the machine, mends."""
ChannelKind = Literal["pipe", "socket-pair", "unix-socket", "shared-memory", "memfd", "shared-file", "listening"]


class Usage(Document, frozen=True, kw_only=True):
    """Bytes of memory, as smaps counts them. shared: of pages that others have mapped too; private: of the rest."""

    rss: int
    pss: int
    shared: int
    private: int


class Opener(Document, frozen=True, kw_only=True):
    """Who probably opened a `dlopen` object. how: a string of that name in it, its `.note.dlopen`."""

    path: str
    how: Literal["string", "note"]


class Restart(Document, frozen=True, kw_only=True, omit_defaults=True):
    """What the loader would map now for the same name; path None: it would find nothing.

    build_id: of that file, None where it has none. refused: why the start would fail at that file, None where it would
    not.
    """

    path: str | None
    build_id: str | None
    refused: str | None = None


class MappedObject(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One ELF file with an executable mapping (or the vdso), as seen from inside the process's root.

    path: the file's name now or, where it is deleted, its last one. loaded_as: l_name in the process's own link map,
    None where that cannot be read or does not list it. memory: summed over the mappings of the file; None where the
    caller may not read it. build_id: of the file that is mapped. namespaces: in which link-map namespaces it stands
    (0: the base one; others come from dlmopen and auditors), empty where unknown. opened_by: of a dlopen object, who
    names it. restart: what would be mapped instead after a restart, only where it differs.
    """

    path: str
    soname: str | None
    origin: Origin
    disk: Disk
    loaded_as: str | None
    memory: Usage | None
    build_id: str | None
    namespaces: list[int] = msgspec.field(default_factory=list)
    opened_by: list[Opener] = msgspec.field(default_factory=list)
    restart: Restart | None = None
    path_bytes: str | None = None


class Executable(Document, frozen=True, kw_only=True, omit_defaults=True):
    """The program that runs. linkage: None where its file cannot be read.

    started_through: the loader on whose command line the program stood (`ld.so ./app`), None where the kernel started
    it. script: the file that the interpreter in `path` runs, where its command line tells.
    """

    path: str
    disk: Disk
    linkage: Linkage | None
    pie: bool | None
    started_through: str | None = None
    script: str | None = None
    path_bytes: str | None = None


class ProcessFinding(Document, frozen=True, kw_only=True, omit_defaults=True):
    """Something to know of the process. level: a warning deserves action, a note explains an answer.

    path: the object that it is about, None for the process as a whole. address, size: of the memory that it is about.
    pids: the processes that it is about, where those are others (zombies).
    """

    code: FindingCode
    level: Level
    path: str | None
    message: str
    address: int | None = None
    size: int | None = None
    pids: list[int] = msgspec.field(default_factory=list)


class Family(Document, frozen=True, kw_only=True):
    """The process among its relatives. parent: 0 where the kernel started it, or it lies in another pid namespace.

    children: the living ones; zombies: the dead ones that were not waited for. orphan: whether the parent is not the
    one that forked it; None where that cannot be told. role: what its command line says it is (`nginx worker`).
    """

    parent: int
    children: list[int]
    zombies: list[int]
    orphan: bool | None
    role: str | None = None


class CopyOnWrite(Document, frozen=True, kw_only=True):
    """What fork left in common, in bytes. private_memory: of writable private pages, all in all.

    shared: what of it is still one page with another process (the parent, or siblings); own: copied or written since.
    """

    private_memory: int
    shared: int
    own: int


class ProcessMemory(Document, frozen=True, kw_only=True):
    """The memory of one process: bytes over all mappings."""

    rss: int
    pss: int
    shared: int
    private: int
    swap: int
    copy_on_write: CopyOnWrite


class Process(Document, frozen=True, kw_only=True, omit_defaults=False):
    """One process. What the caller may not read is None, and a finding says why.

    ppid: as the caller's pid namespace numbers it. started: seconds since the epoch. root: the process's root folder as
    the caller sees it, None where it is the caller's own. unit: the systemd unit, container: the container's runtime
    and id, both by cgroup. executable: None for kernel threads and zombies. objects: None where they were not asked for
    or cannot be read; in link-map order where that can be read. libraries: how many of them
    are neither the program nor its loader. absent: what its closure asks for and is not mapped.
    """

    pid: int
    ppid: int
    name: str
    cmdline: list[str]
    state: State
    threads: int
    user: str | None
    started: float
    executable: Executable | None
    objects: list[MappedObject] | None
    libraries: int | None
    absent: list[str]
    findings: list[ProcessFinding]
    family: Family
    memory: ProcessMemory | None
    unit: str | None
    container: str | None
    root: str | None
    contents: list[Content] | None = None

    @property
    def is_outdated(self) -> bool:
        """Whether only a restart, of it or of the machine, brings it to what stands on the disk."""
        return any(finding.code in TO_BE_RESTARTED for finding in self.findings)


class Relative(Document, frozen=True, kw_only=True):
    """One line of a family tree: an ancestor or descendant of the process that was asked about, or itself.

    depth: 0 for the eldest. since: for a zombie the time from which it is known to be one at the latest (seconds since
    the epoch): when `--watch` first saw it, else its start.
    """

    pid: int
    ppid: int
    depth: int
    name: str
    cmdline: list[str]
    state: State
    threads: int
    linkage: Linkage | None
    role: str | None
    orphan: bool | None
    pss: int | None
    copy_on_write: CopyOnWrite | None
    started: float
    since: float | None = None


class ChannelEnd(Document, frozen=True, kw_only=True):
    """A process that holds a channel, and by which file descriptors. `accept`: it waits for connections there."""

    pid: int
    descriptors: list[int]
    use: Literal["read", "write", "both", "map", "accept", "hold"]


class Channel(Document, frozen=True, kw_only=True):
    """Something by which members of a family can talk: what it is called, and who holds it."""

    kind: ChannelKind
    name: str
    size: int | None
    ends: list[ChannelEnd]


class FamilyTree(Document, frozen=True, kw_only=True):
    """The family of one process (`--tree`): its members, eldest first, children below their parent; and its channels.

    one_more: what the present workers have for themselves alone, in the median: bytes that one more would cost; None
    without workers.
    """

    pid: int
    members: list[Relative]
    channels: list[Channel]
    pss: int | None
    one_more: int | None


class ProcessError(Document, frozen=True, kw_only=True):
    """A process that could not be analysed, or only in part."""

    pid: int
    error: str


class PidDocument(Document, frozen=True, kw_only=True):
    """All that one call of `linkscope pid` or `linkscope ps` was asked for. trees: only with --tree."""

    schema: Literal["linkscope/pid/1"] = "linkscope/pid/1"
    processes: list[Process]
    trees: list[FamilyTree] | None = None
    errors: list[ProcessError]
