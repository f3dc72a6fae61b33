"""The document of `linkscope diff`: what changed from one file, folder or package to another."""

from __future__ import annotations

from typing import Literal

from linkscope.model.document import AnalysisError, Document

ChangeCode = Literal[
    "file-added",
    "file-removed",
    "kind",
    "machine",
    "linkage",
    "pie",
    "interpreter",
    "libc",
    "soname",
    "needed-added",
    "needed-removed",
    "search-path",
    "floor-raised",
    "floor-lowered",
    "cpu-level",
    "symbol-added",
    "symbol-removed",
    "symbol-version",
    "symbol-size",
    "contents-added",
    "contents-removed",
    "contents-version",
    "hardening-lost",
    "hardening-gained",
    "privileges",
    "stripped",
    "build-id",
    "size",
    "bytes",
]
# What a change means for whoever takes the new one:
# `abi-break`: a program that was linked with the old library may not start or run with the new one.
# `deployment-risk`: a system on which the old one starts may lack what the new one asks for.
# `security`: less protected, or with more rights, than before.
# `none`: it is different, and that is all that can be said.
Impact = Literal["abi-break", "deployment-risk", "security", "none"]


class Change(Document, frozen=True, kw_only=True, omit_defaults=True):
    """One difference. path: of the file, as in NEW (in OLD where it was removed); subject: what of it changed.

    old, new: the values as text, None where there is none. section: of a `size`, the section that grew; bytes: by how
    much, negative where it shrank.
    """

    code: ChangeCode
    path: str
    subject: str
    old: str | None
    new: str | None
    message: str
    impact: Impact
    bytes: int | None = None
    path_bytes: str | None = None


class DiffDocument(Document, frozen=True, kw_only=True):
    """All that changed from `old` to `new`, which are the paths as they were given."""

    schema: Literal["linkscope/diff/1"] = "linkscope/diff/1"
    old: str
    new: str
    changes: list[Change]
    errors: list[AnalysisError]
