"""Runs commands for `runner`, inside any root: requests on standard input, a line of JSON each, answers on the output.

It is started as a script of its own, in a mount namespace of its own where roots are asked about, and uses nothing but
the standard library, all of it imported before the first chroot (which only the forked child does). What it mounts
disappears with it.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

MS_BIND_RECURSIVE = 4096 | 16384  # MS_BIND | MS_REC, <sys/mount.h>
_NOT_RUN = 126


def mount_proc(root: str) -> None:
    """Make this machine's /proc visible in the root, without which a loader there knows no $ORIGIN of a program."""
    target = os.path.join(root, "proc")
    if os.path.exists(os.path.join(target, "self")):
        return
    os.makedirs(target, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"/proc", os.fsencode(target), None, MS_BIND_RECURSIVE, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def become(request: dict[str, Any], null: int, out: int, err: int) -> None:
    """Turn this process into the requested command; returns only by raising OSError."""
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    if request["root"] is not None:
        os.chroot(request["root"])
        os.chdir("/")
    if request["cwd"] is not None:
        os.chdir(request["cwd"])
    if request["user"] is not None:
        os.setgroups([])
        os.setresgid(request["user"], request["user"], request["user"])
        os.setresuid(request["user"], request["user"], request["user"])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(request["argv"][0], request["argv"], request["env"])


def wait(pid: int, timeout: float) -> int | None:
    """The exit status of the child (negative: the signal that ended it); None, and it is killed, after the timeout."""
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = bool(poll.poll(timeout * 1000))
    os.close(handle)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if ended else None


def content(descriptor: int) -> str:
    """All that was written to a memory file, a character a byte; the file is closed."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read().decode("latin-1")


def answer(request: dict[str, Any], null: int) -> dict[str, Any]:
    """What came of one request: its status and output, or why it could not be run at all."""
    if request["root"] is not None:
        mount_proc(request["root"])
    out, err = os.memfd_create("out"), os.memfd_create("err")
    complaint, said = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            become(request, null, out, err)
        except OSError as error:
            os.write(said, str(error.errno).encode())
        finally:
            os._exit(_NOT_RUN)
    os.close(said)
    status = wait(pid, request["timeout"])
    refused = os.read(complaint, 16)
    os.close(complaint)
    return {
        "status": status,
        "errno": int(refused) if refused else None,
        "stdout": content(out),
        "stderr": content(err),
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    """Serve until the input ends."""
    null = os.open(os.devnull, os.O_RDWR)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            said = answer(request, null)
        except OSError as error:
            said = {"unavailable": str(error)}
        sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
