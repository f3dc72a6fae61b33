"""The start of one program, as the kernel and its loader would make it, from its file to its link map."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from linkscope.elf.image import Image
from linkscope.loader import loaders, problems
from linkscope.loader.environment import Environment, has_file_privileges, is_secure
from linkscope.loader.glibc_start import start_with_glibc
from linkscope.loader.linkmap import LinkMap, Loaded
from linkscope.loader.program import Program, Start
from linkscope.loader.repeated import Repeated
from linkscope.loader.system import Candidate, System

if TYPE_CHECKING:
    from linkscope.loader.ldso import LoaderFacts
    from linkscope.loader.musl_ldso import MuslFacts


def start(system: System, program: Program, environment: Environment) -> Start:
    """What would be mapped if PROGRAM were started: as a program by the kernel, as a library by `ld.so ./lib.so`.

    Where the environment has a loader that is started explicitly, that one starts it, whatever its PT_INTERP says.
    A file without dependencies, preloads or PT_INTERP gives a link map that holds it alone. Programs that ask for the
    same in the same circumstances (most of a system's ask for libc.so.6 alone) share one walk.
    """
    image = program.image
    has_loader = image.interpreter is not None or environment.explicit is not None
    secure = has_loader and is_secure(program.location, environment)
    privileged = has_loader and has_file_privileges(image, program.location)
    repeated = Repeated(system, program, environment, (secure, privileged))
    known = repeated.known()
    if known is not None:
        return known
    made = _start(system, program, environment, secure)
    repeated.remember(made)
    return made


def _start(system: System, program: Program, environment: Environment, secure: bool) -> Start:
    image = program.image
    main = Loaded(program.shown, program.shown, image, "main")
    link_map = LinkMap(main)
    interpreter = image.interpreter
    refused = image.interpreter_fault
    if environment.explicit is not None:
        interpreter, refused = environment.explicit.path, None
    elif interpreter is None:
        interpreter = loaders.default_loader(system, image)
    if interpreter is None:
        link_map.problems.append(problems.no_loader(program.shown))
        return Start(link_map, None, None, secure)
    loader = system.candidate(interpreter, environment.cwd)
    fault = refused or _fault(loader, image)
    if fault is not None:
        absent = loader.errno == errno.ENOENT and refused is None
        tell = problems.missing_interpreter if absent else problems.bad_interpreter
        link_map.problems.append(tell(interpreter, program.shown, fault))
        return Start(link_map, None, interpreter, secure)
    musl = _if_musl(system, loader)
    if musl is not None:
        from linkscope.loader.musl_start import start_with_musl  # its modules are not needed for glibc's programs

        return start_with_musl(system, program, environment, link_map, loader, musl, secure)
    glibc = system.loader(interpreter, environment.cwd)
    if glibc is None or not (glibc.folders or glibc.version):
        link_map.problems.append(problems.unknown_loader(interpreter, program.shown))
        return Start(link_map, None, interpreter, secure)
    if environment.explicit is not None and _is_handed_on(image, glibc):
        return Start(link_map, None, None, secure)
    return start_with_glibc(system, program, environment, link_map, glibc, loader, secure)


def _is_handed_on(image: Image, glibc: LoaderFacts) -> bool:
    """Whether the loader, started explicitly, has the kernel start the program: one that needs no loader (from 2.35).

    Source: glibc elf/rtld.c, rtld_chain_load.
    """
    return image.interpreter is None and not image.needed and not glibc.before(2, 35)


def _if_musl(system: System, loader: Candidate) -> MuslFacts | None:
    """The facts of a musl loader, None for others. What it is counts, not its path: /lib64/ld-linux-x86-64.so.2 may
    lead to it. glibc's always has a DT_SONAME, its own file's name; musl's is called after the C library, or nothing.
    """
    soname = loader.image.soname if loader.image else None
    if soname is not None and soname.startswith("ld") and not loaders.is_musl_path(soname):
        return None
    from linkscope.loader.musl_ldso import musl_facts

    return musl_facts(system, loader)


def _fault(loader: Candidate, image: Image) -> str | None:
    """Why the kernel would not start this interpreter for the program; None where it would.

    Linux fs/binfmt_elf.c, load_elf_binary, and fs/exec.c, do_open_execat: it must be an executable ELF file of the
    same machine.
    """
    if loader.errno:
        return "does not exist" if loader.errno == errno.ENOENT else os.strerror(loader.errno).lower()
    if not stat.S_ISREG(loader.mode):
        return "is no regular file"
    if not loader.mode & 0o111:
        return "is not executable"
    if loader.image is None:
        return loader.fault.reason if loader.fault else "cannot be read"
    if loader.image.machine != image.machine or loader.image.layout != image.layout:
        return "is for another machine"
    return None
