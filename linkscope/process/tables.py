"""The tables of facts in this room: TOML files, checked against a type when they are read."""

from __future__ import annotations

import os
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_table(name: str, shape: type[T]) -> T:
    """What the file NAME, as seen from this folder, says.

    msgspec.ValidationError names the place of what does not fit SHAPE.
    """
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return msgspec.toml.decode(file.read(), type=shape)
