"""Running commands for the oracles, fast and in any root: small processes that fork and execute on request.

A root is entered with chroot in a mount namespace of its own, where this machine's /proc is visible in it. Without
root's rights that takes a user namespace.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from tests.oracle.availability import Unavailable

NOBODY = 65534
_CHILD = Path(__file__).with_name("runner_child.py")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A command to run. argv[0] is executed as it is (no PATH); env is all that it gets; user: a uid, also its gid.

    cwd and argv are as seen inside the root. private: run where a command may chroot by itself. timeout: seconds.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    cwd: str | None = None
    root: str | None = None
    user: int | None = None
    private: bool = False
    timeout: float = 20.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did. status: None where it ran out of time; negative, a signal. errno: why it could not be run."""

    status: int | None
    errno: int | None
    stdout: bytes
    stderr: bytes
    seconds: float


class _Worker:
    """One `runner_child`, which answers one request at a time."""

    def __init__(self, private_mounts: bool) -> None:
        command = [sys.executable, "-I", "-S", os.fspath(_CHILD)]
        if private_mounts:
            unshare = shutil.which("unshare")
            if unshare is None:
                raise Unavailable("unshare (util-linux) is needed to look into another root")
            mapped = [] if os.geteuid() == 0 else ["--map-root-user"]
            command = [unshare, "--mount", "--propagation", "private", *mapped, *command]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
        )

    def ask(self, request: Request) -> Outcome:
        """The outcome of one request; raises Unavailable where the worker cannot enter the root."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write(json.dumps(msgspec.structs.asdict(request)).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise Unavailable(f"no private mounts here: {os.fsdecode(process.stderr.read()).strip()}")
        said = json.loads(line)
        if "unavailable" in said:
            raise Unavailable(f"cannot enter {request.root}: {said['unavailable']}")
        for stream in ("stdout", "stderr"):
            said[stream] = said[stream].encode("latin-1")
        return Outcome(**said)

    def close(self) -> None:
        """End the worker: it stops when its input does."""
        self._process.communicate()


class Pool:
    """Workers that are started when first needed and kept: `run_all` shares a list of requests out among `size`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._workers: dict[tuple[bool, int], _Worker] = {}

    def worker(self, private_mounts: bool, number: int) -> _Worker:
        """The worker of this number, for requests with or without a root."""
        key = private_mounts, number
        if key not in self._workers:
            self._workers[key] = _Worker(private_mounts)
        return self._workers[key]

    def run_all(self, requests: Sequence[Request]) -> list[Outcome]:
        """The outcomes, in the order of the requests."""
        if any(request.user is not None for request in requests) and os.geteuid() != 0:
            raise Unavailable("only root can run a command as another user")
        lanes = range(min(self.size, len(requests)))
        private = any(request.root is not None or request.private for request in requests)
        workers = [self.worker(private, lane) for lane in lanes]

        def serve(lane: int) -> list[Outcome]:
            return [workers[lane].ask(request) for request in requests[lane :: len(lanes)]]

        if len(lanes) == 1:
            return serve(0)
        outcomes: list[Outcome | None] = [None] * len(requests)
        with ThreadPoolExecutor(len(lanes) or 1) as threads:
            for lane, answers in zip(lanes, threads.map(serve, lanes), strict=True):
                outcomes[lane :: len(lanes)] = answers
        return [outcome for outcome in outcomes if outcome is not None]

    def close(self) -> None:
        """End all workers; the pool can be used again."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()


_pool = Pool(2)
atexit.register(_pool.close)


def run(request: Request) -> Outcome:
    """The outcome of one command."""
    return _pool.run_all([request])[0]


def run_all(requests: Sequence[Request]) -> list[Outcome]:
    """The outcomes of many commands, two at a time, in the order of the requests."""
    return _pool.run_all(requests)
