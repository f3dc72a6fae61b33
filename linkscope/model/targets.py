"""The document of `linkscope targets`: which systems are known, and on which of them a file starts."""

from __future__ import annotations

from typing import Literal

import msgspec

from linkscope.model.document import AnalysisError, Document

ReasonCode = Literal["machine", "interpreter", "cpu", "library", "version", "relocations", "symbol", "tag"]
Weight = Literal["fatal", "doubtful", "note"]


class TargetRow(Document, frozen=True, kw_only=True):
    """One target. libc, version: its C library. source: where that version was read; confidence: over all its rows.

    names: other words for the release. kind: a system, or what a wheel's platform tag allows. machines: as wheels call
    them. loader: the interpreter by machine, None where none is prescribed. highest: of each family of symbol versions
    the highest that is offered.
    """

    name: str
    libc: Literal["glibc", "musl"]
    version: str
    source: str
    confidence: Literal["verified", "cited"]
    distribution: str
    release: str
    names: list[str]
    kind: Literal["system", "wheels"]
    loader: dict[str, str | None]
    highest: dict[str, str]


class TargetReason(Document, frozen=True, kw_only=True):
    """Why a file does not start on a target (`fatal`), why that cannot be told (`doubtful`), or what else to know.

    evidence: the symbols that carry a version, and the objects that ask. package: of that system, which brings the
    library; None where none is known.
    """

    code: ReasonCode
    weight: Weight
    subject: str
    message: str
    evidence: list[str]
    package: str | None = None


class TargetVerdict(Document, frozen=True, kw_only=True):
    """Whether the file starts on `target`; None: what is known of the target does not tell.

    because: the subject of the first of `reasons`; None where the file starts.
    """

    target: str
    starts: bool | None
    because: str | None
    reasons: list[TargetReason]


class TargetFile(Document, frozen=True, kw_only=True):
    """A file, or all files of a folder or package together. oldest: the first release of a distribution on which it
    starts, None where there is none. files: how many they are.
    """

    path: str
    oldest: dict[str, str | None]
    verdicts: list[TargetVerdict]
    files: int = 1
    path_bytes: str | None = None


class TargetsDocument(Document, frozen=True, kw_only=True):
    """All that one call of `linkscope targets` was asked for."""

    schema: Literal["linkscope/targets/1"] = "linkscope/targets/1"
    targets: list[TargetRow]
    files: list[TargetFile] = msgspec.field(default_factory=list)
    errors: list[AnalysisError] = msgspec.field(default_factory=list)
