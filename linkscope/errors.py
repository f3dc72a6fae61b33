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

    def __reduce__(self) -> tuple[object, ...]:
        """As it is, when it goes from one process to another: its fields are not what it was made of."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[LinkScopeError], args: tuple[object, ...], fields: dict[str, object]) -> LinkScopeError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


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


class CannotRun(LinkScopeError):
    """Something without which no program can be measured is not there, or nothing of a run can be ended."""


class RunFailed(LinkScopeError):
    """A program that was run to be measured did something else than come to a good end by itself."""


class NotStarted(RunFailed):
    """The kernel refuses to start the program. hint: what is known beyond the kernel's own word, "" for nothing."""

    def __init__(self, path: str, error: OSError, hint: str = "") -> None:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        super().__init__(path, f"cannot be started: {reason}" + (f" ({hint})" if hint else ""))
        self.errno = error.errno
        self.hint = hint


class Failed(RunFailed):
    """The program ended with a status that is not 0. last_line: of what it wrote to its standard error."""

    def __init__(self, path: str, status: int, last_line: str = "") -> None:
        super().__init__(path, f"ends with exit code {status}" + (f": {last_line}" if last_line else ""))
        self.status = status
        self.last_line = last_line


class Died(RunFailed):
    """The program was ended by a signal. last_line: as Failed has it."""

    def __init__(self, path: str, signal: int, name: str, last_line: str = "") -> None:
        super().__init__(path, f"is killed by signal {signal} ({name})" + (f": {last_line}" if last_line else ""))
        self.signal = signal
        self.last_line = last_line


class Hangs(RunFailed):
    """The program did not end in time. hint: what it was doing, and what can be done about it."""

    def __init__(self, path: str, timeout: float, hint: str = "") -> None:
        super().__init__(path, f"does not end within {timeout:g} s" + (f" ({hint})" if hint else ""))
        self.timeout = timeout


class NeedsTerminal(RunFailed):
    """The program fails without a terminal, and not with one. why: how it fails."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, f"needs a terminal: with one it runs, without it {why}")


class NeedsInput(RunFailed):
    """The program fails when its input ends at once, and waits where it does not. why: how it fails."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, f"needs something to read: it waits for it, and where there is nothing it {why}")


class WritesTooMuch(RunFailed):
    """The program wrote more than it may. most: bytes."""

    def __init__(self, path: str, most: int) -> None:
        super().__init__(path, f"writes more than {most >> 20} MiB to its standard output and error")
        self.most = most


class LeavesProcesses(RunFailed):
    """The program ended, and others that it had started did not. left: name and number of each."""

    _SHOWN = 5

    def __init__(self, path: str, left: tuple[tuple[str, int], ...]) -> None:
        names = ", ".join(f"{name} ({pid})" for name, pid in left[: self._SHOWN])
        more = f" and {len(left) - self._SHOWN} more" if len(left) > self._SHOWN else ""
        many = f"{len(left)} processes" if len(left) > 1 else "a process"
        super().__init__(path, f"ends and leaves {many} behind: {names}{more}")
        self.left = left


class NotServing(RunFailed):
    """The server never took a connection on its port, or stopped doing so; `reason` says what it did instead."""


class PortTaken(LinkScopeError):
    """Somebody else has the port already. holder: name and number of the process, "" where that may not be seen."""

    def __init__(self, port: int, holder: str) -> None:
        super().__init__(f"port {port}", f"is taken already{f', by {holder}' if holder else ''}")
        self.port = port
        self.holder = holder
