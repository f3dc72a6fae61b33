"""A header of an RPM package: tags, each with numbers or strings somewhere in one block of data.

Source: the RPM package format, https://rpm-software-management.github.io/rpm/manual/format_v4.html; rpm lib/header.cc.
Tags may point anywhere and claim any count. So a table has at most as many rows as a package may have members, numbers
stay in arrays and strings in the block, and a path is put together when it is asked for.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import overload

from linkscope.packages.limits import Broken, Limits, Overrun
from linkscope.packages.metadata import Metadata

MOST_TAGS = 0xFFFF  # rpm lib/header_internal.hh, hdrchkTags
MOST_DATA = 32 << 20  # bytes; rpm takes 256 MiB, the largest header in practice (kernel sources) has some 10
LONGEST = 4096  # bytes of a name or target: PATH_MAX
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE = 1000, 1001, 1002, 1003, 1022, 1044
_DIRECTORIES, _BASENAMES, _FOLDERS = 1116, 1117, 1118
_NUMBERS = {2: "B", 3: "H", 4: "I", 5: "Q"}  # the types INT8 to INT64
_STRINGS = (6, 8, 9)  # STRING, STRING_ARRAY, I18NSTRING
_SOURCE_ENDING = re.compile(r"\.(no)?src\.rpm$")


class Strings(Sequence[str]):
    """COUNT strings that end with NUL, one after the other in DATA from OFFSET on, or as many as there are.

    Raises Broken where one is longer than a path can be.
    """

    def __init__(self, data: bytes, offset: int, count: int) -> None:
        self._data = data
        self._starts = array("I")
        self._end = offset  # behind the last one's NUL
        for _ in range(count):
            end = data.find(b"\0", self._end, self._end + LONGEST + 1)
            if end < 0:
                if len(data) - self._end > LONGEST:
                    raise Broken(f"is damaged: a string of more than {LONGEST} bytes in its header")
                return
            self._starts.append(self._end)
            self._end = end + 1

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        start = self._starts[index]
        end = self._data.find(b"\0", start)
        return self._data[start:end].decode("utf-8", "surrogateescape")


class Header:
    """The tags of one header. index: its entries, sixteen bytes each; data: what they point into."""

    def __init__(self, index: bytes, data: bytes, limits: Limits) -> None:
        entries = struct.iter_unpack(">IIII", index)
        self._tags = {tag: (kind, at, count) for tag, kind, at, count in entries}
        self._data = data
        self._limits = limits

    def strings(self, tag: int) -> Sequence[str]:
        """The strings of a tag; none where it is absent or not of strings. Raises Broken and Overrun."""
        kind, offset, count = self._tags.get(tag, (0, 0, 0))
        if kind not in _STRINGS:
            return ()
        return Strings(self._data, offset, self._bounded(count))

    def numbers(self, tag: int) -> Sequence[int]:
        """The numbers of a tag; none where it is absent, not of numbers, or cut off. Raises Overrun."""
        kind, offset, count = self._tags.get(tag, (0, 0, 0))
        letter = _NUMBERS.get(kind)
        if letter is None:
            return ()
        found = array(letter)
        end = offset + self._bounded(count) * found.itemsize
        if end > len(self._data):
            return ()
        found.frombytes(self._data[offset:end])
        if sys.byteorder == "little":
            found.byteswap()
        return found

    def _bounded(self, count: int) -> int:
        if count > self._limits.members:
            raise Overrun(f"has a header of more than {self._limits.members} files; nothing of it is looked at")
        return count

    def _text(self, tag: int) -> str | None:
        """The first string of a tag."""
        kind, offset, count = self._tags.get(tag, (0, 0, 0))
        return next(iter(Strings(self._data, offset, min(count, 1))), None) if kind in _STRINGS else None

    def metadata(self) -> Metadata:
        """Name, version (with epoch and release), architecture and source package. Raises Broken and Overrun."""
        version, release, source = (self._text(tag) for tag in (_VERSION, _RELEASE, _SOURCE))
        epoch = "".join(f"{number}:" for number in self.numbers(_EPOCH)[:1])
        return Metadata(
            name=self._text(_NAME),
            version=f"{epoch}{version}-{release}" if version else None,
            architecture=self._text(_ARCH),
            source=_source(source)[0] if source else None,
            source_version=_source(source)[1] if source else None,
        )

    def names(self) -> Iterator[str]:
        """The paths of the files, in order. Raises Broken and Overrun."""
        folders, left = self.strings(_FOLDERS), self._limits.names
        for number, name in zip(self.numbers(_DIRECTORIES), self.strings(_BASENAMES), strict=False):
            if number >= len(folders):
                raise Broken(f"is damaged: no folder {number} in its header")
            path = folders[number] + name
            left -= len(path)
            if left < 0:
                raise Overrun(f"has files whose names take more than {self._limits.names} bytes")
            yield path


def _source(file: str) -> tuple[str | None, str | None]:
    """Name and version in the name of a source package's FILE, `zlib-1.2.13-5.fc39.src.rpm`: zlib and 1.2.13-5.fc39.

    None and None where it is called otherwise. The epoch is not in it.
    """
    parts = file.rsplit("-", 2)
    if len(parts) < 3:
        return None, None
    release = _SOURCE_ENDING.sub("", parts[2])
    return parts[0], f"{parts[1]}-{release}"
