"""The programs that are compared, each with its place: paths are text, and two files may look alike by theirs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from linkscope.model.compare import Program
from linkscope.model.names import short_names


class Entrant(msgspec.Struct, frozen=True):
    """One of the programs that are compared. place: in the order in which they were named; name: in a sentence."""

    place: int
    program: Program
    name: str

    @property
    def is_fit(self) -> bool:
        """Whether it starts here: else what it would need is missing among its figures, and it cannot be better."""
        return not self.program.problems


def entrants(programs: Sequence[Program]) -> list[Entrant]:
    """PROGRAMS in their order, each with what it is called."""
    pairs = zip(programs, short_names(programs), strict=True)
    return [Entrant(place, program, name) for place, (program, name) in enumerate(pairs)]
