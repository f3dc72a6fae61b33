"""Which libraries the banners in a file's read-only data prove to be inside it, and of which version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import banners, texts, upstream
from linkscope.contents.limits import Met, unheard
from linkscope.contents.needles import needles
from linkscope.model.inspect import Content, Evidence

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_MOST_TEXTS = 16  # of one library that are kept as evidence
# How often rows are tried in one file, and each of them half of that. Node.js, Bun, Deno and ffmpeg take 6 000 and
# 44 000 at the most, and Node.js one of them 4 318 times (observed); the slowest row takes 0.6 ms, a number 4 µs.
_MOST_TRIES, _MOST_NUMBERS = 1 << 14, 1 << 20
_LONGEST_SHOWN = 120


class Sighting(msgspec.Struct, frozen=True):
    """A banner found: the text that fits its row, and the version that this tells."""

    row: banners.Row
    text: str
    version: str | None


def contents(reader: Reader, image: Image, names: frozenset[str] | None = None, met: Met = unheard) -> list[Content]:
    """The libraries inside, by name; also the one that the file itself is, where its banner says so.

    Where a library's own code has several versions in it, each is an entry, the oldest first.
    names: of the libraries that are looked for; None: all. met: is told of bounds. Raises MalformedElf and
    FileUnreadable.
    """
    places = texts.areas(reader, image)
    every = (*banners.rows(), *banners.path_rows(), *banners.text_rows())
    wanted = [row for row in every if names is None or row.library.name in names]
    needed = _needed({row.library.name: row.library for row in wanted if row.banner.header}, image)
    rows = [row for row in wanted if not (row.banner.header and row.library.name in needed)]
    there: set[bytes] = set()
    tries, numbers = _Tries(_MOST_TRIES), _Tries(_MOST_NUMBERS)
    sightings = [*_by_anchor(reader, places, rows, there, tries), *_by_number(reader, places, rows, numbers)]
    sightings += _written(reader, image, rows, {seen.row.library.name for seen in sightings}, tries)
    if tries.refused:
        met("texts")
    if numbers.refused:
        met("numbers")
    kept = [seen for seen in sightings if there.issuperset(seen.row.beside) and there.isdisjoint(seen.row.without)]
    by_library: dict[str, list[Sighting]] = {}
    for sighting in kept:
        by_library.setdefault(sighting.row.library.name, []).append(sighting)
    return [
        content for name, seen in sorted(by_library.items()) for content in _of_library(name, list(_that_prove(seen)))
    ]


def _needed(libraries: dict[str, banners.Library], image: Image) -> set[str]:
    """The names of those of LIBRARIES that the file takes from a shared one."""
    return {name for name, library in libraries.items() if banners.is_needed(library, image)}


def _by_anchor(
    reader: Reader, places: list[texts.Area], rows: list[banners.Row], there: set[bytes], tries: _Tries
) -> Iterator[Sighting]:
    """What fits the rows that are found by their anchors; THERE gets the texts that must or must not stand beside."""
    by_anchor: dict[bytes, list[banners.Row]] = {}
    for row in rows:
        if not row.is_number:
            by_anchor.setdefault(row.anchor, []).append(row)
    beside = {text for row in rows for text in (*row.beside, *row.without)}
    for needle, text in texts.holding(reader, places, needles(frozenset({*by_anchor, *beside}))):
        if needle in beside:
            there.add(needle)
        for row in by_anchor.get(needle, ()):
            yield from tries.told(row, text)


def _written(
    reader: Reader, image: Image, rows: list[banners.Row], seen: set[str], tries: _Tries
) -> Iterator[Sighting]:
    """What fits the hints that stand in writable data: only of libraries of which something was SEEN elsewhere."""
    wanted = [row for row in rows if row.banner.written and row.library.name in seen]
    if wanted:
        yield from _by_anchor(reader, texts.written_areas(reader, image), wanted, set(), tries)


def _by_number(reader: Reader, places: list[texts.Area], rows: list[banners.Row], tries: _Tries) -> Iterator[Sighting]:
    """What fits the other rows, once for each text."""
    numbers = [(row.anchor, row) for row in rows if row.is_number]
    seen: set[bytes] = set()
    for text in texts.dotted(reader, places) if numbers else ():
        if text not in seen:
            if len(text) < _LONGEST_SHOWN:  # only what may well stand there twice
                seen.add(text)
            for anchor, row in numbers:
                if anchor in text:
                    yield from tries.told(row, text)


class _Tries:
    """How often rows may still be tried on texts of one file, which could repeat what is slow to be refused.

    refused: whether one was not tried any more.
    """

    def __init__(self, most: int) -> None:
        self.refused = False
        self._left = most
        self._most_of_one = most // 2
        self._tried: dict[banners.Row, int] = {}
        self._told: dict[banners.Row, int] = {}

    def told(self, row: banners.Row, text: bytes) -> Iterator[Sighting]:
        """What ROW makes of TEXT."""
        known, tried = self._told.get(row, 0), self._tried.get(row, 0)
        if known >= _MOST_TEXTS:
            return
        if tried >= self._most_of_one or not self._left:
            self.refused = True
            return
        self._tried[row] = tried + 1
        self._left -= 1
        told = row.told_by(text)
        if told is not None:
            self._told[row] = known + 1
            yield Sighting(row, *told)


def _that_prove(seen: list[Sighting]) -> Iterator[Sighting]:
    """What counts of all that was SEEN of one library: enough of its texts, where it has no banner; hints with either.

    Texts are proofs of the same code as the banner that a file has as well, of which they say nothing more.
    """
    counts: dict[banners.Texts, set[str]] = {}
    for one in seen:
        if one.row.texts is not None:
            counts.setdefault(one.row.texts, set()).add(one.text)
    enough = {every for every, found in counts.items() if len(found) >= every.least}
    firm = [one for one in seen if one.row.texts is None and not one.row.banner.hint]
    if firm or enough:
        told = any(_rank(one.row.banner) == 0 for one in firm)
        for one in seen:
            if one.row.texts is None or (one.row.texts in enough and not told):
                yield one


def _of_library(name: str, found: list[Sighting]) -> Iterator[Content]:
    """One library with all its texts, once for each version of its own code, the oldest first.

    What tells no version stands with the oldest.
    """
    apart = _versions_apart(found)
    entries: dict[str | None, list[Sighting]] = {version: [] for version in apart}
    for one in found:
        entries.setdefault(one.version if one.version in apart else next(iter(apart), None), []).append(one)
    for own in entries.values():
        yield _content(name, own)


def _versions_apart(found: Iterable[Sighting]) -> list[str]:
    """The versions that the library's own code has in it, the oldest first, where one text is there in several.

    [] where there is one at most. What its other texts tell may count otherwise, or be less exact.
    """
    by_row: dict[banners.Row, set[str]] = {}
    for one in found:
        if one.version is not None and _rank(one.row.banner) == 0:
            by_row.setdefault(one.row, set()).add(one.version)
    several = {version for versions in by_row.values() if len(versions) > 1 for version in versions}
    return sorted(several, key=_ordered)


def _content(name: str, found: list[Sighting]) -> Content:
    """One library with all its texts, hints last: first those that tell the version, then as they stand in the file."""
    version = _version(found)
    ordered = sorted(found, key=lambda one: (one.row.banner.hint, one.version != version, _rank(one.row.banner)))
    proofs = [text for sighting in ordered for text in _proofs(sighting, version)]
    evidence = [Evidence(kind="banner", text=text) for text in dict.fromkeys(map(_shown, proofs))]
    return Content(name=name, ecosystem="generic", version=version, evidence=evidence)


def _proofs(sighting: Sighting, version: str | None) -> tuple[str, ...]:
    """The texts that prove the library: of a mere number it is what stands beside that does."""
    banner = sighting.row.banner
    if banner.hint:
        return (sighting.text,) if sighting.version == version else ()
    if not banner.unique:
        return (sighting.text,)
    return (sighting.text, *banner.beside) if sighting.version == version else banner.beside


def _rank(banner: banners.Banner) -> int:
    """How well a banner tells the version: code of the library itself, then a macro, then a mere number."""
    return 2 if banner.unique or banner.hint else 1 if banner.header else 0


def _version(found: Iterable[Sighting]) -> str | None:
    """What the best of the banners say; the older version, where they say two.

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
