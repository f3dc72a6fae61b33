"""What the fingerprints of code say of a file, as its document has it."""

from __future__ import annotations

from linkscope.contents.attribution import Found, LinkedArchive, LinkedLibrary
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


def code(found: Found) -> Code:
    """How much of the executable bytes the libraries account for; each byte counts once."""
    shares = [CodeShare(name=one.name, version=one.version, size=one.size) for one in found.libraries]
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
