"""A real nginx, with a configuration, a cache and ports of its own: started, asked over loopback, and surely ended.

    with serving(folder) as server:
        server.answer("/pid")

Its own log is the judge of who is who: there it says which process it has started as what.
"""

import contextlib
import grp
import http.client
import os
import pwd
import re
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.oracle.availability import Unavailable
from tests.process.started import DEADLINE, NOBODY, Argument, Started, as_user, started, state, until

PATH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
WORKERS: Final = 2
WORKER, MANAGER, LOADER = KINDS = ("worker process", "cache manager process", "cache loader process")
_TRIES: Final = 5  # a port that was free may be taken by the time at which nginx wants it

# /pid says who answers; /cached comes from there by way of the cache, the keys of which all workers share.
_CONFIGURATION: Final = """
daemon off;
worker_processes {workers};
{user}
pid {folder}/pid;
error_log {folder}/log notice;
lock_file {folder}/lock;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=pages:{zone};
    server {{
        listen 127.0.0.1:{port};
        location = /pid {{ return 200 $pid; }}
        location = /cached {{
            proxy_pass http://127.0.0.1:{port}/pid;
            proxy_cache pages;
            proxy_cache_valid 200 1h;
            add_header Cache $upstream_cache_status;
        }}
    }}
}}
"""
ZONE: Final = 1 << 20
"""Bytes of the memory for the keys of the cache."""


class Server:
    """An nginx that runs. pid: of its master; folder: where its files are."""

    def __init__(self, pid: int, port: int, folder: Path) -> None:
        self.pid = pid
        self.port = port
        self.folder = folder

    def of(self, kind: str) -> list[int]:
        """The processes of one kind that its log says it has started, and not that they have ended."""
        text = (self.folder / "log").read_text()
        ended = set(re.findall(rf" {kind} (\d+) exited", text))
        return [int(pid) for pid in re.findall(rf" {self.pid}#\d+: start {kind} (\d+)", text) if pid not in ended]

    @property
    def workers(self) -> list[int]:
        """Those who answer."""
        return self.of(WORKER)

    @property
    def everybody(self) -> list[int]:
        """The master and all its children."""
        return [self.pid, *(pid for kind in KINDS for pid in self.of(kind))]

    def answer(self, path: str) -> tuple[str, str | None]:
        """What it says to a request over a connection of its own, and whether that came from the cache."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.read().decode(), response.getheader("Cache")

    def reload(self) -> None:
        """New workers of the same master (SIGHUP), and the old ones are gone."""
        before = self.everybody[1:]
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: not set(before) & set(self.everybody), "the end of the old workers")
        self.settle()

    def settle(self) -> None:
        """All that should be there is there, has its title, and only waits for work."""
        until(lambda: len(self.everybody) == 1 + WORKERS + 2 and all(map(_waits, self.everybody)), "all of nginx")


def _waits(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nginx: ") and state(pid) == "S"
    return False


def program() -> str:
    """The machine's nginx; raises Unavailable where it has none."""
    found = shutil.which("nginx", path=PATH)
    if found is None:
        raise Unavailable("nginx is not here (Debian package nginx-light)")
    return found


@contextlib.contextmanager
def serving(
    folder: Path, argv: Sequence[Argument] = (), *, user: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """nginx with all that it writes in FOLDER. argv: what starts it, without its options. user: a uid, else one's own.

    Its cache loader ends after a minute.
    """
    argv = argv or (program(),)
    for _ in range(_TRIES):
        port = _free_port()
        _configure(folder, port, user)
        command = [*argv, "-c", folder / "conf", "-e", folder / "log"]
        begun = started(command, env=env) if user is None else as_user(command, user, env=env)
        with begun as process:
            server = Server(process.pid, port, folder)
            if _has_begun(server, process):
                server.settle()
                yield server
                return
        said = (folder / "log").read_text()
        assert "Address already in use" in said, said
    raise Unavailable("every port that was free is taken a moment later")


def _has_begun(server: Server, process: Started) -> bool:
    """Whether it has got as far as its workers; otherwise it has ended."""
    until(lambda: process.process.poll() is not None or server.workers, "the start of nginx")
    return process.process.returncode is None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configure(folder: Path, port: int, user: int | None) -> None:
    """The folder as nginx wants it: an empty log, and a configuration for this port."""
    folder.mkdir(exist_ok=True)
    # Only root's workers become somebody else.
    names = f"{pwd.getpwuid(NOBODY).pw_name} {grp.getgrgid(NOBODY).gr_name}"
    changes = f"user {names};" if user is None and os.geteuid() == 0 else ""
    text = _CONFIGURATION.format(folder=folder, port=port, workers=WORKERS, user=changes, zone=ZONE)
    (folder / "conf").write_text(text)
    (folder / "log").write_text("")
    if user is not None:
        for path in (folder, folder / "log"):
            os.chown(path, user, user)
