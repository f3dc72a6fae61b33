"""In which circumstances was measured: the kernel, the processor, and what disturbs."""

from __future__ import annotations

import glob
import os
import platform
from collections.abc import Iterator

_CPUINFO = "/proc/cpuinfo"
_GOVERNORS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
_STEADY = "performance"
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
    load, processors = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > _BUSY * processors:
        yield f"the machine is busy: a load of {load:.1f} on {processors} processors before the first run"
    governors = sorted({governor for path in glob.glob(_GOVERNORS) if (governor := _line(path))} - {_STEADY})
    if governors:
        yield f"the frequency of the processors changes with their work (governor {', '.join(governors)})"


def _model() -> str | None:
    try:
        with open(_CPUINFO, encoding="utf-8", errors="replace") as file:
            said = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in file) if colon}
    except OSError:
        return None
    return next((said[key] for key in _MODEL if said.get(key)), None)


def _line(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
