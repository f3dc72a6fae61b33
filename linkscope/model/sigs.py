"""The document of `linkscope sigs`: the archives whose code is recognised inside linked files."""

from __future__ import annotations

from typing import Literal

import msgspec

from linkscope.model.document import AnalysisError, Document


class SignedArchive(Document, frozen=True, kw_only=True):
    """One static library of which a store has fingerprints.

    id: 32 hexadecimal digits, the same in every store. shipped: it is in the pack that LinkScope brings along.
    name: the file's own (`libz.a`). library: the upstream project as Repology names it; version: its version. package,
    package_version, distribution: whose package it was in. None where that is not known. architecture: as in
    `elf.machine`. members: those with machine code. sections, size: of their executable sections, in bytes;
    recognised: how many of these sections can be recognised. bitcode: members that only a link-time optimiser can read.
    origin: the file that it was learnt from.
    """

    id: str
    shipped: bool
    name: str
    library: str | None
    version: str | None
    package: str | None
    package_version: str | None
    distribution: str | None
    architecture: str
    members: int
    sections: int
    recognised: int
    size: int
    bitcode: int
    origin: str


class LeftOut(Document, frozen=True, kw_only=True):
    """An archive of which nothing, or not all, can be recognised. weight: `warning`, or `note` for one without code."""

    path: str
    reason: str
    weight: Literal["warning", "note"]


class SigsDocument(Document, frozen=True, kw_only=True):
    """What one call of `linkscope sigs` was about.

    store: the path of the user's own store. archives: those listed, shown, added, removed, exported or imported.
    known: how many were there already. left_out: what `add` met and has no signatures of.
    """

    schema: Literal["linkscope/sigs/1"] = "linkscope/sigs/1"
    store: str
    archives: list[SignedArchive]
    known: int = 0
    left_out: list[LeftOut] = msgspec.field(default_factory=list)
    errors: list[AnalysisError] = msgspec.field(default_factory=list)
