"""The document of `linkscope who`: which files and processes hold a library, as a shared one or inside themselves."""

from __future__ import annotations

from typing import Literal

import msgspec

from linkscope.model.document import AnalysisError, Document
from linkscope.model.inspect import Evidence, Proof
from linkscope.model.pid import Disk

How = Literal["needed", "indirect", "dlopen", "inside", "mapped"]
VersionFrom = Literal["contents", "beside", "soname"]


class Match(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One way in which a file or a process holds the library.

    path: the file or, of a process, its program. library: the shared library, as the loader opens it (without `..`) or
    has mapped it; of `inside` the library of the closure (or of the process) that has it inside, None where that is the
    file itself; of `needed` and `indirect` None also where the loader finds none. beside: the loader does not find it
    from this file, but it lies beside what asks for it, and is there where it was loaded before. via: from the file to
    what asks for the library, or has it inside. itself: the file is the library. name: what was found: a name as
    `contents` has it, else the soname.

    version: None where nothing tells it. version_from: the library's own contents, those of what stands `beside` the
    one that asks or of another library of the same project, or its soname. older: only where a version was asked for:
    `unknown` where it cannot be told whether it is older. unpacked: it is inside what was packed into a file. evidence,
    proof, absent_code: as of the contents. disk: of a process, what became of the mapped file. command: of a process,
    its name.
    """

    path: str
    pid: int | None
    how: How
    library: str | None
    version: str | None
    via: list[str]
    name: str
    ecosystem: str | None = None
    soname: str | None = None
    itself: bool = False
    beside: bool = False
    version_from: VersionFrom | None = None
    older: Literal["yes", "unknown"] | None = None
    unpacked: bool = False
    evidence: list[Evidence] = msgspec.field(default_factory=list)
    proof: Proof | None = None
    absent_code: list[str] = msgspec.field(default_factory=list)
    disk: Disk | None = None
    command: str | None = None
    path_bytes: str | None = None


class Closed(Document, frozen=True, kw_only=True):
    """A process that the caller may not look into: it may hold the library. reason: what stands in the way.

    command: its name, which is for everybody; None where /proc does not show even that (hidepid), or it has ended.
    """

    pid: int
    command: str | None
    reason: str


class WhoSummary(Document, frozen=True, kw_only=True):
    """How much was looked at. closed: processes that the caller may not look into.

    unsteady: processes that became another program each time that they were looked at, as what lives for a moment does.
    unsure: how many hold it in a version that only their machine code may tell, which was not looked at.

    How far that goes for the files without a match: by_texts are those whose machine code was not looked at, only their
    texts and symbols; unknown_code those in which there is machine code that no library accounts for that is known, of
    so many unknown_bytes. names_only: no text, symbol or code of the library is known, so that nothing but
    the names of shared libraries could be compared.
    """

    files: int
    processes: int
    closed: int
    unsteady: int = 0
    unsure: int = 0
    by_texts: int = 0
    unknown_code: int = 0
    unknown_bytes: int = 0
    names_only: bool = False


class WhoDocument(Document, frozen=True, kw_only=True):
    """All that one call of `linkscope who` was asked for. packed: files that are packed and were not looked into.

    closed: the processes that may not be looked into, by their numbers.
    """

    schema: Literal["linkscope/who/1"] = "linkscope/who/1"
    name: str
    older_than: str | None
    matches: list[Match]
    packed: list[str]
    closed: list[Closed] = msgspec.field(default_factory=list)
    summary: WhoSummary
    errors: list[AnalysisError]
