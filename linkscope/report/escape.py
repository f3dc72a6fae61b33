"""Text out of files made safe to show: nothing that a terminal would act on, and nothing that would be invisible."""

from __future__ import annotations

import binascii
import os


def escape(text: str) -> str:
    r"""TEXT with each character that does not print made visible: `\x1b`, `\u202e`, `\xff` for a byte of no UTF-8.

    Not printable are control characters, format characters (among them those that turn the direction of text),
    separators other than the space, surrogates and unassigned code points (Python, str.isprintable; Unicode
    categories C* and Z*). Escaping what has been escaped changes nothing.
    """
    if text.isprintable():
        return text
    return "".join([character if character.isprintable() else _visible(ord(character)) for character in text])


def _visible(code: int) -> str:
    # os.fsdecode keeps a byte that is no UTF-8 as a surrogate, 0xDC00 above it (PEP 383).
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted(name: str) -> str:
    """NAME as it stands in a sentence: in quotation marks where it is empty or holds a space."""
    return f'"{name}"' if not name or " " in name else name


def exact(path: str, path_bytes: str | None) -> str:
    """A document's PATH with the exact bytes that stand beside it (base64), as os.fsdecode gives them."""
    return path if path_bytes is None else os.fsdecode(binascii.a2b_base64(path_bytes))
