"""Compact relocations (DT_RELR) under a loader that does not know them: it passes them over, and the program crashes.

glibc knows them since 2.36 (its NEWS), and its libc.so.6 then defines GLIBC_ABI_DT_RELR; a distribution may have given
both to an older release. musl knows them since 1.2.4 (ldso/dynlink.c, do_relr_relocs).
"""

from __future__ import annotations

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.versions import RELR_VERSION
from linkscope.loader import problems
from linkscope.loader.glibc import Glibc
from linkscope.loader.linkmap import LinkMap
from linkscope.loader.program import Start
from linkscope.model.inspect import Problem


def has_relr(image: Image) -> bool:
    """Whether a file has compact relocations."""
    return any(tag == c.DT_RELR for tag, _ in image.dynamic or ())


def says_relr(image: Image) -> bool:
    """Whether a file asks for the version that stands for them."""
    return any(version.name == RELR_VERSION for need in image.verneed for version in need.versions)


def check_relr(start: Start) -> list[Problem]:
    """A problem for each object whose relocations the loader leaves out, in link-map order.

    Nothing of a file that asks glibc for the version: that is missing, and the start ends there.
    """
    rules, link_map = start.rules, start.link_map
    if rules is None or rules.without_relr is None or _defines(link_map):
        return []
    looks = isinstance(rules, Glibc)
    return [
        problems.unknown_relocations(one.path or one.requested, rules.without_relr)
        for one in link_map.objects
        if one.role != "interpreter" and one.image is not None and has_relr(one.image)
        if not (looks and says_relr(one.image))
    ]


def _defines(link_map: LinkMap) -> bool:
    """Whether what answers to libc.so.6 defines the version all the same."""
    return any(
        definition.name == RELR_VERSION
        for loaded in link_map.by_name.get("libc.so.6", ())
        for definition in (loaded.image.verdef if loaded.image else None) or ()
    )
