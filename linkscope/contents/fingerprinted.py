"""What the fingerprints of code say of a file, as its document has it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import upstream
from linkscope.contents.attribution import Found
from linkscope.contents.linked import LinkedArchive
from linkscope.contents.releases import LinkedLibrary
from linkscope.model.inspect import Code, CodeShare, Content, Evidence

if TYPE_CHECKING:
    from linkscope.contents.known import Pack


def contents(found: Found) -> list[Content]:
    """One entry for each library, and for each version of it that is in the file; most of the code first."""
    return [
        Content(
            name=library.name,
            ecosystem="generic",
            version=library.version,
            evidence=[_evidence(library, archive) for archive in library.archives],
        )
        for library in found.libraries
    ]


def code(found: Found, told: Sequence[Content]) -> Code:
    """How much of the executable bytes the libraries account for; each byte counts once.

    told: the file's contents by all that proves them: a share has the name and the version of the entry that has it as
    its evidence.
    """
    shares = []
    for one in found.libraries:
        proofs = [_evidence(one, archive) for archive in one.archives]
        whose = next((each for each in told if any(proof in each.evidence for proof in proofs)), None)
        name, version = (one.name, one.version) if whose is None else (whose.name, whose.version)
        shares.append(CodeShare(name=name, version=version, size=one.size))
    return Code(size=found.size, attributed=found.attributed, libraries=shares)


def with_absent_code(told: Sequence[Content], architecture: str, packs: Sequence[Pack]) -> list[Content]:
    """TOLD, where what is proven by its text alone has the versions of it whose code is known, and is not there.

    Only where the known ones are near: one at least is as old as the version told, or older, and one as new, or newer.
    """
    wanted = {one.name for one in told if one.proof == "text" and one.ecosystem == "generic"}
    known: dict[str, set[str]] = {}
    for there in [pack.versions(architecture) for pack in packs] if wanted else ():
        for name in wanted.intersection(there):
            known.setdefault(name, set()).update(filter(None, there[name]))
    found = {one.name for one in told if one.proof == "code"}
    return [
        msgspec.structs.replace(one, absent_code=_near(one.version, known.get(one.name, set())))
        if one.name in wanted and one.proof == "text" and one.name not in found
        else one
        for one in told
    ]


def _near(version: str | None, known: Collection[str]) -> list[str]:
    """All that are KNOWN, the oldest first; [] where VERSION is older or newer than all of them."""
    keys = {key: one for one in known if (key := upstream.key(one)) is not None and key[0]}
    told = upstream.key(version or "")
    if not keys or (told is not None and not min(keys) <= told <= max(keys)):
        return []
    return [keys[key] for key in sorted(keys)]


def _evidence(library: LinkedLibrary, linked: LinkedArchive) -> Evidence:
    archive = linked.archive
    return Evidence(
        kind="fingerprint",
        archive=archive.name,
        package=" ".join(word for word in (archive.package, archive.package_version) if word) or None,
        distribution=archive.distribution,
        sections_matched=linked.sections,
        sections_total=archive.sections,
        members_matched=linked.members,
        members_total=archive.members,
        bytes_matched=linked.size,
        fits=list(library.fits) if len(library.fits) > 1 else None,
        doubt=library.doubt,
    )
