"""When processes were looked at, and how long ago something was by then."""

from __future__ import annotations

import msgspec

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Moment(msgspec.Struct, frozen=True):
    """When the look was taken, in seconds since the epoch. dead: when each zombie was first seen to be one, by pid."""

    now: float
    dead: dict[int, float] = {}


def duration(seconds: float) -> str:
    """SECONDS as one says them: `12 s`, `3 min`, `47 h`, `2 days`; of a clock that was set back `0 s`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h"
    return f"{whole // _DAY} days"
