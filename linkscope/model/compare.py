"""The document of `linkscope compare`: a program linked in several ways, side by side, in bytes and seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from linkscope.model.document import AnalysisError, Document
from linkscope.model.inspect import Hardening, Libc, Linkage

PartKind = Literal["own-code", "library-code", "read-only-data", "data", "linking", "symbols", "debug", "other"]
LossCode = Literal["nss", "iconv", "dlopen", "locale"]
Output = Literal["null", "pipe", "file"]
CriterionName = Literal["size", "start", "memory", "memory-copies", "independence", "updates", "portability"]


class Part(Document, frozen=True, kw_only=True):
    """Bytes of the file that are of one kind.

    name: of `library-code` and of `read-only-data` that a library is known to have brought, the library as `contents`
    has it; None otherwise. `linking`: what only the loader reads (dynamic symbols, relocations, versions, hashes);
    `symbols`: .symtab and its strings; `debug`: DWARF; `other`: headers, notes, and what fills up. The sizes of all
    parts are the size of the file.
    """

    kind: PartKind
    name: str | None
    size: int


class MappedFile(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One shared object that the loader would map as well. package: who installed it; None where nobody says.

    size: on disk; mapped_size: of all that would be mapped of it, in whole pages.
    """

    path: str
    soname: str | None
    size: int
    mapped_size: int
    package: str | None
    path_bytes: str | None = None


class StartWork(Document, frozen=True, kw_only=True):
    """What has to be done before the first line of the program runs, over all that is mapped.

    relative: relocations that only add the load address; symbolic: the others that are done at start; lazy: those of
    functions that wait for their first call; indirect: IRELATIVE ones, for which a function is called. look_ups: of
    symbols by name at start, as LD_DEBUG=statistics counts them; None where a loader does not work so.
    """

    relative: int
    symbolic: int
    lazy: int
    indirect: int
    look_ups: int | None


class Update(Document, frozen=True, kw_only=True):
    """What a new release of one library asks for. how: `restart` (it is a file of its own) or `rebuild` (inside).

    project: the upstream project as `contents` has it, so that a file and what is inside have one name; None where
    nobody is known by that soname. path, package: of the file that is replaced, None of what is inside. version: of
    what is inside, where it is told.
    """

    library: str
    project: str | None
    how: Literal["restart", "rebuild"]
    path: str | None
    package: str | None
    version: str | None


class Loss(Document, frozen=True, kw_only=True):
    """What a static program cannot do, or can only do with files of the very release it was linked with."""

    code: LossCode
    message: str


class Reach(Document, frozen=True, kw_only=True):
    """On how many of the known systems for the file's machine it starts; doubtful: where that cannot be told.

    because: what keeps it from most of the others, a version or a library; None where nothing does. oldest: the first
    release of each distribution on which it starts, None where there is none.
    """

    systems: int
    starts: int
    doubtful: int
    because: str | None
    oldest: dict[str, str | None]


class Spread(Document, frozen=True, kw_only=True):
    """The median of many measurements. low, high: where it lies with 99 %, if these are independent of one another.

    Whatever their distribution (order statistics, the binomial bounds of a median). But what disturbs a machine may
    last for many runs, so that another call can lie outside. Of fewer than 8 measurements, which cannot give 99 %, they
    are the smallest and the largest.
    """

    median: float
    low: float
    high: float


class Copies(Document, frozen=True, kw_only=True):
    """Memory of COUNT copies that are there at once, in bytes: sums over them of smaps_rollup.

    anonymous: what of pss is of no file, so that the kernel cannot give it back but by swapping (Pss_Anon; None before
    Linux 5.3): the rest are pages of files, which can be read again, and shared memory. private: of pages that no other
    process has; page_tables: what the kernel holds for them (VmPTE). noise: by how much the sums of PSS of repetitions
    lay apart. moment: at the end of the program's work, just before it exits, or while it waits (a server).
    """

    count: int
    rss: int
    pss: int
    private: int
    page_tables: int
    noise: int = 0
    moment: Literal["exit", "serving"]
    anonymous: int | None = None


class ServerProcess(Document, frozen=True, kw_only=True):
    """One process of a server while connections are open. shared: of its private memory, what fork left in common.

    anonymous: what of pss is of no file, as in Copies.
    """

    role: Literal["parent", "child"]
    rss: int
    pss: int
    private: int
    private_memory: int
    shared: int
    anonymous: int | None = None


class Server(Document, frozen=True, kw_only=True):
    """A server while CONNECTIONS are open. ready: seconds from its start until its port is open.

    That is when it listens (listen(2)): from then on the kernel takes connections, for which the server need not be
    ready itself. one_more_connection: bytes of PSS that one more costs; None where only one number of connections was
    tried. ready_spread: where the median of many such starts lies, in seconds; None where there were none in turn.
    """

    port: int
    ready: float
    connections: int
    processes: list[ServerProcess]
    one_more_connection: int | None
    ready_spread: Spread | None = None

    def pss(self) -> int | None:
        """Bytes of PSS of all its processes; None where these are not told."""
        return sum(process.pss for process in self.processes) if self.processes else None

    def anonymous(self) -> int | None:
        """Bytes of them that are of no file; None where that is not told of each process."""
        told = [process.anonymous for process in self.processes if process.anonymous is not None]
        return sum(told) if told and len(told) == len(self.processes) else None


class ProgramRun(Document, frozen=True, kw_only=True):
    """What was measured of one program. seconds: from its start to its end.

    That, processor time (`user`, `system`, in seconds), faults, instructions and peak_rss (bytes, the most of one copy)
    are None of a server, which does not end. instructions: also None where the kernel or the machine does not count
    them. one_more_copy: bytes of PSS; None for less than two numbers of copies.
    memory_noise: bytes of PSS by which repetitions of one and the same lay apart.
    """

    seconds: Spread | None
    user: float | None
    system: float | None
    minor_faults: int | None
    major_faults: int | None
    instructions: int | None
    peak_rss: int | None
    copies: list[Copies]
    one_more_copy: int | None
    memory_noise: int = 0
    server: Server | None = None

    def copies_of(self, count: int) -> Copies | None:
        """The memory of COUNT copies at once; None where that was not measured."""
        return next((one for one in self.copies if one.count == count), None)

    def most_copies(self) -> Copies | None:
        """The memory of the most copies at once; None where it was never that of several."""
        most = max(self.copies, key=lambda one: one.count, default=None)
        return most if most and most.count > 1 else None


class Program(Document, frozen=True, kw_only=True):
    """One of the programs that are compared: what its file says, and what was measured if it was run.

    machine: as `inspect` calls it in `elf.machine`. size: of the file; memory_size: of its own segments, in whole
    pages; mapped_size: of these and of everything else that would be mapped. libraries: how many files that is, the
    loader among them. relocations: all that are done at start. requires: as in `inspect`; needs_kernel: the oldest
    that its note allows. problems: why it would not start. sha256: of the file, 64 hexadecimal digits; None where it
    could not be read to its end.
    """

    path: str
    machine: str
    linkage: Linkage | None
    pie: bool | None
    size: int
    mapped_size: int
    libraries: int
    relocations: int
    run: ProgramRun | None
    memory_size: int
    parts: list[Part]
    files: list[MappedFile]
    start_work: StartWork
    updates: list[Update]
    libc: Libc
    requires: dict[str, str]
    needs_kernel: str | None
    reach: Reach | None
    hardening: Hardening
    losses: list[Loss]
    problems: list[str]
    path_bytes: str | None = None
    sha256: str | None = None

    def copies_of(self, count: int) -> Copies | None:
        """The memory of COUNT copies at once; None where that was not measured."""
        return self.run.copies_of(count) if self.run else None

    def rebuilt_for(self) -> list[str]:
        """The libraries inside, by name: an update of one of them is another build."""
        return sorted({update.library for update in self.updates if update.how == "rebuild"})


def copies_in_common(programs: Sequence[Program]) -> int | None:
    """The largest number of copies that was measured of all PROGRAMS of which several copies were; None: of no two.

    Figures of different numbers of copies say nothing side by side.
    """
    several = [{one.count for one in run.copies if one.count > 1} for program in programs if (run := program.run)]
    common = set.intersection(*(counts for counts in several if counts)) if any(several) else set()
    return max(common, default=None)


class Value(Document, frozen=True, kw_only=True):
    """The figure of one program under one criterion, None where there is none.

    program: its place in `programs`, from 0; its path may look like that of another.
    """

    path: str
    value: float | None
    program: int


class Verdict(Document, frozen=True, kw_only=True):
    """Which program is better by one criterion: the one with the smallest figure, or the largest if `more`.

    better: its path; None where several are equally good or the difference is within the noise; these stand in `tied`
    then. best, tied_places: the same as places in `programs`, from 0, since two paths that are no UTF-8 may look alike.
    ratio: the figure of the better one over that of the next (of those that tied over the next behind them); None
    where there is no next, or its figure is zero. unit: of `values`.
    """

    criterion: CriterionName
    better: str | None
    ratio: float | None
    message: str
    unit: Literal["bytes", "seconds", "relocations", "files", "libraries", "systems"]
    values: list[Value]
    tied: list[str] = msgspec.field(default_factory=list)
    more: bool = False
    best: int | None = None
    tied_places: list[int] = msgspec.field(default_factory=list)

    def first_places(self) -> list[int]:
        """The places of those that are first: of the best one, or of all that tie."""
        return self.tied_places or ([] if self.best is None else [self.best])

    def value_of(self, place: int) -> float | None:
        """The figure of the program at PLACE; None where it has none, or no part in the verdict."""
        return next((one.value for one in self.values if one.program == place), None)


class Measurement(Document, frozen=True, kw_only=True):
    """How the programs were run. rounds: in each, every program runs once; warm_ups: rounds before that.

    starts: of the program that was started most often, all kinds of runs together. input: the file that each run read
    from its start, None: nothing. output: where what they wrote went: to /dev/null, to a pipe that was read, to a file.
    accepted: the exit codes that were a good end. overhead: seconds that the measuring adds to what a plain spawn and
    wait takes, for each run. notes: what could not be measured, and why; what disturbs (load, frequency scaling).
    """

    arguments: list[str]
    rounds: int
    warm_ups: int
    copies: list[int]
    timeout: float
    overhead: float | None
    kernel: str
    cpu: str
    notes: list[str]
    starts: int | None = None
    input: str | None = None
    output: Output = "null"
    accepted: list[int] = msgspec.field(default_factory=lambda: [0])


class CompareDocument(Document, frozen=True, kw_only=True):
    """All that one call of `linkscope compare` was asked for. measurement: None without --run.

    suggestions: what the figures suggest for this program, a sentence each, each with its figure.
    """

    schema: Literal["linkscope/compare/1"] = "linkscope/compare/1"
    programs: list[Program]
    verdict: list[Verdict]
    suggestions: list[str]
    measurement: Measurement | None
    errors: list[AnalysisError]
