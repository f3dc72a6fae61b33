"""The banners of libraries: texts that stand in a library's own compiled code, and so tell that it is inside a file.

They are tables, `banners/*.toml`, a file a group of libraries: whoever adds a library adds an entry there. A text is
searched for as it stands between the NUL bytes of read-only data. What a text proves depends on where it stands in the
library's source: a variable of its own code is there only with that code, a macro of a public header is in clients too.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Annotated

import msgspec

from linkscope.contents.tables import all_tables

_FOLDER = os.path.join(os.path.dirname(__file__), "banners")
# What auditwheel puts into the names of the libraries that it brings along: eight digits of a hash.
_GRAFTED = re.compile(r"-[0-9a-f]{8}(?=[.])")
# A text begins behind a byte that is no character of a text, and ends before NUL.
_BEGINS, _ENDS = rb"(?:\A|(?<=[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]))", rb"(?=\x00|\Z)"
_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Banner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text by which a library is known.

    anchor: a part of it that never changes, which is looked for first. pattern: a regular expression for it.
    version: how the version is made of the pattern's named groups; without groups the text tells no version.
    whole: the pattern is the whole text, from NUL to NUL; else it may stand anywhere in one.
    header: it is a macro in a public header of the library, so that a client has it as well: it says nothing of a file
    that needs the library as a shared one. beside: texts of the library's own code, all of which must be in the file
    too, for what a client may have as well, or a stranger. without: texts of a fork that has this one as well: with one
    of them in the file, it says nothing. unique: a mere number; where two different ones fit, the
    version is unknown.
    dotless: it has no digit, dot and digit, by which those with an anchor of less than seven bytes are found.
    source: the file in the library's source that has it. examples: texts, each with the version that it tells ("" is
    none); refuses: texts that are something else.
    """

    anchor: _Text
    pattern: _Text
    version: str = "{version}"
    whole: bool = False
    header: bool = False
    beside: tuple[_Text, ...] = ()
    without: tuple[_Text, ...] = ()
    unique: bool = False
    dotless: bool = False
    source: _Text
    examples: dict[_Text, str]
    refuses: tuple[_Text, ...]


class Library(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A library with its banners. name: as Repology lists it; sonames: expressions for the whole of its sonames."""

    name: _Text
    sonames: tuple[_Text, ...]
    banner: tuple[Banner, ...]


class Row(msgspec.Struct, frozen=True, eq=False):
    """One banner, ready to be looked for. A row is only equal to itself."""

    library: Library
    banner: Banner
    anchor: bytes
    beside: tuple[bytes, ...]
    without: tuple[bytes, ...]

    def told_by(self, text: bytes) -> tuple[str, str | None] | None:
        """What fits in TEXT, and the version that it tells; None where nothing fits.

        TEXT: as it stands in the file, with the NUL bytes around it.
        """
        match = _compiled(self.banner.pattern, self.banner.whole).search(text)
        if match is None:
            return None
        groups = {name: (value or b"").decode("ascii", "replace") for name, value in match.groupdict().items()}
        return match.group().decode("utf-8", "replace"), self.banner.version.format_map(groups) if groups else None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    library: tuple[Library, ...]


@cache
def _compiled(pattern: str, whole: bool) -> re.Pattern[bytes]:
    """Compiled when first wanted: an anchor is met in few files, and a hundred expressions take a tenth of a second."""
    expression = pattern.encode("latin-1")
    return re.compile(_BEGINS + b"(?:" + expression + b")" + _ENDS if whole else expression)


def read_libraries(folder: str = _FOLDER) -> tuple[Library, ...]:
    """The libraries of all tables in FOLDER, by the tables' names. Raises as `all_tables` does."""
    return tuple([library for table in all_tables(folder, _File) for library in table.library])


@cache
def libraries() -> tuple[Library, ...]:
    """The libraries that LinkScope knows by a banner, read once."""
    return read_libraries()


@cache
def rows() -> tuple[Row, ...]:
    """The banners of all libraries."""
    return tuple(
        Row(library, banner, _latin(banner.anchor), _all_latin(banner.beside), _all_latin(banner.without))
        for library in libraries()
        for banner in library.banner
    )


def _latin(text: str) -> bytes:
    return text.encode("latin-1")


def _all_latin(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(map(_latin, texts))


def is_called(library: Library, soname: str) -> bool:
    """Whether SONAME is one of the library's own, with or without the hash that auditwheel puts into it."""
    plain = _GRAFTED.sub("", soname.rpartition("/")[2])
    return any(re.fullmatch(pattern, plain) for pattern in library.sonames)
