"""What is run, and within which bounds."""

from __future__ import annotations

import msgspec

from linkscope.model.compare import Output


class Tally:
    """How often a program was started, by whoever started it (`launch`, `held`), and whatever became of it then."""

    __slots__ = ("starts",)

    def __init__(self) -> None:
        self.starts = 0


class Command(msgspec.Struct, frozen=True):
    """A program and its arguments (without argv[0]), as it is started: by the path that was given.

    environment: of the program, all of it. input: the file that every run reads, from its start; None: nothing. output:
    where its standard output goes while it is measured (`output.sink`). accepted: the exit codes that are a good end.
    The working directory is the caller's. tally: of this command, and of those that are made of it
    (`msgspec.structs.replace`).
    """

    path: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    input: str | None = None
    accepted: tuple[int, ...] = (0,)
    output: Output = "null"
    tally: Tally = msgspec.field(default_factory=Tally)

    @property
    def argv(self) -> list[str]:
        """The whole argument vector."""
        return [self.path, *self.arguments]


class Bounds(msgspec.Struct, frozen=True):
    """How much a run may take: timeout in seconds, output in bytes."""

    timeout: float = 10.0
    output: int = 16 << 20
