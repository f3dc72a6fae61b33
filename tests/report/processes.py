"""Documents of processes for the reports to lay out, each test saying only what matters to it."""

from typing import Any

from linkscope.model.pid import (
    Channel,
    ChannelEnd,
    CopyOnWrite,
    Disk,
    Executable,
    Family,
    FamilyTree,
    FindingCode,
    Level,
    MappedObject,
    Opener,
    Origin,
    Process,
    ProcessFinding,
    ProcessMemory,
    Relative,
    Restart,
    Usage,
)
from linkscope.report.moment import Moment

NOW = 1_700_000_000.0
MOMENT = Moment(NOW)
KIB, MIB = 1 << 10, 1 << 20
MEMORY = ProcessMemory(
    rss=12 * MIB,
    pss=6 * MIB,
    shared=8 * MIB,
    private=4 * MIB,
    swap=0,
    copy_on_write=CopyOnWrite(private_memory=5 * MIB, shared=3 * MIB, own=2 * MIB),
)


def mapped(
    name: str, origin: Origin = "needed", disk: Disk = "same", path: str | None = None, **other: Any
) -> MappedObject:
    """An object, mapped from /lib/NAME unless PATH says otherwise."""
    facts: dict[str, Any] = {
        "soname": name,
        "loaded_as": path or f"/lib/{name}",
        "memory": Usage(rss=1420 * KIB, pss=20 * KIB, shared=1400 * KIB, private=20 * KIB),
        "build_id": None,
        "namespaces": [0],
    }
    return MappedObject(path=path or f"/lib/{name}", origin=origin, disk=disk, **{**facts, **other})


def finding(
    code: FindingCode, level: Level = "warning", path: str | None = None, message: str = "…", **other: Any
) -> ProcessFinding:
    """Something to know of a process."""
    return ProcessFinding(code=code, level=level, path=path, message=message, **other)


def family(parent: int = 1, **other: Any) -> Family:
    """A place in a family."""
    facts: dict[str, Any] = {"children": [], "zombies": [], "orphan": False}
    return Family(parent=parent, **{**facts, **other})


def process(pid: int = 1234, **other: Any) -> Process:
    """A dynamic program that sleeps, started two hours before NOW."""
    facts: dict[str, Any] = {
        "ppid": 1,
        "name": "app",
        "cmdline": ["/usr/bin/app", "--serve"],
        "state": "sleeping",
        "threads": 1,
        "user": "www-data",
        "started": NOW - 7200,
        "executable": Executable(path="/usr/bin/app", disk="same", linkage="dynamic", pie=True),
        "objects": None,
        "libraries": 2,
        "absent": [],
        "findings": [],
        "family": family(),
        "memory": MEMORY,
        "unit": None,
        "container": None,
        "root": None,
    }
    return Process(pid=pid, **{**facts, **other})


def relative(pid: int, ppid: int, depth: int, **other: Any) -> Relative:
    """A member of a family, started a minute before NOW."""
    facts: dict[str, Any] = {
        "name": "app",
        "cmdline": ["app"],
        "state": "sleeping",
        "threads": 1,
        "linkage": "dynamic",
        "role": None,
        "orphan": False,
        "pss": MIB,
        "copy_on_write": None,
        "started": NOW - 60,
    }
    return Relative(pid=pid, ppid=ppid, depth=depth, **{**facts, **other})


def hostile(name: str) -> tuple[Process, FamilyTree]:
    """A process and a family in which every string that can come out of /proc or a file is NAME."""
    stale = finding("stale-object", path=f"/{name}/{name}", message=name)
    restart = Restart(path=name, build_id=name)
    opened = mapped(name, "dlopen", opened_by=[Opener(path=name, how="string")], restart=restart)
    one = process(
        name=name,
        cmdline=[name, name],
        user=name,
        executable=Executable(
            path=name, disk="deleted", linkage="dynamic", pie=True, started_through=name, script=name
        ),
        objects=[mapped(name, path=f"/{name}/{name}", disk="replaced", soname=None), opened],
        absent=[name],
        findings=[stale, finding("preloaded", message=name), finding("disk-unknown", "note", message=name)],
        family=family(role=name),
        unit=name,
        container=name,
        root=name,
    )
    member = relative(1, 0, 0, name=name, cmdline=[name], role=name)
    end = ChannelEnd(pid=1, descriptors=[3], use="map")
    channel = Channel(kind="shared-memory", name=name, size=1, ends=[end])
    return one, FamilyTree(pid=1, members=[member], channels=[channel], pss=1, one_more=1)
