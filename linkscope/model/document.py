"""What every document has in common: frozen, keyword-only structs, and how text from files enters them."""

from __future__ import annotations

import binascii
import os

import msgspec

PACKED = "!"
"""Ends the name of an archive in the path of what is in it: ARCHIVE!/MEMBER."""
WITHIN = f"{PACKED}/"
"""Parts an archive from its member in a path."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the contract. `None` means "not asked for" or "cannot be told"; a field's docstring says which."""


class AnalysisError(Document, frozen=True, kw_only=True, omit_defaults=True):
    """Something named on the command line that could not be analysed. script: the interpreter that a script names."""

    path: str
    error: str
    path_bytes: str | None = None
    script: str | None = None


def text(value: str) -> str:
    """VALUE fit for JSON: bytes that were no UTF-8 (surrogates, as os.fsdecode leaves them) become U+FFFD."""
    if value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def exact_bytes(value: str) -> str | None:
    """The exact bytes of a path in base64 where `text` had to change it; None where it did not."""
    if value.isascii() or text(value) == value:
        return None
    return binascii.b2a_base64(os.fsencode(value), newline=False).decode("ascii")
