"""The circumstances of a start: environment variables, working directory, CPU, secure execution."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image

if TYPE_CHECKING:
    from linkscope.loader.explicit import ExplicitLoader

# glibc sysdeps/x86_64/dl-hwcaps-subdirs.c: the features that each level asks for, under the kernel's names in
# /proc/cpuinfo (arch/x86/include/asm/cpufeatures.h: pni is SSE3, abm is LZCNT).
_X86_LEVELS = (
    ("x86-64-v2", frozenset("cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3".split())),
    ("x86-64-v3", frozenset("avx avx2 bmi1 bmi2 f16c fma abm movbe".split())),
    ("x86-64-v4", frozenset("avx512f avx512bw avx512cd avx512dq avx512vl".split())),
)
# glibc sysdeps/x86/cpu-features.c: an Intel CPU with all of these calls its platform "haswell" instead of "x86_64".
_HASWELL = frozenset("avx2 bmi1 bmi2 abm movbe popcnt fma".split())
# And where it has these, but not AVX512ER, up to glibc 2.36 one more capability name, "avx512_1".
_AVX512_1 = frozenset("avx512cd avx512bw avx512dq avx512vl".split())
# glibc sysdeps/*/dl-hwcaps-subdirs.c, best first. Every level includes the ones behind it.
_LEVELS = {
    c.EM_X86_64: ("x86-64-v4", "x86-64-v3", "x86-64-v2"),
    c.EM_PPC64: ("power10", "power9"),
    c.EM_S390: ("z16", "z15", "z14", "z13"),
}
# AT_PLATFORM as the kernel passes it (arch/*/include/asm/elf.h, ELF_PLATFORM).
_PLATFORMS = {c.EM_X86_64: "x86_64", c.EM_386: "i686", c.EM_AARCH64: "aarch64", c.EM_ARM: "v7l"}
# What is left of the hardware capability names up to glibc 2.36 (sysdeps/*/dl-procinfo.c, HWCAP_IMPORTANT).
_LEGACY = {c.EM_X86_64: ("x86_64",), c.EM_386: ("sse2",)}
_HOST_MACHINES = {"x86_64": (c.EM_X86_64, c.EM_386), "aarch64": (c.EM_AARCH64,)}


class Cpu(msgspec.Struct, frozen=True):
    """The processor that is assumed, for one machine.

    hwcaps: the glibc-hwcaps subdirectories that it takes, best first. platform: AT_PLATFORM, what $PLATFORM stands
    for. legacy: the hardware capabilities of glibc up to 2.36. level: the x86-64 ISA level (1 to 4), 0 elsewhere.
    """

    hwcaps: tuple[str, ...] = ()
    platform: str | None = None
    legacy: tuple[str, ...] = ()
    level: int = 0


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """All that a start depends on besides files. A variable that is not set is None.

    bind_now: whether LD_BIND_NOW is set, to anything.
    cpu_level: a glibc-hwcaps name such as `x86-64-v2`, None for the CPU at hand (the baseline elsewhere).
    secure: True or False where it is decided, None where the file's own mode and capabilities decide. ordinary_user:
    judge setuid files as an ordinary user's start would, whoever the caller is. explicit: the loader that is started
    as a program, with the program on its command line; None where the kernel starts the program.
    """

    library_path: str | None = None
    preload: str | None = None
    audit: str | None = None
    tunables: str | None = None
    cwd: str = "/"
    bind_now: bool = False
    cpu_level: str | None = None
    secure: bool | None = None
    ordinary_user: bool = False
    explicit: ExplicitLoader | None = None

    def searched_first(self, secure: bool) -> str | None:
        """The LD_LIBRARY_PATH that counts: --library-path stands in its place, and is not ignored where SECURE."""
        if self.explicit is not None and self.explicit.library_path is not None:
            return self.explicit.library_path
        return None if secure else self.library_path


def is_native(machine: int) -> bool:
    """Whether the processor at hand runs files of MACHINE."""
    return machine in _HOST_MACHINES.get(os.uname().machine, ())


def levels() -> list[str]:
    """Every glibc-hwcaps name that can be assumed."""
    return [name for names in _LEVELS.values() for name in names] + ["baseline"]


def cpu_for(machine: int, level: str | None, tunables: str | None) -> Cpu:
    """The processor to assume for files of MACHINE: the one at hand, or LEVEL, or the baseline of a foreign machine."""
    names = _LEVELS.get(machine, ())
    platform = _PLATFORMS.get(machine)
    legacy: tuple[str, ...] = _LEGACY.get(machine, ())
    if level is not None:
        active = names[names.index(level) :] if level in names else ()
    elif is_native(machine):
        flags, vendor = _processor()
        flags = flags - _masked(tunables)
        active = _active_x86(flags) if machine == c.EM_X86_64 else ()
        if machine == c.EM_X86_64 and vendor == "GenuineIntel":
            platform = "haswell" if flags >= _HASWELL else platform
            legacy += ("avx512_1",) if flags >= _AVX512_1 and "avx512er" not in flags else ()
    else:
        active = ()
    return Cpu(active, platform, legacy, 1 + len(active) if machine == c.EM_X86_64 else 0)


def _active_x86(flags: frozenset[str]) -> tuple[str, ...]:
    active: list[str] = []
    for name, wanted in _X86_LEVELS:
        if not flags >= wanted:
            break
        active.insert(0, name)
    return tuple(active)


def _processor() -> tuple[frozenset[str], str]:
    """The first processor's flags and vendor, from the beginning of /proc/cpuinfo."""
    try:
        descriptor = os.open("/proc/cpuinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return frozenset(), ""
    try:
        text = os.read(descriptor, 8192).decode("ascii", "replace")
    finally:
        os.close(descriptor)
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return frozenset(fields.get("flags", "").split()), fields.get("vendor_id", "")


_FEATURE_NAMES = {"lzcnt": "abm", "sse3": "pni", "cmpxchg16b": "cx16", "lahf64_sahf64": "lahf_lm"}


def _masked(tunables: str | None) -> frozenset[str]:
    """The features that `glibc.cpu.hwcaps=-AVX2,...` takes away (glibc sysdeps/x86/cpu-tunables.c)."""
    value = tunable(tunables, "glibc.cpu.hwcaps")
    if value is None:
        return frozenset()
    names = (item[1:].lower().removesuffix("_usable") for item in value.split(",") if item.startswith("-"))
    return frozenset(_FEATURE_NAMES.get(name, name) for name in names)


def tunable(tunables: str | None, name: str) -> str | None:
    """The value of one tunable in the text of GLIBC_TUNABLES, None where it is not there."""
    found = None
    for item in (tunables or "").split(":"):
        this, separator, value = item.partition("=")
        if separator and this == name:
            found = value
    return found


def is_secure(location: str, environment: Environment) -> bool:
    """Whether the kernel would start the program with AT_SECURE set.

    location: the file's place on this machine. Where the loader is started as a program, its file counts, which gives
    nobody rights. Source: Linux fs/exec.c (bprm_fill_uid), security/commoncap.c.
    """
    if environment.secure is not None:
        return environment.secure
    if environment.explicit is not None:
        return False
    if environment.ordinary_user:
        user, groups = -1, frozenset[int]()
    else:
        user, groups = os.getuid(), frozenset((os.getgid(),))
    try:
        status = os.stat(location)
    except OSError:
        return False
    if not environment.ordinary_user and os.statvfs(location).f_flag & os.ST_NOSUID:
        return False
    if status.st_mode & stat.S_ISUID and status.st_uid != user:
        return True
    if status.st_mode & stat.S_ISGID and status.st_mode & stat.S_IXGRP and status.st_gid not in groups:
        return True
    return user != 0 and has_file_capabilities(location)


def has_file_privileges(image: Image, location: str) -> bool:
    """Whether a program's file gives it rights that its caller need not have: setuid, setgid or capabilities."""
    if image.interpreter is None:
        return False
    return bool(image.mode & (stat.S_ISUID | stat.S_ISGID)) or has_file_capabilities(location)


def has_file_capabilities(location: str) -> bool:
    """Whether the file carries capabilities (setcap)."""
    try:
        return bool(os.getxattr(location, "security.capability"))
    except OSError:
        return False
