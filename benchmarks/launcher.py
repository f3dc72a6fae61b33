"""Starts commands for `timing`, one request a line of JSON on standard input, one answer a line on the output.

A process of its own, started with `-I -S` and small: what the kernel tells of a process's largest memory includes that
of the process which it was forked from.
"""

import json
import os
import sys
import time

_READ, _WRITE = os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, _READ, 0),
            (os.POSIX_SPAWN_OPEN, 1, request["output"], _WRITE, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, _WRITE, 0),
        ]
        started = time.perf_counter()
        pid = os.posix_spawn(request["argv"][0], request["argv"], os.environ, file_actions=files)
        _, status, usage = os.wait4(pid, 0)
        answer = {
            "seconds": time.perf_counter() - started,
            "status": os.waitstatus_to_exitcode(status),
            "processor": usage.ru_utime + usage.ru_stime,
            "memory": usage.ru_maxrss * 1024,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
