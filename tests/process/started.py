"""Programs that run while a test looks at them: started, listened to line by line, and surely ended.

    with started([fixture_file("servers/fork"), "-p", "0"]) as server:
        port = server.number("port")
        with connected(port) as connection:
            ...

What is started carries a variable in its environment that its descendants inherit, so that at the end also those are
found that have left the process group and the session. Only what carries it is ended.
"""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.oracle.availability import Unavailable

T = TypeVar("T")
Argument = str | os.PathLike[str]

# What the C library's variants of a fixture are called: its name and this.
VARIANTS: Final = ("", "-static", "-musl", "-musl-static")
# Nobody, by number: what Debian, and most others, give to the user who owns nothing.
NOBODY: Final = 65534
# Long, for a machine that does much else; what works takes milliseconds.
DEADLINE: Final = 30.0
# What ignores SIGTERM, or is stopped, costs a test that much.
_GRACE: Final = 2.0
_MARK: Final = "LINKSCOPE_TEST_PROCESS"


def variants(*names: str) -> list[str]:
    """The names of these fixtures in all their variants."""
    return [f"{name}{variant}" for name in names for variant in VARIANTS]


class Started:
    """A program that was started. lines: what it has printed so far and was read, standard error included."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._next = 0
        self._rest = b""

    @property
    def pid(self) -> int:
        """The process that was started; what it prints as `pid N` may be another."""
        return self.process.pid

    def expect(self, prefix: str, seconds: float = DEADLINE) -> str:
        """The next line that begins so, whole; the lines before it are passed over, and stay in `lines`."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.lines[self._next :]:
                self._next += 1
                if line.startswith(prefix):
                    return line
            self._read(deadline, prefix)

    def number(self, word: str, seconds: float = DEADLINE) -> int:
        """The number in the next line `WORD NUMBER`."""
        return int(self.expect(f"{word} ", seconds).split()[1], 0)

    def values(self, word: str) -> list[str]:
        """What the lines `WORD VALUE` that were read so far say, in order; also where VALUE is empty."""
        return [line.removeprefix(f"{word} ") for line in self.lines if line.startswith(f"{word} ")]

    def send(self, line: str) -> None:
        """Give it a line on its standard input."""
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(os.fsencode(line) + b"\n")
        stdin.flush()

    def ask(self, line: str, answer: str = "done") -> str:
        """Give it a line, and the next one that begins like the answer."""
        self.send(line)
        return self.expect(answer)

    def terminate(self, seconds: float = DEADLINE) -> int:
        """End it as a service manager does, with SIGTERM; its exit status, as subprocess has it."""
        self.process.terminate()
        return self.process.wait(seconds)

    def _read(self, deadline: float, wanted: str) -> None:
        """At least one more line, or the test has failed."""
        stdout = self.process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
        got = os.read(stdout.fileno(), 1 << 16) if ready else b""
        if not got:
            why = "ended" if ready else "is silent"
            raise AssertionError(f"the program {why}, and no line {wanted!r} came; it said: {self.lines}")
        *whole, self._rest = (self._rest + got).split(b"\n")
        self.lines += map(os.fsdecode, whole)


@contextlib.contextmanager
def started(
    argv: Sequence[Argument], *, env: Mapping[str, str] | None = None, start_new_session: bool = True, **popen: Any
) -> Iterator[Started]:
    """A program, running until the block ends; then it and everything that came of it is gone.

    env: its environment, the test's own where it is not given. popen: what else subprocess.Popen takes.
    """
    token = uuid.uuid4().hex
    environment = {**(os.environ if env is None else env), _MARK: token}
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **popen}
    process = subprocess.Popen(argv, env=environment, start_new_session=start_new_session, **options)
    try:
        yield Started(process)
    finally:
        _end(process, token, whole_group=start_new_session)


@contextlib.contextmanager
def as_user(argv: Sequence[Argument], uid: int = NOBODY, **popen: Any) -> Iterator[Started]:
    """The same as an ordinary user, with no groups but one of the same number; raises Unavailable without privilege."""
    if os.geteuid():
        raise Unavailable("only the administrator starts programs as another user")
    with started(argv, user=uid, group=uid, extra_groups=[], **popen) as program:
        yield program


def _end(process: subprocess.Popen[bytes], token: str, *, whole_group: bool) -> None:
    """Politely first: Python's pool and nginx take away what they have put into /dev/shm and the like."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with contextlib.suppress(ProcessLookupError):
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    until(lambda: not _killed(token), f"the end of all that {process.args!r} has started")


def _killed(token: str) -> list[int]:
    """The processes that carry the token, which are killed now: repeat until there is none."""
    mark = f"{_MARK}={token}".encode()
    marked = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in _environment(pid)]
    for pid in marked:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return marked


def _environment(pid: int) -> list[bytes]:
    """Empty for a zombie, a kernel thread, and one that may not be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def is_started_by_a_test(pid: int) -> bool:
    """Whether a process, or who started it, was started so, by this test runner or by another one."""
    return any(word.startswith(f"{_MARK}=".encode()) for word in _environment(pid))


def until(condition: Callable[[], T], what: str, seconds: float = DEADLINE) -> T:
    """What the condition says as soon as that is true; the test has failed where it is not within this time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} seconds: {what}")
        time.sleep(0.005)


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on, so that field N of proc(5) stands at N - 3."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def state(pid: int) -> str | None:
    """The state letter of proc(5); None where there is no such process (any more)."""
    try:
        return stat_fields(pid)[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def parent(pid: int) -> int:
    """The pid of its parent."""
    return int(stat_fields(pid)[1])


def children(pid: int) -> list[int]:
    """The pids of the children of all its threads, zombies among them, in ascending order."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may have ended meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return sorted(found)


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A connection to a server on this machine's loopback address."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        yield connection


def echoed(connection: socket.socket, data: bytes) -> bytes:
    """What an echo server sends back for this: as many bytes, or fewer where it has closed."""
    connection.sendall(data)
    answer = b""
    while len(answer) < len(data) and (more := connection.recv(1 << 16)):
        answer += more
    return answer
