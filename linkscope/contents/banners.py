"""The banners of libraries: texts that stand in a library's own compiled code, and so tell that it is inside a file.

They are tables, `banners/*.toml`, a file a group of libraries: whoever adds a library adds an entry there. A text is
searched for as it stands between the NUL bytes of read-only data. What a text proves depends on where it stands in the
library's source: a variable of its own code is there only with that code, a macro of a public header is in clients too.

A linker may have left out the banner, as nothing refers to it. Then the other texts of the library's code tell, which
are in no other's, many of them together; and the paths of its sources, which assertions and messages leave (__FILE__).
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from linkscope.contents.needles import LEAST
from linkscope.contents.tables import all_tables

if TYPE_CHECKING:
    from linkscope.elf.image import Image

_FOLDER = os.path.join(os.path.dirname(__file__), "banners")
# What auditwheel puts into the name of a file that it brings along, behind all before the first dot (repair.py,
# copylib): eight digits of a hash. It is the name of the file, with the whole version, and becomes the soname.
_GRAFTED = re.compile(r"-[0-9a-f]{8}(?=\.)")
# A text begins behind a byte that is no character of a text, and ends before NUL.
_BEGINS, _ENDS = rb"(?:\A|(?<=[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]))", rb"(?=\x00|\Z)"
_LONGEST_FOLDERS = 400  # characters before the part of a path that tells
_LONGEST_NUMBER = 64  # bytes of a text that is hardly more than a version
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Anchor = Annotated[str, msgspec.Meta(min_length=LEAST)]  # shorter ones take a search each


class Banner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text by which a library is known.

    anchor: a part of it that never changes, which is looked for first. pattern: a regular expression for it.
    version: how the version is made of the pattern's named groups; without groups the text tells no version.
    whole: the pattern is the whole text, from NUL to NUL; else it may stand anywhere in one.
    header: it is a macro in a public header of the library, so that a client has it as well: it says nothing of a file
    that needs the library as a shared one. beside: texts of the library's own code, all of which must be in the file
    too, for what a client may have as well, or a stranger. without: texts of a fork that has this one as well: with one
    of them in the file, it says nothing. unique: a mere number; where two different ones fit, the
    version is unknown. hint: it tells the version and proves nothing, as a stranger may have it: it counts where
    something else proves the library, and where nothing better tells its version. written: a hint that stands in what
    the program may write, too, as its source made a variable of it.
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
    hint: bool = False
    written: bool = False
    dotless: bool = False
    source: _Text
    examples: dict[_Text, str]
    refuses: tuple[_Text, ...]

    def __post_init__(self) -> None:
        """Raises ValueError where a text that the program may write would prove something."""
        if self.written and not self.hint:
            raise ValueError("what is `written` is a `hint` at most")


class Texts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts of a library's own code, each from NUL to NUL, that tell no version and do not prove it one by one.

    Of a file that needs the library as a shared one they say nothing: CPython has Expat's messages, too, and Perl's
    module those of zlib. least: how many of them have to be in the file. without: texts of whoever has a copy of that
    code, as in `Banner`. source: the files that have them.
    """

    texts: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=2)]
    least: Annotated[int, msgspec.Meta(ge=2)]
    without: tuple[_Text, ...] = ()
    source: _Text

    def __post_init__(self) -> None:
        """Raises ValueError where so many can never be there."""
        if self.least > len(set(self.texts)):
            raise ValueError(f"`least` is {self.least}, of {len(set(self.texts))} different `texts`")


class SourcePath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the sources of a library's own code lie, as its assertions and messages have it (__FILE__).

    anchors: one of them is in every such path. pattern: a regular expression for its end, from a folder on; the text is
    that path alone, with whatever folders before. It must not fit the headers that clients compile; of a file that
    needs the library as a shared one it says nothing. source: what builds it there. examples, refuses: as in `Banner`,
    without versions.
    """

    anchors: Annotated[tuple[_Anchor, ...], msgspec.Meta(min_length=1)]
    pattern: _Text
    source: _Text
    examples: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)]
    refuses: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1)]


class Library(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A library with its texts. name: as Repology lists it; sonames: expressions for the whole of its sonames.

    fork_of: the libraries out of which it was made, so that they have code and functions in common.
    """

    name: _Text
    sonames: tuple[_Text, ...]
    banner: tuple[Banner, ...] = ()
    texts: tuple[Texts, ...] = ()
    path: tuple[SourcePath, ...] = ()
    fork_of: tuple[_Text, ...] = ()


class Row(msgspec.Struct, frozen=True, eq=False):
    """One banner, ready to be looked for. A row is only equal to itself. texts: those of which it is one."""

    library: Library
    banner: Banner
    anchor: bytes
    beside: tuple[bytes, ...]
    without: tuple[bytes, ...]
    texts: Texts | None = None

    @property
    def is_number(self) -> bool:
        """Whether the anchor is too short to be found fast, and the text is found by a digit, a dot and a digit."""
        return len(self.anchor) < LEAST and not self.banner.dotless

    def told_by(self, text: bytes) -> tuple[str, str | None] | None:
        """What fits in TEXT, and the version that it tells; None where nothing fits.

        TEXT: as it stands in the file, with the NUL bytes around it.
        """
        first = len(text) - _LONGEST_NUMBER if self.is_number and self.banner.whole else 0  # it ends with the text
        match = _compiled(self.banner.pattern, self.banner.whole).search(text, max(first, 0))
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
    return tuple(_row(library, banner) for library in libraries() for banner in library.banner)


@cache
def path_rows() -> tuple[Row, ...]:
    """The paths of all libraries' sources, as banners that tell no version."""
    every = ((library, path) for library in libraries() for path in library.path)
    return tuple(_row(library, _of_path(path, anchor)) for library, path in every for anchor in path.anchors)


@cache
def text_rows() -> tuple[Row, ...]:
    """Each of the texts that prove a library together, as a banner that tells no version."""
    every = ((library, texts) for library in libraries() for texts in library.texts)
    return tuple(_row(library, _of_text(text, texts), texts) for library, texts in every for text in texts.texts)


def _row(library: Library, banner: Banner, texts: Texts | None = None) -> Row:
    return Row(library, banner, _latin(banner.anchor), _all_latin(banner.beside), _all_latin(banner.without), texts)


def _of_path(path: SourcePath, anchor: str) -> Banner:
    """A path as a banner that tells no version. What logs it may have set the line behind it."""
    return Banner(
        anchor=anchor,
        pattern=rf"(?:[!-~]{{0,{_LONGEST_FOLDERS}}}/)?(?:{path.pattern})(?::\d+)?",
        whole=True,
        header=True,
        dotless=True,
        source=path.source,
        examples=dict.fromkeys((example for example in path.examples if anchor in example), ""),
        refuses=path.refuses,
    )


def _of_text(text: str, texts: Texts) -> Banner:
    return Banner(
        anchor=text,
        pattern=re.escape(text),
        whole=True,
        header=True,
        dotless=True,
        without=texts.without,
        source=texts.source,
        examples={text: ""},
        refuses=(),
    )


def _latin(text: str) -> bytes:
    return text.encode("latin-1")


def _all_latin(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(map(_latin, texts))


def is_called(library: Library, soname: str) -> bool:
    """Whether SONAME is one of the library's own, with or without the hash that auditwheel puts into it."""
    plain = without_hash(soname.rpartition("/")[2])
    return any(re.fullmatch(pattern, plain) for pattern in library.sonames)


def without_hash(name: str) -> str:
    """NAME, a soname or that of a file, as it was before auditwheel put a hash into it."""
    return _GRAFTED.sub("", name, count=1)


def is_needed(library: Library, image: Image) -> bool:
    """Whether the file takes the library from a shared one; a part of the library itself needs the other parts."""
    own = image.soname is not None and is_called(library, image.soname)
    return not own and any(is_called(library, name) for name in image.needed)
