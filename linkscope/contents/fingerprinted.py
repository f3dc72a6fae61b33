"""What the fingerprints of code say of a file, as its document has it."""

from __future__ import annotations

from collections.abc import Sequence

from linkscope.contents.attribution import Found
from linkscope.contents.releases import LinkedArchive, LinkedLibrary
from linkscope.model.inspect import Code, CodeShare, Content, Evidence


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

    told: the file's contents by all that proves them: of a library that is there once, their version is the share's.
    """
    versions: dict[str, list[str | None]] = {}
    for content in told:
        if content.ecosystem == "generic":
            versions.setdefault(content.name, []).append(content.version)
    shares = []
    for one in found.libraries:
        there = versions.get(one.name, [])
        version = there[0] if len(there) == 1 else one.version
        shares.append(CodeShare(name=one.name, version=version, size=one.size))
    return Code(size=found.size, attributed=found.attributed, libraries=shares)


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
    )
