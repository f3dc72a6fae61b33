"""Signatures for people: which archives are known, whose they are, and how much of them can be recognised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from linkscope.model.sigs import SignedArchive, SigsDocument
from linkscope.report.page import INDENT, LABEL, Page, Span, paint, words
from linkscope.report.table import Column, table

_COLUMNS = (
    Column(title="library", least=16),
    Column(title="version", least=12),
    Column(title="package", least=24, middle=True),
    Column(title="package version", spare=4),
    Column(title="release"),
    Column(title="machine", spare=1),
    Column(title="sections", right=True, spare=3),
    Column(title="archives", least=18, spare=2),
    Column(title="in"),
)
_WIDE = 120  # columns of a page on which several archives of a package find room
_SHOWN = 4  # of these


def render_list(document: SigsDocument, page: Page) -> Iterator[str]:
    """The pieces of the text, newlines included: a table with a row for each package of each release.

    Where all are in one place, the sum below says in which.
    """
    shown = _SHOWN if page.width is None or page.width >= _WIDE else 1
    mixed = len({archive.shipped for archive in document.archives}) > 1
    alike = (list(group) for _, group in groupby(sorted(document.archives, key=_package), key=_package))
    rows = [_row(archives, shown, mixed) for archives in alike]
    if rows:
        for line in table(_COLUMNS, rows, page, indent=0):
            yield paint(line, page) + "\n"
    yield paint([(_sum(document), "faint")], page) + "\n"


def render_details(document: SigsDocument, page: Page) -> Iterator[str]:
    """The pieces of the text, newlines included: all that is known of each archive."""
    for place, archive in enumerate(document.archives):
        if place:
            yield "\n"
        for line in _details(archive, page):
            yield paint(line, page) + "\n"


def _package(archive: SignedArchive) -> tuple[str, ...]:
    """What the archives of one row have in common; one that is of no package stands alone."""
    own = archive.package or f"{archive.origin}\0{archive.id}"
    package = archive.package_version or "", archive.distribution or ""
    return (archive.library or "", archive.version or "", own, *package, "" if archive.shipped else "own")


def _row(archives: Sequence[SignedArchive], shown: int, mixed: bool) -> list[Span]:
    """The cells of a package. shown: so many of its archives; mixed: whether others are in another place."""
    first = archives[0]
    place = ("shipped", "faint") if first.shipped else ("store", "good")
    return [
        (first.library or first.name, "name"),
        (first.version or "", ""),
        (first.package or first.origin, ""),
        (first.package_version or "", ""),
        (first.distribution or "", ""),
        (", ".join(sorted({archive.architecture for archive in archives})), ""),
        (str(sum(archive.recognised for archive in archives)), ""),
        (_names(archives, shown), "faint"),
        place if mixed else ("", ""),
    ]


def _names(archives: Sequence[SignedArchive], shown: int) -> str:
    """The names of the archives, those with the most code first: `libc.a, libm.a, 7 more`."""
    sizes = {archive.name: archive.size for archive in archives}
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    more = len(names) - shown
    return ", ".join([*names[:shown], *([f"{more} more"] if more > 0 else [])])


def _sum(document: SigsDocument) -> str:
    own = sum(not archive.shipped for archive in document.archives)
    shipped = len(document.archives) - own
    parts = [*([f"{counted(shipped)} in the shipped pack"] if shipped else []), f"{counted(own)} in {document.store}"]
    return ", ".join(parts)


def counted(archives: int) -> str:
    """How many archives they are, in words."""
    return f"{archives} archive" if archives == 1 else f"{archives} archives"


def _details(archive: SignedArchive, page: Page) -> Iterator[list[Span]]:
    library = " ".join(word for word in (archive.library, archive.version) if word)
    package = " ".join(word for word in (archive.package, archive.package_version) if word)
    yield [(archive.name, "title"), (f"  {library}" if library else "", "name")]
    facts = [
        ("package", package or "none"),
        ("distribution", archive.distribution or "not known"),
        ("machine", archive.architecture),
        ("code", _code(archive)),
        ("learnt from", archive.origin),
        ("in", "the shipped pack" if archive.shipped else "the store"),
        ("id", archive.id),
    ]
    for label, fact in facts:
        yield from words(fact, "", page, [(f"{'':{INDENT}}{label:<{LABEL}}", "faint")])


def _code(archive: SignedArchive) -> str:
    said = (
        f"{archive.size} bytes in {archive.sections} sections of {archive.members} members, "
        f"of which {archive.recognised} sections can be recognised"
    )
    return f"{said}; {archive.bitcode} members are for a link-time optimiser alone" if archive.bitcode else said
