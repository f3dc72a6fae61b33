"""What the kernel itself does with a program: programs stopped before their first instruction, and ended there."""

import ctypes
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.oracle.availability import Unavailable

_PTRACE_TRACEME, _AT_BASE = 0, 7


@contextmanager
def stopped(program: Path) -> Iterator[Path]:
    """The /proc folder of a process that has just executed the program. Source: ptrace(2)."""
    trace = ctypes.CDLL(None).ptrace

    def be_traced() -> None:
        trace(_PTRACE_TRACEME, 0, 0, 0)

    process = subprocess.Popen([program], stdout=subprocess.DEVNULL, preexec_fn=be_traced)  # noqa: PLW1509 (one system call)
    try:
        if not os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1]):
            raise Unavailable("no process may be traced here")
        yield Path(f"/proc/{process.pid}")
    finally:
        process.kill()
        process.wait()


def kernel_maps_a_loader(program: Path) -> bool:
    """Whether the kernel maps an interpreter beside the program, and tells it where (AT_BASE). Source: getauxval(3)."""
    with stopped(program) as process:
        auxiliary = (process / "auxv").read_bytes()
    return bool(dict(struct.iter_unpack("NN", auxiliary)).get(_AT_BASE))


def mappings(program: Path) -> dict[str, list[str]]:
    """What the kernel has mapped of the program itself: the permissions at each address, as /proc/PID/maps has them."""
    found: dict[str, list[str]] = {}
    with stopped(program) as process:
        for row in (process / "maps").read_text().splitlines():
            fields = row.split(maxsplit=5)
            if fields[5:] == [os.fspath(program)]:
                found.setdefault(fields[0].split("-")[0], []).append(fields[1])
    return found
