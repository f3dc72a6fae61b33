"""The documents as JSON: one whole, written piece by piece, or one line for each file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from linkscope.model.document import AnalysisError
from linkscope.model.inspect import File, InspectDocument

_encode = msgspec.json.Encoder().encode


def whole(document: msgspec.Struct) -> bytes:
    """DOCUMENT in one line."""
    return _encode(document) + b"\n"


def streamed(results: Iterable[File | AnalysisError]) -> Iterator[bytes]:
    """The same bytes as `whole` of an InspectDocument, of which only one file is held at a time."""
    empty = _encode(InspectDocument(files=[], errors=[]))
    start, between, end = empty.partition(b'],"errors":[')
    errors: list[AnalysisError] = []
    separator = start
    for result in results:
        if isinstance(result, File):
            yield separator + _encode(result)
            separator = b","
        else:
            errors.append(result)
    yield (b"" if separator == b"," else start) + between + b",".join(map(_encode, errors)) + end + b"\n"


def lines(results: Iterable[File | AnalysisError]) -> Iterator[bytes]:
    """One line for each file; errors are not among them."""
    return (_encode(result) + b"\n" for result in results if isinstance(result, File))


def visible(encoded: bytes) -> bytes:
    r"""The same JSON with everything that does not print as `\u` escapes: what a terminal may be shown."""
    text = encoded.decode("utf-8")
    if text.isascii() and "\x7f" not in text:
        return encoded
    return "".join([c if c.isprintable() or c == "\n" else _escaped(c) for c in text]).encode("utf-8")


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join([f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4)])
