"""Compared programs for tests: figures that are set by hand, so that what is said of them follows from them alone."""

import operator
import random
from collections.abc import Callable, Sequence

import msgspec

from linkscope.analysis.comparing.verdict import verdict
from linkscope.measure.heavier import heavier, paired
from linkscope.measure.spread import Difference, differ
from linkscope.model.compare import (
    Copies,
    Loss,
    MappedFile,
    Part,
    Program,
    ProgramRun,
    Reach,
    Server,
    Spread,
    StartWork,
    Update,
    Verdict,
)
from linkscope.model.inspect import Hardening, Libc

KIB = 1024


def program(path: str, **changed: object) -> Program:
    """A dynamic program of 16 KiB that maps one library; CHANGED are fields of it."""
    plain = Program(
        path=path,
        machine="x86_64",
        linkage="dynamic",
        pie=True,
        size=16 * KIB,
        mapped_size=2000 * KIB,
        libraries=2,
        relocations=90,
        run=None,
        memory_size=20 * KIB,
        parts=[Part(kind="own-code", name=None, size=16 * KIB)],
        files=[
            MappedFile(
                path="/lib/libc.so.6", soname="libc.so.6", size=1900 * KIB, mapped_size=1980 * KIB, package="libc6"
            )
        ],
        start_work=StartWork(relative=3, symbolic=80, lazy=4, indirect=7, look_ups=80),
        updates=[
            Update(
                library="libc.so.6", project=None, how="restart", path="/lib/libc.so.6", package="libc6", version=None
            )
        ],
        libc=Libc(family="glibc", version=None),
        requires={"GLIBC": "2.34"},
        needs_kernel="3.2.0",
        reach=Reach(systems=60, starts=20, doubtful=0, because="GLIBC_2.34", oldest={"debian": "12"}),
        hardening=Hardening(relro="full", bind_now=True, nx=True, canary=None, fortify=None),
        losses=[],
        problems=[],
        path_bytes=None,
    )
    return msgspec.structs.replace(plain, **changed)


def static(path: str, **changed: object) -> Program:
    """The same linked statically."""
    given: dict[str, object] = {
        "linkage": "static",
        "size": 800 * KIB,
        "libraries": 0,
        "relocations": 25,
        "parts": [
            Part(kind="own-code", name=None, size=20 * KIB),
            Part(kind="library-code", name="glibc", size=780 * KIB),
        ],
        "files": [],
        "updates": [Update(library="glibc", project="glibc", how="rebuild", path=None, package=None, version="2.36")],
        "requires": {},
        "reach": Reach(systems=60, starts=58, doubtful=0, because=None, oldest={"debian": "11"}),
        "losses": [Loss(code="nss", message="…")],
    }
    return program(path, **(given | changed))


def timed(seconds: float, spread: float = 0.01, **changed: object) -> ProgramRun:
    """A run whose median is certain to SPREAD (a share of it)."""
    plain = ProgramRun(
        seconds=Spread(median=seconds, low=seconds * (1 - spread), high=seconds * (1 + spread)),
        user=0.0,
        system=0.0,
        minor_faults=50,
        major_faults=0,
        instructions=None,
        peak_rss=1000 * KIB,
        copies=[],
        one_more_copy=None,
    )
    return msgspec.structs.replace(plain, **changed)


def with_memory(one: int, more: int, noise: int = 0, anonymous: int | None = None) -> ProgramRun:
    """A run of which one copy takes ONE bytes of PSS, and each further one MORE; ANONYMOUS of each are of no file."""
    copies = [
        Copies(
            count=count,
            rss=one,
            pss=one + (count - 1) * more,
            private=more,
            page_tables=0,
            noise=noise,
            moment="exit",
            anonymous=None if anonymous is None else count * anonymous,
        )
        for count in (1, 16)
    ]
    return timed(0.001, copies=copies, one_more_copy=more, memory_noise=noise)


def copies(pss: dict[int, int], noise: int = 0) -> list[Copies]:
    """What so many copies take together, and nothing else of them."""
    return [
        Copies(count=count, rss=sum_, pss=sum_, private=sum_, page_tables=0, noise=noise, moment="exit")
        for count, sum_ in pss.items()
    ]


def times(seconds: float, rounds: int = 100, noise: float = 0.01, seed: int = 1) -> list[float]:
    """What ROUNDS runs take whose median is about SECONDS, and that scatter by NOISE (a share of it)."""
    chance = random.Random(seed)
    return [seconds * chance.gauss(1, noise) for _ in range(rounds)]


class Samples(msgspec.Struct):
    """What was measured of programs: TIMES of their runs, if they say anything, and memory that has its noise."""

    programs: Sequence[Program]
    times: Sequence[Sequence[float]]

    def starts(self, one: int, other: int) -> Difference:
        return differ(*(self.times[place] if self.times else times(0.001) for place in (one, other)))

    def heavier(self, one: int, other: int, count: int) -> Difference:
        return heavier(self._memory(one, 1), self._memory(other, -1), count)

    def serving(self, one: int, other: int) -> Difference:
        return paired(self._rounds(one, 1, Server.pss), self._rounds(other, -1, Server.pss))

    def connection(self, one: int, other: int) -> Difference:
        more = operator.attrgetter("one_more_connection")
        return paired(self._rounds(one, 1, more), self._rounds(other, -1, more))

    def _rounds(self, place: int, side: int, figure: Callable[[Server], int | None]) -> list[int]:
        """Five rounds, apart by the noise of the run, and in the one as in the other not at the same time."""
        run = self.programs[place].run
        if run is None or run.server is None:
            return []
        return [(figure(run.server) or 0) + sign * run.memory_noise // 2 for sign in (-side, side, 0, 0, 0)]

    def _memory(self, place: int, side: int) -> dict[int, list[int]]:
        """Five rounds each, apart by the noise, and in the one as in the other not at the same time."""
        run = self.programs[place].run
        apart = [-side, side, 0, 0, 0]
        return {one.count: [one.pss + sign * one.noise // 2 for sign in apart] for one in (run.copies if run else ())}


def judged(programs: Sequence[Program], *seconds: Sequence[float]) -> list[Verdict]:
    """The verdicts on PROGRAMS that were run, by the rules of the product. seconds: what the runs of each took."""
    return verdict(programs, Samples(programs, seconds))


def by_name(verdicts: list[Verdict]) -> dict[str, Verdict]:
    """VERDICTS by their criteria."""
    return {one.criterion: one for one in verdicts}
