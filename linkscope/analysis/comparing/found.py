"""What was measured of programs that are compared, be they such as end by themselves or servers."""

from __future__ import annotations

import msgspec

from linkscope.model.compare import ProgramRun


class Found(msgspec.Struct):
    """By the programs' numbers: each has either a run, with what it was made of, or a reason for none.

    samples: seconds from start to end, of a server until it took a connection, in the order of the rounds. memory,
    connected: bytes of PSS by the number of copies, and of a server's connections, in the order of the rounds. notes:
    what could not be measured, and why. rounds, warm_ups: in how many all were started in turn. overhead: seconds that
    measuring adds to each run; None where that is not known.
    """

    runs: dict[int, ProgramRun] = msgspec.field(default_factory=dict)
    samples: dict[int, list[float]] = msgspec.field(default_factory=dict)
    reasons: dict[int, str] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)
    memory: dict[int, dict[int, list[int]]] = msgspec.field(default_factory=dict)
    connected: dict[int, dict[int, list[int]]] = msgspec.field(default_factory=dict)
    rounds: int = 0
    warm_ups: int = 0
    overhead: float | None = None
