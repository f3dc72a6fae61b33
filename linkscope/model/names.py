"""What programs that stand side by side are called: by the last part of their paths, and never two of them alike."""

from __future__ import annotations

import binascii
import os
from collections import Counter
from collections.abc import Sequence
from typing import Protocol


class Named(Protocol):
    """Whatever has a path, with its exact bytes beside it (base64) where it is no UTF-8."""

    @property
    def path(self) -> str:
        """As text."""

    @property
    def path_bytes(self) -> str | None:
        """None where the text says it all."""


def short_names(named: Sequence[Named]) -> list[str]:
    r"""The name of each of NAMED: the last part of its path, where no other has the same; else the whole path.

    Bytes that are no UTF-8 are told as such (`caf\xe9`), since a sentence is text. One that is named several times has
    a number for each (`app#1`, `app#2`).
    """
    paths = [exact_text(one) for one in named]
    last = Counter(os.path.basename(path) for path in dict.fromkeys(paths))
    names = [name if last[name := os.path.basename(path)] == 1 else path for path in paths]
    return [_numbered(name, names, place) for place, name in enumerate(names)]


def exact_text(named: Named) -> str:
    r"""Its path as text that no other path has: a byte that is no UTF-8 is `\xe9`."""
    if named.path_bytes is None:
        return named.path
    return binascii.a2b_base64(named.path_bytes).decode("utf-8", "backslashreplace")


def _numbered(name: str, names: Sequence[str], place: int) -> str:
    return name if names.count(name) == 1 else f"{name}#{names[: place + 1].count(name)}"
