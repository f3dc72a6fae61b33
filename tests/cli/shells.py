"""Real interactive shells in which a line is typed and completed, as by a person who presses the tab key."""

import os
import pty
import select
import signal
import time
from pathlib import Path

_PATIENCE = 60.0  # seconds, for a shell on a loaded machine
# What starts each without the settings of whoever runs the tests.
_PLAIN = {
    "bash": ["--noprofile", "--norc", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--private", "--interactive"],  # without its configuration it would look for no completions at home
}
_BEGINNING, _END = "\x01", "\x05"


class Terminal:
    """A shell behind a terminal. The keys that it is sent are those of its own line editor (Emacs style)."""

    def __init__(self, shell: str, executable: str, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._count = 0
        self._shown = b""
        own = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            os.execve(executable, [shell, *_PLAIN[shell]], {**own, "TERM": "dumb", "HOME": str(folder)})

    def run(self, line: str) -> None:
        """Has the shell carry out LINE."""
        self._type(f"{line}\n")

    def completed(self, typed: str) -> list[str]:
        """The words of the command line that stands there after TYPED, in which each tab is the key."""
        self._count += 1
        words = self._folder / f".words-{self._process}-{self._count}"
        self._type(f"{typed}{_BEGINNING}printf '%s\\n' {_END} > {words.name}; echo . >> {words.name}\n")
        deadline = time.monotonic() + _PATIENCE
        while not (words.exists() and words.read_bytes().endswith(b"\n.\n")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer to {typed!r}; on the terminal: {self._shown.decode(errors='replace')}")
            self._read(0.02)
        return words.read_text().splitlines()[:-1]

    def _type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def _read(self, seconds: float) -> None:
        if select.select([self._terminal], [], [], seconds)[0]:
            try:
                self._shown += os.read(self._terminal, 65536)
            except OSError:  # the shell has gone
                time.sleep(seconds)

    def close(self) -> None:
        """Ends the shell."""
        os.kill(self._process, signal.SIGKILL)
        os.close(self._terminal)
        os.waitpid(self._process, 0)
