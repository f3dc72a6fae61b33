"""Which libraries the banners in a file's read-only data prove to be inside it, and of which version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import banners, texts, upstream
from linkscope.contents.needles import LEAST, needles
from linkscope.model.inspect import Content, Evidence

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_MOST_TEXTS = 16  # of one library that are kept as evidence
_LONGEST_SHOWN = 120


class Sighting(msgspec.Struct, frozen=True):
    """A banner found: the text that fits its row, and the version that this tells."""

    row: banners.Row
    text: str
    version: str | None


def contents(reader: Reader, image: Image, names: frozenset[str] | None = None) -> list[Content]:
    """The libraries inside, by name; also the one that the file itself is, where its banner says so.

    names: of the libraries that are looked for; None: all. Raises MalformedElf and FileUnreadable.
    """
    places = texts.areas(reader, image)
    wanted = [row for row in banners.rows() if names is None or row.library.name in names]
    rows = [row for row in wanted if not (row.banner.header and _is_needed(row.library, image))]
    there: set[bytes] = set()
    sightings = [*_by_anchor(reader, places, rows, there), *_by_number(reader, places, rows)]
    kept = [seen for seen in sightings if there.issuperset(seen.row.beside) and there.isdisjoint(seen.row.without)]
    by_library: dict[str, list[Sighting]] = {}
    for sighting in kept:
        by_library.setdefault(sighting.row.library.name, []).append(sighting)
    return [_content(name, found) for name, found in sorted(by_library.items())]


def _is_needed(library: banners.Library, image: Image) -> bool:
    return any(banners.is_called(library, name) for name in image.needed)


def _by_anchor(
    reader: Reader, places: list[texts.Area], rows: list[banners.Row], there: set[bytes]
) -> Iterator[Sighting]:
    """What fits the rows that are found by their anchors; THERE gets the texts that must or must not stand beside."""
    by_anchor: dict[bytes, list[banners.Row]] = {}
    for row in rows:
        if not _is_number(row):
            by_anchor.setdefault(row.anchor, []).append(row)
    beside = {text for row in rows for text in (*row.beside, *row.without)}
    counts: dict[banners.Row, int] = {}
    for needle, text in texts.holding(reader, places, needles(frozenset({*by_anchor, *beside}))):
        if needle in beside:
            there.add(needle)
        for row in by_anchor.get(needle, ()):
            yield from _told(row, text, counts)


def _is_number(row: banners.Row) -> bool:
    """Whether a row's anchor is too short to be found fast, and its text is found by a digit, a dot and a digit."""
    return len(row.anchor) < LEAST and not row.banner.dotless


def _by_number(reader: Reader, places: list[texts.Area], rows: list[banners.Row]) -> Iterator[Sighting]:
    """What fits the other rows, once for each text."""
    numbers = [(row.anchor, row) for row in rows if _is_number(row)]
    seen: set[bytes] = set()
    counts: dict[banners.Row, int] = {}
    for text in texts.dotted(reader, places) if numbers else ():
        if text not in seen:
            if len(text) < _LONGEST_SHOWN:  # only what may well stand there twice
                seen.add(text)
            for anchor, row in numbers:
                if anchor in text:
                    yield from _told(row, text, counts)


def _told(row: banners.Row, text: bytes, counts: dict[banners.Row, int]) -> Iterator[Sighting]:
    told = row.told_by(text) if counts.get(row, 0) < _MOST_TEXTS else None
    if told is not None:
        counts[row] = counts.get(row, 0) + 1
        yield Sighting(row, *told)


def _content(name: str, found: list[Sighting]) -> Content:
    """One library with all its texts: first those that tell the version, then by their order in the file."""
    version = _version(found)
    ordered = sorted(found, key=lambda sighting: (sighting.version != version, _rank(sighting.row.banner)))
    proofs = [text for sighting in ordered for text in _proofs(sighting, version)]
    evidence = [Evidence(kind="banner", text=text) for text in dict.fromkeys(map(_shown, proofs))]
    return Content(name=name, ecosystem="generic", version=version, evidence=evidence)


def _proofs(sighting: Sighting, version: str | None) -> tuple[str, ...]:
    """The texts that prove the library: of a mere number it is what stands beside that does."""
    banner = sighting.row.banner
    if not banner.unique:
        return (sighting.text,)
    return (sighting.text, *banner.beside) if sighting.version == version else banner.beside


def _rank(banner: banners.Banner) -> int:
    """How well a banner tells the version: code of the library itself, then a macro, then a mere number."""
    return 2 if banner.unique else 1 if banner.header else 0


def _version(found: Iterable[Sighting]) -> str | None:
    """What the best of the banners say. Where there are two versions of a library inside, the older one.

    Two mere numbers tell nothing: one of them may be of something else.
    """
    by_rank: dict[int, set[str]] = {}
    for sighting in found:
        if sighting.version is not None:
            by_rank.setdefault(_rank(sighting.row.banner), set()).add(sighting.version)
    if not by_rank:
        return None
    best = min(by_rank)
    if len(by_rank[best]) > 1 and best == 2:
        return None
    return min(by_rank[best], key=_ordered)


def _ordered(version: str) -> tuple[upstream.Key, str]:
    return upstream.key(version) or ((), ()), version


def _shown(text: str) -> str:
    """A banner in one line, without the spaces around it and what is no character of a text."""
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return line if len(line) <= _LONGEST_SHOWN else line[: _LONGEST_SHOWN - 1] + "…"
