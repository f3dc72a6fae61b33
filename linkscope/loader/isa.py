"""Whether each object of a link map runs on the assumed CPU, by the level that its x86 property asks for.

Source: glibc sysdeps/x86/dl-prop.h, dl_isa_level_check (since 2.33): a file above the CPU ends the start.
"""

from __future__ import annotations

from linkscope.elf import constants as c
from linkscope.loader import problems
from linkscope.loader.environment import Cpu
from linkscope.loader.ldso import LoaderFacts
from linkscope.loader.linkmap import LinkMap
from linkscope.model.inspect import Problem

_LEVELS = ("x86-64 baseline", "x86-64-v2", "x86-64-v3", "x86-64-v4", "unknown (above x86-64-v4)")


def check_isa_levels(link_map: LinkMap, facts: LoaderFacts, cpu: Cpu) -> list[Problem]:
    """A problem for each object above CPU, in link-map order; none from loaders that do not look (before 2.33)."""
    if facts.before(2, 33) or not cpu.level:
        return []
    offered = (1 << cpu.level) - 1
    found = []
    for loaded in link_map.objects:
        image = loaded.image
        if image is None or not image.x86_isa_needed & ~offered or image.machine != c.EM_X86_64:
            continue
        highest = min(image.x86_isa_needed.bit_length() - 1, len(_LEVELS) - 1)
        found.append(problems.isa_level(loaded.path or loaded.requested, _LEVELS[highest], _LEVELS[cpu.level - 1]))
    return found
