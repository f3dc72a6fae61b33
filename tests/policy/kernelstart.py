"""What the kernel itself does with a program: whether it maps an interpreter beside it."""

import ctypes
import os
import struct
import subprocess
from pathlib import Path

from tests.oracle.availability import Unavailable

_PTRACE_TRACEME, _AT_BASE = 0, 7


def kernel_maps_a_loader(program: Path) -> bool:
    """Whether the kernel, when it starts the program, maps an interpreter and tells the program where (AT_BASE).

    The program is stopped before its first instruction, and ended there. Source: getauxval(3), ptrace(2).
    """
    trace = ctypes.CDLL(None).ptrace

    def be_traced() -> None:
        trace(_PTRACE_TRACEME, 0, 0, 0)

    process = subprocess.Popen([program], stdout=subprocess.DEVNULL, preexec_fn=be_traced)  # noqa: PLW1509 (one system call)
    try:
        if not os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1]):
            raise Unavailable("no process may be traced here")
        auxiliary = Path(f"/proc/{process.pid}/auxv").read_bytes()
    finally:
        process.kill()
        process.wait()
    return bool(dict(struct.iter_unpack("NN", auxiliary)).get(_AT_BASE))
