"""A process that goes away from where it was started: does what its arguments say, in their order.

    load LIBRARY    unshare (mounts)    bind FROM TO    tmpfs FOLDER    unmount FOLDER
    chroot FOLDER   pivot FOLDER (the old root is gone for good)        become USER        exec PROGRAM…

At the end it says `ready`, and stays.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

# <sched.h>, <sys/mount.h>, <sys/prctl.h>
_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_PR_SET_DUMPABLE = 4

libc = ctypes.CDLL(None, use_errno=True)


def done(status: int) -> None:
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source: str, target: str, kind: str, flags: int) -> None:
    done(libc.mount(os.fsencode(source), os.fsencode(target), os.fsencode(kind), ctypes.c_ulong(flags), None))


def unshare() -> None:
    done(libc.unshare(_CLONE_NEWNS))
    mount("none", "/", "none", _MS_REC | _MS_PRIVATE)


def unmount(folder: str) -> None:
    done(libc.umount2(os.fsencode(folder), _MNT_DETACH))


def chroot(folder: str) -> None:
    os.chroot(folder)
    os.chdir("/")


def pivot(folder: str) -> None:
    """Both roots lie at the same place for a moment, the old one above (pivot_root(2), NOTES)."""
    mount(folder, folder, "none", _MS_BIND | _MS_REC)
    os.chdir(folder)
    done(libc.pivot_root(b".", b"."))
    unmount(".")
    os.chdir("/")


def become(user: str) -> None:
    """Another user, who may look at this process as at any other of his."""
    os.setgroups([])
    os.setresgid(int(user), int(user), int(user))
    os.setresuid(int(user), int(user), int(user))
    done(libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0))


STEPS: dict[str, tuple[int, Callable[..., object]]] = {
    "load": (1, ctypes.CDLL),
    "unshare": (0, unshare),
    "bind": (2, lambda source, target: mount(source, target, "none", _MS_BIND)),
    "tmpfs": (1, lambda folder: mount("none", folder, "tmpfs", 0)),
    "unmount": (1, unmount),
    "chroot": (1, chroot),
    "pivot": (1, pivot),
    "become": (1, become),
}


def main(words: list[str]) -> None:
    while words:
        word = words.pop(0)
        if word == "exec":
            os.execv(words[0], words)
        count, step = STEPS[word]
        step(*words[:count])
        del words[:count]
    os.write(1, b"ready\n")
    signal.pause()


if __name__ == "__main__":
    signal.alarm(600)
    main(sys.argv[1:])
