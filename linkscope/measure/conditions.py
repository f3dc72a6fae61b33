"""In which circumstances was measured: the kernel, the processor, and what disturbs."""

from __future__ import annotations

import glob
import os
import platform
from collections.abc import Iterator

_CPUINFO = "/proc/cpuinfo"
_GOVERNORS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
_STEADY = "performance"
_CGROUP, _CGROUPS = "/proc/self/cgroup", "/sys/fs/cgroup"
_BUSY = 0.5  # runnable processes for each processor, before anything was started
# What /proc/cpuinfo calls the model, by machine: arch/*/kernel/cpu/proc.c, setup.c.
_MODEL = ("model name", "cpu model", "Processor", "cpu", "uarch")


def kernel() -> str:
    """The kernel's name, release and machine, as `uname -srm` prints them."""
    name = os.uname()
    return f"{name.sysname} {name.release} {name.machine}"


def processor() -> str:
    """How many processors this process may use, and of which model, where the kernel says it."""
    count = len(os.sched_getaffinity(0))
    return f"{count} x {_model() or platform.machine()}"


def disturbances() -> Iterator[str]:
    """What may make the times of runs differ, in a sentence each. Called before anything is started."""
    load, processors = _load(), len(os.sched_getaffinity(0))
    if load > _BUSY * processors:
        yield f"the machine is busy: a load of {load:.1f} on {processors} processors before the first run"
    governors = sorted({governor for path in glob.glob(_GOVERNORS) if (governor := _line(path))} - {_STEADY})
    if governors:
        yield f"the frequency of the processors changes with their work (governor {', '.join(governors)})"


class Held:
    """How often the kernel holds this process and its children back, from the making of this on, for they have used up
    the share of processors that their control group, or one around it, may have: as in a container with a limit.

    Source: Linux Documentation/admin-guide/cgroup-v2.rst (cpu.stat, nr_throttled), scheduler/sched-bwc.rst (v1).
    """

    def __init__(self) -> None:
        self._before = _held_back()

    def said(self) -> Iterator[str]:
        """A note where that has happened."""
        times = _held_back() - self._before
        if times > 0:
            yield (
                f"the kernel held back what was measured {times} times: its control group has a limit of processor "
                "time (cpu.max), and some runs took longer for it"
            )


def _held_back() -> int:
    """So often so far, by all the groups around this process; 0 where that is not told."""
    return sum(_throttled(folder) for folder in _groups())


def _groups() -> Iterator[str]:
    """The folders of the control groups that this process is in, of the hierarchies that limit processor time.

    Within a namespace the names begin at its own root (cgroup_namespaces(7)), and so does what is mounted.
    """
    for row in (_content(_CGROUP) or "").splitlines():
        _, controllers, path = row.split(":", 2)
        if not controllers:
            mounts = ["", "unified/"]
        elif "cpu" in controllers.split(","):
            mounts = [f"{controllers}/"]
        else:
            continue
        for mount in mounts:
            inner = path.strip("/")
            while inner:
                yield f"{_CGROUPS}/{mount}{inner}"
                inner = inner.rpartition("/")[0]
            yield f"{_CGROUPS}/{mount}"


def _throttled(folder: str) -> int:
    for line in (_content(f"{folder}/cpu.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "nr_throttled" and value.isdecimal():
            return int(value)
    return 0


def _load() -> float:
    """Of the last minute; 0.0 where /proc does not tell it."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def _model() -> str | None:
    try:
        with open(_CPUINFO, encoding="utf-8", errors="replace") as file:
            said = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in file) if colon}
    except OSError:
        return None
    return next((said[key] for key in _MODEL if said.get(key)), None)


def _line(path: str) -> str | None:
    said = _content(path)
    return None if said is None else said.strip()


def _content(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
