"""For which platforms a wheel says it is, by its file name or by its own file WHEEL."""

from __future__ import annotations

import os

from linkscope.packages.metadata import Metadata

_PARTS = (5, 6)  # name, version, perhaps a build number, Python, ABI, platforms


def platforms(path: str, metadata: Metadata) -> tuple[str, ...]:
    """The platform tags of the wheel at PATH, in small letters and in their order (`manylinux_2_17_x86_64`, `any`).

    Installers choose a wheel by its file name alone, in which `.` parts several platforms. Of one that is not called
    as a wheel has to be, the tags in WHEEL are given: by those it was built.
    Source: PyPA, Binary distribution format (PEP 427) and Platform compatibility tags (PEP 425).
    """
    name = os.path.basename(path)
    parts = name.removesuffix(".whl").split("-")
    if name.endswith(".whl") and len(parts) in _PARTS:
        told = [parts[-1]]
    else:
        told = [tag.rpartition("-")[2] for tag in metadata.tags]
    return tuple(dict.fromkeys(tag for one in told for tag in one.strip().lower().split(".") if tag))
