"""What is run, and within which bounds."""

from __future__ import annotations

import msgspec


class Command(msgspec.Struct, frozen=True):
    """A program and its arguments (without argv[0]), as it is started: by the path that was given.

    environment: of the program, all of it. input: the file that every run reads, from its start; None: nothing.
    accepted: the exit codes that are a good end. The working directory is the caller's.
    """

    path: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    input: str | None = None
    accepted: tuple[int, ...] = (0,)

    @property
    def argv(self) -> list[str]:
        """The whole argument vector."""
        return [self.path, *self.arguments]


class Bounds(msgspec.Struct, frozen=True):
    """How much a run may take: timeout in seconds, output in bytes."""

    timeout: float = 10.0
    output: int = 16 << 20
