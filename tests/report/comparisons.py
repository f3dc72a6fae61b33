"""Comparisons for the reports to lay out: made by hand, each test saying only what matters to it."""

import msgspec

from linkscope.model.compare import (
    CompareDocument,
    Copies,
    Loss,
    MappedFile,
    Measurement,
    Part,
    Program,
    ProgramRun,
    Reach,
    Server,
    ServerProcess,
    Spread,
    StartWork,
    Update,
    Value,
    Verdict,
)
from linkscope.model.inspect import Hardening, Libc

LIBC = MappedFile(
    path="/lib/x86_64-linux-gnu/libc.so.6", soname="libc.so.6", size=1_922_136, mapped_size=1_966_080, package="libc6"
)
LOADER = MappedFile(
    path="/lib64/ld-linux-x86-64.so.2",
    soname="ld-linux-x86-64.so.2",
    size=210_968,
    mapped_size=217_088,
    package="libc6",
)
MEASUREMENT = Measurement(
    arguments=["-n", "two words"],
    rounds=40,
    warm_ups=3,
    copies=[1, 4, 16],
    timeout=10.0,
    overhead=0.000012,
    kernel="Linux 6.1.0",
    cpu="Some CPU, 2 cores",
    notes=["instructions are not counted here: kernel.perf_event_paranoid is 4"],
)


def run(median: float = 0.0006, pss: int = 200_000, more: int = 90_000, **other: object) -> ProgramRun:
    """What was measured of a program whose first copy takes PSS bytes, each further one MORE."""
    facts: dict[str, object] = {
        "seconds": Spread(median=median, low=median * 0.97, high=median * 1.05),
        "user": median / 3,
        "system": median / 2,
        "minor_faults": 93,
        "major_faults": 0,
        "instructions": 1_240_000,
        "peak_rss": 1_400_000,
        "copies": [
            Copies(
                count=count, rss=count * 1_400_000, pss=pss + (count - 1) * more, private=count * more,
                page_tables=count * 40_960, moment="exit",
            )
            for count in (1, 4, 16)
        ],
        "one_more_copy": more,
    }  # fmt: skip
    return ProgramRun(**{**facts, **other})  # type: ignore[arg-type]  # a table of all fields


def program(path: str, **other: object) -> Program:
    """A dynamic PIE of glibc, which was not run."""
    facts: dict[str, object] = {
        "machine": "x86_64",
        "linkage": "dynamic",
        "pie": True,
        "size": 16_000,
        "memory_size": 20_480,
        "mapped_size": 2_203_648,
        "libraries": 2,
        "relocations": 1_301,
        "run": None,
        "parts": [
            Part(kind="own-code", name=None, size=400),
            Part(kind="data", name=None, size=600),
            Part(kind="linking", name=None, size=3_000),
            Part(kind="symbols", name=None, size=5_000),
            Part(kind="other", name=None, size=7_000),
        ],
        "files": [LIBC, LOADER],
        "start_work": StartWork(relative=1_250, symbolic=14, lazy=0, indirect=37, look_ups=26),
        "updates": [
            Update(library="libc.so.6", project="glibc", how="restart", path=LIBC.path, package="libc6", version=None)
        ],
        "libc": Libc(family="glibc"),
        "requires": {"GLIBC": "2.34"},
        "needs_kernel": "3.2.0",
        "reach": Reach(systems=23, starts=14, doubtful=0, because="GLIBC_2.34", oldest={"debian": "12"}),
        "hardening": Hardening(relro="full", bind_now=True, nx=True, canary=False, fortify=False, cet=False),
        "losses": [],
        "problems": [],
    }
    return Program(path=path, **{**facts, **other})  # type: ignore[arg-type]  # a table of all fields


def static(path: str, **other: object) -> Program:
    """A static program of glibc, which was not run."""
    facts: dict[str, object] = {
        "linkage": "static",
        "pie": False,
        "size": 780_000,
        "memory_size": 790_528,
        "mapped_size": 790_528,
        "libraries": 0,
        "relocations": 25,
        "parts": [
            Part(kind="own-code", name=None, size=400),
            Part(kind="library-code", name="glibc", size=520_000),
            Part(kind="read-only-data", name="glibc", size=139_600),
            Part(kind="data", name=None, size=20_000),
            Part(kind="symbols", name=None, size=80_000),
            Part(kind="other", name=None, size=20_000),
        ],
        "files": [],
        "start_work": StartWork(relative=0, symbolic=0, lazy=0, indirect=25, look_ups=None),
        "updates": [Update(library="glibc", project="glibc", how="rebuild", path=None, package=None, version="2.36")],
        "requires": {},
        "reach": Reach(systems=23, starts=23, doubtful=0, because=None, oldest={"debian": "7"}),
        "losses": [Loss(code="nss", message="names are only found with the NSS modules of glibc 2.36")],
    }
    return program(path, **{**facts, **other})


def server(children: int = 2, private: int = 80_000) -> Server:
    """A server with a child for each connection, of whose memory half is what its parent has."""

    def process(role: str) -> ServerProcess:
        return ServerProcess(
            role=role,  # type: ignore[arg-type]  # one of the two
            rss=900_000,
            pss=private + 20_000,
            private=private,
            private_memory=160_000,
            shared=80_000,
        )

    return Server(
        port=8888,
        ready=0.0021,
        connections=children,
        processes=[process("parent"), *(process("child") for _ in range(children))],
        one_more_connection=private + 9_000,
    )


def verdict(criterion: str, programs: list[Program], figures: list[float | None], **other: object) -> Verdict:
    """PROGRAMS with their FIGURES; nobody is best, unless that is said: `better` and `tied`, by their paths."""
    places = {one.path: place for place, one in enumerate(programs)}
    facts: dict[str, object] = {
        "better": None,
        "ratio": 0.5,
        "message": f"by {criterion} something is better",
        "unit": "bytes",
        "values": [
            Value(path=one.path, value=figure, program=place)
            for place, (one, figure) in enumerate(zip(programs, figures, strict=True))
        ],
    }
    facts["best"] = places.get(str(other.get("better")))
    facts["tied_places"] = [place for path, place in places.items() if path in other.get("tied", ())]  # type: ignore[operator]
    return Verdict(criterion=criterion, **{**facts, **other})  # type: ignore[arg-type]  # a table of all fields


def document(programs: list[Program], verdicts: list[Verdict] | None = None, **other: object) -> CompareDocument:
    """PROGRAMS compared; measured where one of them was run."""
    facts: dict[str, object] = {
        "suggestions": [],
        "measurement": MEASUREMENT if any(one.run for one in programs) else None,
        "errors": [],
    }
    return CompareDocument(programs=programs, verdict=verdicts or [], **{**facts, **other})  # type: ignore[arg-type]


def five() -> CompareDocument:
    """One program in five linkages, measured, with a verdict and what it suggests."""
    folder = "fixtures/build/hello/hello-"
    programs = [
        program(f"{folder}dynamic-pie", run=run(0.00061, 310_000, 110_000)),
        program(f"{folder}dynamic-nonpie", pie=False, size=15_900, run=run(0.000605, 308_000, 108_000)),
        static(f"{folder}static", run=run(0.00032, 120_000, 60_000)),
        static(f"{folder}static-pie", pie=True, size=810_000, run=run(0.00036, 190_000, 100_000)),
        static(
            f"{folder}musl-static",
            size=36_000,
            libc=Libc(family="musl"),
            parts=[
                Part(kind="own-code", name=None, size=400),
                Part(kind="library-code", name="musl", size=20_000),
                Part(kind="symbols", name=None, size=9_000),
                Part(kind="debug", name=None, size=6_600),
            ],
            losses=[],
            run=run(0.00021, 40_000, 24_000),
        ),
    ]
    sizes = verdict(
        "size",
        programs,
        [one.size for one in programs],
        better=programs[1].path,
        message="hello-dynamic-nonpie is the smallest file: 16 KiB against 16 KiB of hello-dynamic-pie (0.99 x); "
        "the last is hello-static-pie with 791 KiB",
    )
    start = verdict(
        "start",
        programs,
        [one.run.seconds.median for one in programs if one.run and one.run.seconds],
        better=programs[4].path,
        unit="seconds",
        message="hello-musl-static is done first: 210 µs against 320 µs of hello-static (0.66 x); the last is "
        "hello-dynamic-pie with 610 µs",
    )
    memory = verdict(
        "memory",
        programs,
        [one.run.copies[0].pss for one in programs if one.run],
        tied=[programs[2].path, programs[4].path],
        message="hello-static and hello-musl-static tie, for they differ by no more than the noise: 39 KiB to 117 KiB",
    )
    said = ["Link it statically with musl: it is done in 0.34 x the time, and needs no other file."]
    return document(programs, [sizes, start, memory], suggestions=said)


def hostile(name: str) -> CompareDocument:
    """A comparison in which every string that can come out of a file or a machine is NAME."""
    mapped = MappedFile(path=f"/{name}", soname=name, size=5_000, mapped_size=8_192, package=name)
    facts: dict[str, object] = {
        "parts": [Part(kind="library-code", name=name, size=16_000)],
        "files": [mapped],
        "updates": [Update(library=name, project=None, how="restart", path=f"/{name}", package=name, version=name)],
        "libc": Libc(family="glibc", version=name),
        "requires": {name: name},
        "needs_kernel": name,
        "losses": [Loss(code="nss", message=f"no {name}")],
        "problems": [f"{name} is missing"],
        "run": run(),
    }
    programs = [program(f"a/{name}", **facts), program(f"b/{name}", **facts)]
    said = msgspec.structs.replace(MEASUREMENT, arguments=[name], kernel=name, cpu=name, notes=[name])
    sizes = verdict(
        "size",
        programs,
        [16_000, 16_000],
        tied=[one.path for one in programs],
        message=f"{name} tie",
    )
    return document(programs, [sizes], suggestions=[name], measurement=said)
