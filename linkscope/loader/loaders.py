"""Where a root keeps its dynamic loaders, for files that name none themselves (libraries)."""

from __future__ import annotations

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.loader.system import System

# (e_machine, class): paths in the order in which they are looked for. Sources: glibc sysdeps/**/shlib-versions and
# configure (libc_cv_slibdir, rtlddir); for musl, configure's ARCH names.
_GLIBC = {
    (c.EM_X86_64, 64): ("/lib64/ld-linux-x86-64.so.2",),
    (c.EM_X86_64, 32): ("/libx32/ld-linux-x32.so.2",),
    (c.EM_386, 32): ("/lib/ld-linux.so.2",),
    (c.EM_AARCH64, 64): ("/lib/ld-linux-aarch64.so.1", "/lib/ld-linux-aarch64_be.so.1"),
    (c.EM_ARM, 32): ("/lib/ld-linux-armhf.so.3", "/lib/ld-linux.so.3"),
    (c.EM_RISCV, 64): ("/lib/ld-linux-riscv64-lp64d.so.1", "/lib/ld-linux-riscv64-lp64.so.1"),
    (c.EM_RISCV, 32): ("/lib/ld-linux-riscv32-ilp32d.so.1", "/lib/ld-linux-riscv32-ilp32.so.1"),
    (c.EM_PPC64, 64): ("/lib64/ld64.so.2", "/lib64/ld64.so.1"),
    (c.EM_PPC, 32): ("/lib/ld.so.1",),
    (c.EM_S390, 64): ("/lib/ld64.so.1", "/lib64/ld64.so.1"),
    (c.EM_S390, 32): ("/lib/ld.so.1",),
    (c.EM_MIPS, 64): ("/lib64/ld.so.1", "/lib64/ld-linux-mipsn8.so.1"),
    (c.EM_MIPS, 32): ("/lib/ld.so.1", "/lib/ld-linux-mipsn8.so.1", "/lib32/ld.so.1"),
    (c.EM_LOONGARCH, 64): ("/lib64/ld-linux-loongarch-lp64d.so.1", "/lib64/ld-linux-loongarch-lp64s.so.1"),
    (c.EM_68K, 32): ("/lib/ld.so.1",),
    (c.EM_SH, 32): ("/lib/ld-linux.so.2",),
    (c.EM_SPARC, 32): ("/lib/ld-linux.so.2",),
    (c.EM_SPARCV9, 64): ("/lib64/ld-linux.so.2", "/lib/ld-linux.so.2"),
    (c.EM_PARISC, 32): ("/lib/ld.so.1",),
    (c.EM_ALPHA, 64): ("/lib/ld-linux.so.2",),
}
_MUSL = {
    (c.EM_X86_64, 64): ("x86_64",),
    (c.EM_X86_64, 32): ("x32",),
    (c.EM_386, 32): ("i386",),
    (c.EM_AARCH64, 64): ("aarch64", "aarch64_be"),
    (c.EM_ARM, 32): ("armhf", "arm", "armebhf", "armeb"),
    (c.EM_RISCV, 64): ("riscv64", "riscv64-sf", "riscv64-sp"),
    (c.EM_RISCV, 32): ("riscv32", "riscv32-sf", "riscv32-sp"),
    (c.EM_PPC64, 64): ("powerpc64le", "powerpc64"),
    (c.EM_PPC, 32): ("powerpc", "powerpc-sf"),
    (c.EM_S390, 64): ("s390x",),
    (c.EM_MIPS, 64): ("mips64", "mips64el", "mipsn32", "mipsn32el"),
    (c.EM_MIPS, 32): ("mips", "mipsel", "mips-sf", "mipsel-sf"),
    (c.EM_LOONGARCH, 64): ("loongarch64", "loongarch64-sf"),
    (c.EM_OPENRISC, 32): ("or1k",),
    (c.EM_68K, 32): ("m68k",),
    (c.EM_MICROBLAZE, 32): ("microblaze", "microblazeel"),
    (c.EM_SH, 32): ("sh", "sheb", "sh-nofpu"),
}


def is_musl_path(path: str) -> bool:
    """Whether a PT_INTERP is musl's: its loader is always called ld-musl-ARCH.so.1 (musl configure)."""
    return path.rpartition("/")[2].startswith("ld-musl-")


def wants_musl(image: Image) -> bool:
    """Whether a library without PT_INTERP is musl's, by the name under which it needs the C library."""
    return any(name == "libc.so" or name.startswith("libc.musl-") for name in image.needed)


def wants_glibc(image: Image) -> bool:
    """Whether a library without PT_INTERP is glibc's, by the name under which it needs the C library or the loader."""
    return any(name.startswith(("libc.so.", "ld-linux", "ld64.so.")) for name in image.needed)


def default_loader(system: System, image: Image) -> str | None:
    """The path of the loader that the root has for the file's class, byte order and machine; None without one.

    A library that names no C library at all is taken to be glibc's, unless the root has musl only.
    """
    key = (image.machine, image.elf_class)
    musl = tuple(f"/lib/ld-musl-{name}.so.1" for name in _MUSL.get(key, ()))
    glibc = _GLIBC.get(key, ())
    either = glibc if wants_glibc(image) else (*glibc, *musl)
    for path in musl if wants_musl(image) else either:
        found = system.candidate(path, "/").image
        if found is not None and found.machine == image.machine and found.layout == image.layout:
            return path
    return None
