"""What hardware capabilities choose: the subfolders below every search folder, and which entries of the cache fit.

Source: glibc elf/dl-hwcaps.c, elf/dl-cache.c, sysdeps/**/dl-cache.h. glibc-hwcaps came with 2.33; the older names went
with 2.37.
"""

from __future__ import annotations

from linkscope.elf import constants as c
from linkscope.loader import ldcache, verify
from linkscope.loader.environment import Cpu
from linkscope.loader.ldso import LoaderFacts

# The flags of a cache entry that a loader accepts, the exact one first: (e_machine, class, mask and value of e_flags,
# accepted). Sources: glibc sysdeps/unix/sysv/linux/**/dl-cache.h and sysdeps/generic/ldconfig.h.
_CACHE_FLAGS = (
    (c.EM_X86_64, 64, 0, 0, (0x303,)),
    (c.EM_X86_64, 32, 0, 0, (0x803,)),
    (c.EM_AARCH64, 64, 0, 0, (0xA03,)),
    (c.EM_ARM, 32, 0x400, 0x400, (3, 0x903)),  # EF_ARM_ABI_FLOAT_HARD
    (c.EM_ARM, 32, 0x400, 0, (3, 0xB03)),
    (c.EM_PPC64, 64, 0, 0, (0x503,)),
    (c.EM_S390, 64, 0, 0, (0x403,)),
    (c.EM_RISCV, 64, 0x6, 0x4, (0x1003,)),  # EF_RISCV_FLOAT_ABI_DOUBLE
    (c.EM_RISCV, 64, 0x6, 0, (0xF03,)),
    (c.EM_RISCV, 32, 0x6, 0x4, (0x1003,)),
    (c.EM_RISCV, 32, 0x6, 0, (0xF03,)),
    (c.EM_MIPS, 64, 0x400, 0, (0x703,)),  # n64; EF_MIPS_NAN2008
    (c.EM_MIPS, 64, 0x400, 0x400, (0xE03,)),
    (c.EM_MIPS, 32, 0x420, 0x20, (0x603,)),  # n32: EF_MIPS_ABI2
    (c.EM_MIPS, 32, 0x420, 0x420, (0xD03,)),
    (c.EM_MIPS, 32, 0x420, 0x400, (0xC03,)),  # o32
    (c.EM_SPARCV9, 64, 0, 0, (0x103,)),
)
_GENERIC_CACHE_FLAGS = (3, 1)
# Bits of the older hwcap scheme that fit every CPU of a machine (sysdeps/x86/dl-hwcap.h); bit 63 is "tls".
_LEGACY_BITS = {c.EM_X86_64: 1 << 1, c.EM_386: 1 << 0 | 1 << 49}
_TLS_BIT = 1 << 63
_ANY_ISA_LEVEL = 1 << 10


def subfolders(facts: LoaderFacts, cpu: Cpu) -> tuple[str, ...]:
    """What is tried below every folder of a list, in order, the folder itself ("") last (dl-hwcaps.c).

    glibc-hwcaps came with 2.33; the power set of the older capability names, the platform and "tls" went with 2.37.
    """
    named = () if facts.before(2, 33) else tuple(f"glibc-hwcaps/{name}/" for name in cpu.hwcaps)
    if not facts.before(2, 37):
        return (*named, "")
    parts = [*cpu.legacy, *([cpu.platform] if cpu.platform else []), "tls"]
    powers = (
        "".join(f"{parts[bit]}/" for bit in reversed(range(len(parts))) if mask >> bit & 1)
        for mask in reversed(range(1 << len(parts)))
    )
    return (*named, *powers)


def _cache_flags(target: verify.Target) -> tuple[int, ...]:
    for machine, elf_class, mask, value, accepted in _CACHE_FLAGS:
        if (machine, elf_class) == (target.machine, target.elf_class) and target.flags & mask == value:
            return accepted
    return _GENERIC_CACHE_FLAGS


def cache_wants(facts: LoaderFacts, cpu: Cpu, target: verify.Target) -> ldcache.Wanted:
    """Which entries of /etc/ld.so.cache this loader takes on this CPU."""
    machine = target.machine
    legacy = _LEGACY_BITS.get(machine, 0) | _TLS_BIT
    if machine == c.EM_X86_64 and cpu.platform == "haswell":
        legacy |= 1 << 50
    if "avx512_1" in cpu.legacy:
        legacy |= 1 << 2
    return ldcache.Wanted(
        flags=_cache_flags(target),
        hwcaps=None if facts.before(2, 33) else cpu.hwcaps,
        legacy_mask=legacy if facts.before(2, 37) else None,
        isa_level=cpu.level - 1 if cpu.level else _ANY_ISA_LEVEL,
    )
