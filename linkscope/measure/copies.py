"""What a program costs in memory when several copies of it are there at once, and what one more of them costs."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from statistics import median
from typing import Literal

import msgspec

from linkscope.errors import NotHeld, NotStarted, ProcessUnreadable, RunFailed
from linkscope.measure.command import Bounds, Command
from linkscope.measure.held import held_at_exit
from linkscope.measure.leftovers import none_left
from linkscope.measure.memory import Memory, available, memory_of_all
from linkscope.model.compare import Copies
from linkscope.model.quantities import size

Moment = Literal["exit", "serving"]
REPEAT, LEAST = 5, 2  # of the fewest copies: without a second time nothing is known of the noise
_PAGE = os.sysconf("SC_PAGESIZE")
_NOTABLE = 0.1  # of a figure: what is worth a note
_BUDGET = 2.0  # seconds for the repetitions of one number of copies
# How far five values lie apart over how far fewer do, on the average, of a normal distribution (Tippett, On the Extreme
# Individuals and the Range of Samples, Biometrika 17, 1925): two say little of what a third would be.
_WIDER = {2: 2.06, 3: 1.37, 4: 1.13}
_SPARE = 0.9  # of the memory that is free: what copies may take


class Taken(msgspec.Struct, frozen=True):
    """What was read while some copies were there. statuses: how each ended, as waitpid(2) has it.

    others: processes that they had started, and that ran on. Servers are not at their end: statuses are () then.
    """

    memory: Memory
    statuses: tuple[int, ...] = ()
    others: int = 0


class CopiesMeasured(msgspec.Struct, frozen=True):
    """The memory of copies, for each number of them: medians over the repetitions.

    one_more_copy: bytes of PSS, see `cost_of_one_more`. noise: bytes by which the sums of PSS of repetitions lay apart,
    or of five would have, the most of all numbers; one_more_noise: what of it is in one_more_copy. Two figures that are
    closer together than the larger noise of both say nothing: `tells_apart`. starts: of the program, for all of it.
    notes: what could not be measured, and why.
    """

    copies: list[Copies]
    one_more_copy: int | None
    noise: int
    one_more_noise: int
    starts: int
    notes: list[str]


def copies(command: Command, counts: Sequence[int], bounds: Bounds, repeat: int = REPEAT) -> CopiesMeasured:
    """The memory of COUNTS copies of a program at once, each held at the end of its life (`held`).

    A number is measured REPEAT times, or as often as fits into two seconds, but the smallest of them twice; a number
    that was measured once has the noise of so many times the smallest. What cannot be measured has no figure, and a
    note with the reason: where ptrace(2) is not permitted, where copies wait for one another, or would take more memory
    than there is. Raises NotStarted, CannotRun, and FileUnreadable of its input. The program should have run before, so
    that its files are in the page cache.
    """
    found = measured(
        lambda count: _taken(command, count, bounds), counts, "exit", bounds.timeout, repeat, command.accepted
    )
    return msgspec.structs.replace(found, notes=[*_rights(command), *found.notes])


def measured(
    take: Callable[[int], Taken],
    counts: Sequence[int],
    moment: Moment,
    seconds: float,
    repeat: int,
    accepted: Collection[int] = (0,),
) -> CopiesMeasured:
    """What TAKE says of each number of copies, several times within SECONDS each, up to the first that fails.

    accepted: exit codes of which nothing is said. TAKE raises what keeps it from being measured: NotHeld, RunFailed or
    ProcessUnreadable. Raises NotStarted.
    """
    taken: dict[int, list[Taken]] = {}
    notes: list[str] = []
    starts = 0
    for count in sorted(set(counts)):
        try:
            _check_room(count, taken)
            starts += count
            taken[count] = _several(take, count, seconds, repeat, 1 if taken else LEAST)
        except NotStarted:
            raise
        except (NotHeld, RunFailed, ProcessUnreadable) as error:
            notes.append(f"the memory of {_called(count)} at once is not told: {error.reason}")
            break
        starts += count * (len(taken[count]) - 1)
    noise = _noises(taken)
    figures = [_medians(count, takes, moment, noise[count]) for count, takes in taken.items()]
    return CopiesMeasured(
        copies=figures,
        one_more_copy=cost_of_one_more(figures),
        noise=max(noise.values(), default=0),
        one_more_noise=_noise_of_one_more(noise),
        starts=starts,
        notes=[*notes, *_remarks(taken, accepted), *_charged_for_others(figures, taken)],
    )


def cost_of_one_more(figures: Sequence[Copies]) -> int | None:
    """Bytes of PSS that each copy after the first adds: the slope between the smallest and the largest number.

    What N copies take is what one takes and N - 1 times this, exactly so for the largest number that was measured. A
    line through all numbers (least squares) would not be nearer to anything: the sum over numbers of copies is no line
    but bends, for the more copies there are, the more of the common pages they are charged with.

    It is what the *copies* are charged with. A page that M other processes on this machine have mapped as well (libc,
    mostly) was there before: N copies are charged with N / (N + M) of it, although they cost the machine nothing. So
    this lies above `own_memory`, what one more costs the machine, where other programs share the libraries, and is the
    same where they do not. Tables of pages are not in it (`page_tables`). None for less than two numbers of copies.
    """
    few, many = _ends(figures)
    if few is None or many is None:
        return None
    return round((many.pss - few.pss) / (many.count - few.count))


def own_memory(figures: Sequence[Copies]) -> int | None:
    """Bytes that one more copy costs the machine: what each has for itself alone while others are there too.

    What a copy shares with processes that it has started itself is not in it. None where only one copy was measured.
    """
    _, many = _ends(figures)
    return round(many.private / many.count) if many else None


def tells_apart(one: int, other: int, noise: int) -> bool:
    """Whether two figures of memory differ by more than NOISE, the larger one of both measurements, and by a page."""
    return abs(one - other) > max(noise, _PAGE)


def _ends(figures: Sequence[Copies]) -> tuple[Copies, Copies] | tuple[None, None]:
    """The figures of the smallest and of the largest number of copies."""
    ordered = sorted(figures, key=lambda one: one.count)
    return (ordered[0], ordered[-1]) if len(ordered) > 1 else (None, None)


def _noise_of_one_more(noise: dict[int, int]) -> int:
    if len(noise) < 2:
        return 0
    few, many = min(noise), max(noise)
    return -(-(noise[few] + noise[many]) // (many - few))


def times(seconds: float, repeat: int, least: int) -> int:
    """How often a number of copies is measured that takes SECONDS each time: as long as the two seconds are not over.

    repeat, least: as often at most, and at least.
    """
    return min(repeat, max(least, math.ceil(_BUDGET / seconds)))


def _several(take: Callable[[int], Taken], count: int, seconds: float, repeat: int, least: int) -> list[Taken]:
    """Several takes, fewer where they last long: see `times`."""
    deadline = time.monotonic() + min(seconds, _BUDGET)
    found = [take(count)]
    while len(found) < repeat and (len(found) < least or time.monotonic() < deadline):
        found.append(take(count))
    return found


def _check_room(count: int, taken: dict[int, list[Taken]]) -> None:
    """Raise NotHeld where so many copies would take more memory than there is."""
    if not taken:
        return
    most = max(taken)
    needed = taken[most][0].memory.pss // most * (count - 1)
    there_is = available()
    if there_is is not None and needed > _SPARE * there_is:
        raise NotHeld("memory", f"they might take {size(needed)} more, and {size(there_is)} are available")


def _taken(command: Command, count: int, bounds: Bounds) -> Taken:
    """COUNT copies held at once. They have as much longer to get there as they have to share processors."""
    seconds = bounds.timeout * max(1.0, count / len(os.sched_getaffinity(0)))
    with none_left() as leftovers, held_at_exit([command] * count, seconds) as held:
        pids = {copy.pid for copy in held}
        others = {pid for _, pid in leftovers.alive()} - pids
        return Taken(memory_of_all(pids | others), tuple(copy.status for copy in held), len(others))


def _medians(count: int, takes: Sequence[Taken], moment: Moment, noise: int) -> Copies:
    """The median of each figure over the takes."""

    def of(figure: Callable[[Memory], int]) -> int:
        return round(median(figure(one.memory) for one in takes))

    told = all(one.memory.anonymous is not None for one in takes)
    return Copies(
        count=count,
        rss=of(lambda memory: memory.rss),
        pss=of(lambda memory: memory.pss),
        private=of(lambda memory: memory.private),
        page_tables=of(lambda memory: memory.page_tables),
        anonymous=of(lambda memory: memory.anonymous or 0) if told else None,
        noise=noise,
        moment=moment,
    )


def _noises(taken: dict[int, list[Taken]]) -> dict[int, int]:
    """The noise of each number of copies; of what was measured once that of so many times the fewest."""
    found = {count: _noise([one.memory.pss for one in takes]) for count, takes in taken.items()}
    fewest = min(found, default=1)
    return {
        count: noise if len(taken[count]) > 1 else found[fewest] * count // fewest for count, noise in found.items()
    }


def _noise(values: Sequence[int]) -> int:
    """How far they lie apart, or would if there were five."""
    return round((max(values) - min(values)) * _WIDER.get(len(values), 1.0))


def _remarks(taken: dict[int, list[Taken]], accepted: Collection[int]) -> Iterator[str]:
    """What went otherwise than with one copy."""
    expected = next((one.statuses[0] for takes in taken.values() for one in takes if one.statuses), None)
    if expected is not None and os.waitstatus_to_exitcode(expected) not in accepted:
        yield f"while they are held, copies end {_how(expected)}"
    for count, takes in taken.items():
        strange = next((status for one in takes for status in one.statuses if status != expected), None)
        if strange is not None:
            yield f"of {_called(count)} at once not all end alike: one {_how(strange)}"
        others = max(one.others for one in takes)
        if others and expected is not None:
            what = "a process" if others == 1 else f"{others} processes"
            yield f"with {_called(count)}, {what} of the program ran on at the end, and the sums have that memory too"


def _charged_for_others(figures: Sequence[Copies], taken: dict[int, list[Taken]]) -> Iterator[str]:
    """How much of the cost of one more is none to the machine; not told where a copy is several processes."""
    if any(one.others for takes in taken.values() for one in takes):
        return
    slope, own = cost_of_one_more(figures), own_memory(figures)
    if slope is not None and own is not None and slope - own > max(_PAGE, _NOTABLE * slope):
        yield (
            f"of the {size(slope)} that one more copy costs, {size(slope - own)} are its part of pages that other "
            "programs on this machine have mapped as well"
        )


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"with exit code {code}" if code >= 0 else f"by signal {-code}"


def _called(count: int) -> str:
    return "one copy" if count == 1 else f"{count} copies"


def _rights(command: Command) -> Iterator[str]:
    """A note where the kernel gives the program fewer rights because it is held (execve(2), ptraced)."""
    if os.geteuid() == 0:
        return
    try:
        mode = os.stat(command.path).st_mode
    except OSError:
        return
    if mode & (stat.S_ISUID | stat.S_ISGID):
        yield "the program is set-user-id or set-group-id, and has not got these rights while its memory is measured"
    with contextlib.suppress(OSError):
        os.getxattr(command.path, "security.capability")
        yield "the program has file capabilities, and has not got these rights while its memory is measured"
