"""What can stop LinkScope itself, each with its facts as fields and its one-line text made here.

What is wrong with an *analysed* program (a missing library, a bad candidate) is not an error but a
problem in the document. These classes are for what could not be analysed at all.
"""

from __future__ import annotations

import os


class LinkScopeError(Exception):
    """Something named by the user could not be analysed; `reason` is one line, without the path."""

    exit_code = 2

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class FileUnreadable(LinkScopeError):
    """The file is absent, not permitted, not a regular file, or its bytes cannot be read."""

    @classmethod
    def from_os_error(cls, path: str, error: OSError) -> FileUnreadable:
        """The operating system's own word for it, in lower case: `no such file or directory`."""
        return cls(path, os.strerror(error.errno).lower() if error.errno else str(error))


class NotElf(LinkScopeError):
    """The file is regular and readable, but holds no ELF header; `script` is the `#!` interpreter, if any."""

    def __init__(self, path: str, reason: str, script: str | None = None) -> None:
        super().__init__(path, reason)
        self.script = script


class MalformedElf(LinkScopeError):
    """The file begins as ELF and then contradicts itself: `what` is wrong at byte `offset` (None: no one place)."""

    def __init__(self, path: str, what: str, offset: int | None = None) -> None:
        super().__init__(path, what if offset is None else f"{what} (at byte {offset:#x})")
        self.what = what
        self.offset = offset


class BadAssumption(LinkScopeError):
    """Circumstances that cannot be assumed: an unknown CPU level, a working directory that is none."""


class RootUnusable(LinkScopeError):
    """`--root` names something that is not a directory that can be read."""


class ProcessUnreadable(LinkScopeError):
    """Something of the process `pid` could not be read; `reason` is one line."""

    def __init__(self, pid: int, reason: str) -> None:
        super().__init__(f"process {pid}", reason)
        self.pid = pid


class ProcessGone(ProcessUnreadable):
    """There is no such process, or it ended while it was looked at."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, "no such process")


class OutOfDescriptors(LinkScopeError):
    """No more files can be opened: what was not read yet must not be taken for unreadable."""

    def __init__(self) -> None:
        super().__init__("open files", "there are as many as may be; allow more (ulimit -n)")


class IsThread(ProcessUnreadable):
    """The number is that of a thread, which /proc shows and does not list."""

    def __init__(self, pid: int, process: int) -> None:
        super().__init__(pid, f"is a thread of process {process}; name that one")


class NoProcfs(LinkScopeError):
    """/proc is not there, or shows other processes than this one."""

    def __init__(self) -> None:
        super().__init__("/proc", "does not show this process: is it mounted (mount -t proc proc /proc)?")


class NotPermitted(ProcessUnreadable):
    """The process is somebody else's, or guards its memory (PR_SET_DUMPABLE): the caller may not look into it."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, f"its mappings may not be read: {self.why()}")

    @staticmethod
    def why() -> str:
        """What stands in the way of this caller: ptrace(2), PTRACE_MODE_READ."""
        if os.geteuid():
            return "it is another user's, or guards its memory; root may look into it"
        return "it has rights that even this root lacks, as in a container"


class ProcessUnsteady(ProcessUnreadable):
    """The process replaced its program or its libraries every time that it was looked at."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, "its program or its libraries changed each time that it was read; try again")


class NotAPackage(LinkScopeError):
    """The file is none of the archives and packages that can be looked into."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "is no package or archive that can be looked into")


class NoPrivateFolder(LinkScopeError):
    """No folder can be made to unpack a package into; `path` is where it was tried."""

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(path, f"no folder for the members of a package can be made: {os.strerror(error.errno or 0)}")


class StoreUnusable(LinkScopeError):
    """The store of signatures cannot be read or written; `reason` says what can be done."""


class NotLearnt(LinkScopeError):
    """An archive or package of which no signatures can be made."""


class NotHeld(LinkScopeError):
    """Copies of a program could not all be stopped at their end, so that their memory cannot be read."""
