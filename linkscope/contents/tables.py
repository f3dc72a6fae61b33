"""The tables of known libraries that lie beside the code: TOML, several files for one kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypeVar

import msgspec

_Table = TypeVar("_Table", bound=msgspec.Struct)


def all_tables(folder: str, kind: type[_Table]) -> Iterator[_Table]:
    """Every table in FOLDER as one of KIND, by the tables' names.

    Raises msgspec.ValidationError for what is not of that kind; it names the table and the place in it.
    """
    for name in sorted(os.listdir(folder)):
        if name.endswith(".toml"):
            with open(os.path.join(folder, name), "rb") as file:
                try:
                    yield msgspec.toml.decode(file.read(), type=kind)
                except msgspec.ValidationError as error:
                    raise msgspec.ValidationError(f"{name}: {error}") from error
