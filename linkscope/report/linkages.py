"""What a program is called by how it is linked."""

from __future__ import annotations

from linkscope.model.inspect import Linkage

_NAMES = {
    ("dynamic", True): "dynamic PIE",
    ("dynamic", False): "dynamic executable, not PIE",
    ("dynamic", None): "dynamic executable",
    ("static", True): "static PIE",
    ("static", False): "static executable, not PIE",
    ("static", None): "static executable",
}


def program(linkage: Linkage | None, pie: bool | None) -> str:
    """`dynamic PIE`, `static executable, not PIE`; where the file cannot be read, that."""
    return "program that cannot be read" if linkage is None else _NAMES[linkage, pie]
