"""The document of `linkscope inspect` (and of each line of `scan`): one file, and what the loader would map for it."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from linkscope.model.document import AnalysisError, Document

Kind = Literal["executable", "shared-library", "interpreter", "relocatable", "kernel-module", "core", "debug"]
Linkage = Literal["static", "dynamic"]
LibcFamily = Literal["glibc", "musl", "uclibc", "bionic", "dietlibc", "none", "unknown"]
FoundBy = Literal[
    "preload", "path", "loaded", "rpath", "LD_LIBRARY_PATH", "runpath", "ld.so.cache", "default", "interpreter"
]
Fails = Literal["start", "first-call"]
ProblemCode = Literal[
    "missing-interpreter",
    "unknown-loader",
    "bad-interpreter",
    "missing-library",
    "missing-preload",
    "missing-auxiliary",
    "missing-audit",
    "bad-candidate",
    "bad-preload",
    "refused-name",
    "filter-ring",
    "missing-version",
    "weak-version",
    "no-version-information",
    "unknown-relocations",
    "unresolved-symbol",
    "isa-level",
    "by-luck",
    "stale-cache-entry",
    "unsafe-search-path",
    "loads-at-run-time",
    "packed",
    "audit",
    "disagreement",
    "malformed",
]


class ElfHeader(Document, frozen=True, kw_only=True):
    """`machine` and `type`: the gABI's names (EM_ in lower case, ET_ in upper case) without their prefix."""

    class_: Literal[32, 64] = msgspec.field(name="class")
    endian: Literal["little", "big"]
    machine: str
    type: str


class Libc(Document, frozen=True, kw_only=True):
    """Which C library the file is made for; `version` is given only where the file itself tells."""

    family: LibcFamily
    version: str | None = None


class ClosureEntry(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One object that the loader would map, in its place of the link map.

    of, element: where an RPATH, RUNPATH or LD_LIBRARY_PATH found it, the object whose tag that is (the program, for the
    variable) and the element as written there.
    """

    soname: str
    requested: str
    path: str | None
    realpath: str | None
    found_by: FoundBy | None
    needed_by: list[str]
    depth: int
    of: str | None = None
    element: str | None = None
    path_bytes: str | None = None


class Problem(Document, frozen=True, kw_only=True):
    """What would keep the program from starting (`fatal`), or deserves a warning.

    `remedies`: what would mend it, a sentence each, where the files around it show that; the likeliest first.
    """

    code: ProblemCode
    fatal: bool
    subject: str
    needed_by: str | None
    message: str
    remedies: list[str] = msgspec.field(default_factory=list)


class Dlopen(Document, frozen=True, kw_only=True):
    """One entry of `.note.dlopen`: `soname` lists alternatives; `found` is the path of the first that exists."""

    soname: list[str]
    feature: str | None
    priority: str | None
    found: str | None


class Unresolved(Document, frozen=True, kw_only=True):
    """An undefined symbol that no object in scope defines; `fails`: when the program would die of it."""

    symbol: str
    version: str | None
    needed_by: str
    fails: Fails


EvidenceKind = Literal[
    "fingerprint", "banner", "symbol", "go-buildinfo", "rust-audit", "rust-path", "note", "comment", "bundle"
]
Proof = Literal["code", "symbols", "record", "text"]
_STRONGEST_FIRST: tuple[Proof, ...] = get_args(Proof)
_WEAKEST: Proof = "text"
_PROOFS: dict[EvidenceKind, Proof] = {
    "fingerprint": "code",
    "symbol": "symbols",
    "go-buildinfo": "record",
    "rust-audit": "record",
    "note": "record",
    "bundle": "record",
}


class Evidence(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One proof that something is inside the file.

    Of a fingerprint: `archive` is the static library whose code was found, `package` and `distribution` whose it is;
    of its executable sections and of its members with code, how many were found and how many there are. bytes_matched:
    of the file, those that are the archive's. fits: the versions that fit equally well, where there are several.
    doubt: in words, why the code alone does not tell the version; None where it does.
    """

    kind: EvidenceKind
    text: str | None = None
    archive: str | None = None
    package: str | None = None
    sections_matched: int | None = None
    sections_total: int | None = None
    bytes_matched: int | None = None
    members_matched: int | None = None
    members_total: int | None = None
    distribution: str | None = None
    fits: list[str] | None = None
    doubt: str | None = None


class Content(Document, frozen=True, kw_only=True, omit_defaults=True):
    """A library, module or crate that is linked into the file itself; of several versions each is an entry of its own.

    proof: the strongest of the evidence, whatever is given. `code`: machine code of the library was found (of a C
    library it may have been its start code, symbols or texts that told); `symbols`: functions of it are defined;
    `record`: the build or a package wrote it down; `text`: nothing but texts of its source, and nobody can tell those
    from a copy of them. absent_code: only of what its text alone proves, and where machine code was looked for: the
    versions nearest to it whose code is known, while none of that is in the file. It may have been built otherwise.
    itself: it is the file's own project, and no library inside of it: the build says so, or who installed the file.
    """

    name: str
    ecosystem: str
    version: str | None
    evidence: list[Evidence]
    proof: Proof = msgspec.field(default_factory=lambda: _WEAKEST)  # made, so that it is always written out
    absent_code: list[str] = msgspec.field(default_factory=list)
    itself: bool = False

    def __post_init__(self) -> None:
        """Has `proof` say what the evidence does."""
        proofs = {_PROOFS.get(one.kind, _WEAKEST) for one in self.evidence}
        msgspec.structs.force_setattr(self, "proof", next((one for one in _STRONGEST_FIRST if one in proofs), _WEAKEST))


LimitCode = Literal[
    "constants", "writable-data", "appended", "texts", "numbers", "marks", "crates", "bundles", "notes", "code", "files"
]


class Limit(Document, frozen=True, kw_only=True):
    """A bound that the search for contents met: what lies beyond was not looked at. message: in words."""

    code: LimitCode
    message: str


class CodeShare(Document, frozen=True, kw_only=True):
    """How many bytes of the file's code are a library's; `version` as in Content."""

    name: str
    version: str | None
    size: int


class Code(Document, frozen=True, kw_only=True):
    """The file's machine code: its bytes, how many of them are accounted for, and by which libraries, most first.

    No byte counts twice. What no fingerprint explains is the program's own, or a library's that nobody has learnt.
    """

    size: int
    attributed: int
    libraries: list[CodeShare]


class Hardening(Document, frozen=True, kw_only=True):
    """What the link step switched on; None: the file cannot tell (a stripped static file and its canary)."""

    relro: Literal["full", "partial", "none"] | None
    bind_now: bool | None
    nx: bool | None
    canary: bool | None
    fortify: bool | None
    cet: bool | None = None
    bti: bool | None = None
    pac: bool | None = None


class Toolchain(Document, frozen=True, kw_only=True):
    """What the file says of its making: `compiler` as in `.comment`, `language` where it can be told."""

    compiler: list[str]
    language: str | None


class Script(Document, frozen=True, kw_only=True):
    """The `#!` line that led to this file (only with --follow-scripts)."""

    path: str
    interpreter: str
    argument: str | None


class File(Document, frozen=True, kw_only=True):
    """One ELF file. Keys whose work was not asked for are None; `code` also for a machine without fingerprints."""

    path: str
    kind: Kind
    linkage: Linkage | None
    pie: bool | None
    elf: ElfHeader
    interpreter: str | None
    libc: Libc
    soname: str | None
    needed: list[str]
    rpath: list[str]
    runpath: list[str]
    build_id: str | None
    requires: dict[str, str]
    requires_other: list[str]
    closure: list[ClosureEntry]
    missing: list[str]
    problems: list[Problem]
    dlopen: list[Dlopen]
    unresolved: list[Unresolved] | None = None
    unused: list[str] | None = None
    contents: list[Content] | None = None
    code: Code | None = None
    limits: list[Limit] | None = None
    hardening: Hardening
    toolchain: Toolchain | None = None
    script: Script | None = None
    path_bytes: str | None = None


class InspectDocument(Document, frozen=True, kw_only=True):
    """All that one call of `linkscope inspect` was asked for."""

    schema: Literal["linkscope/inspect/1"] = "linkscope/inspect/1"
    files: list[File]
    errors: list[AnalysisError]
