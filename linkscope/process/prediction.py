"""What the loader would map for a process's own program, in its own view: its root, its environment, its rights."""

from __future__ import annotations

import msgspec

from linkscope.elf.image import Image
from linkscope.loader.environment import Environment
from linkscope.loader.explicit import ExplicitLoader
from linkscope.loader.program import Program, Start
from linkscope.loader.start import start
from linkscope.process import procfs
from linkscope.process.procfs import Ids
from linkscope.process.views import View


class Ran(msgspec.Struct, frozen=True):
    """How the program was started. path: of its file, as the process sees it; location: on this machine.

    secure: None where the caller may not know. folders: where it may have been started, the likeliest first. loader: on
    whose command line it stood, None where the kernel started it.
    """

    image: Image
    path: str
    location: str
    secure: bool | None
    folders: tuple[str, ...]
    loader: ExplicitLoader | None = None


def is_secure(auxv: dict[int, int], ids: Ids) -> bool | None:
    """Whether the program was started with other rights than its caller's: AT_SECURE (getauxval(3)).

    Where that cannot be read, different real and effective ids tell it; equal ones tell nothing.
    """
    if procfs.AT_SECURE in auxv:
        return bool(auxv[procfs.AT_SECURE])
    return True if ids.uids[0] != ids.uids[1] or ids.gids[0] != ids.gids[1] else None


def working_directories(view: View, environ: dict[str, str] | None, now: str) -> tuple[str, ...]:
    """The folders in which the program may have been started: PWD, as the shell set it, and the one it is in NOW.

    The kernel does not keep the first one. A daemon goes to `/` later on; and whatever starts a program in another
    folder without a shell leaves its own PWD.
    """
    shell_said = (environ or {}).get("PWD", "")
    likely = (shell_said,) if shell_said.startswith("/") and view.system.is_directory(shell_said) else ()
    return tuple(dict.fromkeys((*likely, view.inside(now) or "/")))


def predict(ran: Ran, folder: str, view: View, environ: dict[str, str] | None) -> Start:
    """The start as it would be made now in FOLDER, of the same file in the same circumstances."""
    variables = environ or {}
    environment = Environment(
        library_path=variables.get("LD_LIBRARY_PATH"),
        preload=variables.get("LD_PRELOAD"),
        audit=variables.get("LD_AUDIT"),
        tunables=variables.get("GLIBC_TUNABLES"),
        cwd=folder,
        bind_now=bool(variables.get("LD_BIND_NOW")),
        secure=bool(ran.secure),
        explicit=ran.loader,
    )
    return start(view.system, Program(ran.image, ran.path, ran.path, ran.location), environment)
