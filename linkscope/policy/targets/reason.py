"""Why a file does not start on a target, and the verdict that comes of it."""

from __future__ import annotations

from typing import Literal

import msgspec

Code = Literal["machine", "interpreter", "cpu", "library", "version", "relocations", "symbol", "tag"]
Weight = Literal["fatal", "doubtful", "note"]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that stands between a file and a target.

    weight: `fatal`, the file does not start; `doubtful`, what is known of the target does not tell; `note`, it starts
    all the same. subject: what is asked for (`GLIBC_2.34`, `libz.so.1`). askers: the objects that ask for it, by path.
    everywhere: it is so on every target; a rule of its own tells of it, whether or not one is asked for.
    package: of the target's distribution, which brings what is asked for; None where none is known.
    code `tag`: nothing that a loader would object to, but a wheel's platform tag forbids it.
    """

    code: Code
    weight: Weight
    subject: str
    message: str
    askers: tuple[str, ...] = ()
    everywhere: bool = False
    package: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """starts: None where it cannot be told. because: the subject of the first reason that decides, None if it starts.

    reasons: all that decide, the fatal ones first. notes: what does not keep the file from starting.
    """

    target: str
    starts: bool | None
    because: str | None
    reasons: tuple[Reason, ...]
    notes: tuple[Reason, ...]
