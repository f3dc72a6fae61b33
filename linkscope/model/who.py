"""The document of `linkscope who`: which files and processes hold a library, as a shared one or inside themselves."""

from __future__ import annotations

from typing import Literal

import msgspec

from linkscope.model.document import AnalysisError, Document
from linkscope.model.inspect import Evidence
from linkscope.model.pid import Disk

How = Literal["needed", "indirect", "dlopen", "inside", "mapped"]
VersionFrom = Literal["contents", "beside", "soname"]


class Match(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One way in which a file or a process holds the library.

    path: the file or, of a process, its program. library: the shared library, as the loader opens it or has mapped it;
    of `inside` the library of the closure (or of the process) that has it inside, None where that is the file itself;
    of `needed` and `indirect` None also where the loader finds none. via: from the file to what asks for the library,
    or has it inside. itself: the file is the library. name: what was found: a name as `contents` has it, else the
    soname.

    version: None where nothing tells it. version_from: the library's own contents, those of another library of the
    same project beside it, or its soname. older: only where a version was asked for: `unknown` where it cannot be told
    whether it is older. evidence: of the contents. disk: of a process, what became of the mapped file. command: of a
    process, its name.
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
    version_from: VersionFrom | None = None
    older: Literal["yes", "unknown"] | None = None
    evidence: list[Evidence] = msgspec.field(default_factory=list)
    disk: Disk | None = None
    command: str | None = None
    path_bytes: str | None = None


class WhoSummary(Document, frozen=True, kw_only=True):
    """How much was looked at. closed: processes that the caller may not look into."""

    files: int
    processes: int
    closed: int


class WhoDocument(Document, frozen=True, kw_only=True):
    """All that one call of `linkscope who` was asked for. packed: files of which nobody can see what is inside."""

    schema: Literal["linkscope/who/1"] = "linkscope/who/1"
    name: str
    older_than: str | None
    matches: list[Match]
    packed: list[str]
    summary: WhoSummary
    errors: list[AnalysisError]
