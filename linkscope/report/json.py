"""The documents as JSON: one whole, written piece by piece, or one line for each file or process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from linkscope.model.document import AnalysisError
from linkscope.model.inspect import File, InspectDocument

_encode = msgspec.json.Encoder().encode


class Form(msgspec.Struct, frozen=True):
    """How results make up a document. empty: the document of none.

    keys: which of its lists takes the results of which type. That of the first comes first in the document, and is
    written as it grows; the others are short, and held until the end.
    """

    empty: msgspec.Struct
    keys: Mapping[type, str]


FILES = Form(InspectDocument(files=[], errors=[]), {File: "files", AnalysisError: "errors"})
"""The document of `linkscope inspect`."""


def whole(document: msgspec.Struct) -> bytes:
    """DOCUMENT in one line."""
    return _encode(document) + b"\n"


def streamed(results: Iterable[msgspec.Struct], form: Form = FILES) -> Iterator[bytes]:
    """The same bytes as `whole` of the document of all RESULTS, of which only one is held at a time."""
    first, *others = form.keys.values()
    begun, opened, _ = _encode(form.empty).partition(f'"{first}":['.encode())
    head = begun + opened
    held: dict[str, list[msgspec.Struct]] = {key: [] for key in others}
    separator = head
    for result in results:
        key = form.keys[type(result)]
        if key == first:
            yield separator + _encode(result)
            separator = b","
        else:
            held[key].append(result)
    rest = msgspec.structs.replace(form.empty, **{key: values for key, values in held.items() if values})
    yield (b"" if separator == b"," else head) + _encode(rest).removeprefix(head) + b"\n"


def lines(results: Iterable[msgspec.Struct], kinds: tuple[type, ...] = (File,)) -> Iterator[bytes]:
    """One line for each result that is of one of KINDS; errors are not among them."""
    return (_encode(result) + b"\n" for result in results if isinstance(result, kinds))


def visible(encoded: bytes) -> bytes:
    r"""The same JSON with everything that does not print as `\u` escapes: what a terminal may be shown."""
    text = encoded.decode("utf-8")
    if text.isascii() and "\x7f" not in text:
        return encoded
    return "".join([c if c.isprintable() or c == "\n" else _escaped(c) for c in text]).encode("utf-8")


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join([f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4)])
