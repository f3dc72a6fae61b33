"""Whether a file starts on a target, and every reason why it would not."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.targets.offer import Machine, Target
from linkscope.policy.targets.on_glibc import on_glibc
from linkscope.policy.targets.on_musl import on_musl
from linkscope.policy.targets.reason import Reason, Verdict, Weight
from linkscope.policy.targets.requirements import Requirements
from linkscope.policy.targets.wheels import within_tag

_LEVELS = {2: "x86-64-v2", 3: "x86-64-v3", 4: "x86-64-v4"}


def verdict(target: Target, wanted: Requirements) -> Verdict:
    """Whether a file that asks for WANTED starts on TARGET; for the tag of a wheel, whether the tag allows it."""
    found = list(_reasons(target, wanted))
    deciding = [reason for weight in ("fatal", "doubtful") for reason in found if reason.weight == weight]
    return Verdict(
        target=target.name,
        starts=None if deciding and deciding[0].weight == "doubtful" else not deciding,
        because=deciding[0].subject if deciding else None,
        reasons=tuple(deciding),
        notes=tuple([reason for reason in found if reason.weight == "note"]),
    )


def _reasons(target: Target, wanted: Requirements) -> Iterator[Reason]:
    machine = target.machine(wanted.machine, wanted.elf_class, wanted.endian)
    if machine is None:
        yield from _no_machine(target, wanted)
    elif target.wheels is not None:
        yield from within_tag(target, machine, wanted)
    elif not wanted.loaded:
        yield from _of_static(wanted)
    else:
        yield from _of_dynamic(target, machine, wanted)


def _no_machine(target: Target, wanted: Requirements) -> Iterator[Reason]:
    """Where the release has the machine, a static program starts; of its libraries nothing is known."""
    known = ", ".join(machine.name for machine in target.machines)
    what = f"{wanted.machine} ({wanted.elf_class}-bit, {wanted.endian}-endian)"
    if target.also is not None and wanted.machine not in target.also:
        message = f"is for {what}; {target.name} is for {', '.join([known, *target.also])}"
        yield Reason(code="machine", weight="fatal", subject=wanted.machine, message=message)
    elif target.also is None or wanted.loaded:
        message = f"is for {what}, and what {target.name} has is known for {known} alone"
        yield Reason(code="machine", weight="doubtful", subject=wanted.machine, message=message)


def _of_static(wanted: Requirements) -> Iterator[Reason]:
    """A static program brings its C library along; one of glibc may still open the system's (NSS, iconv)."""
    if wanted.loads_at_run_time:
        message = (
            "is static and still loads libraries at run time, which have to be of the very glibc that is inside it"
        )
        yield Reason(code="library", weight="note", subject=wanted.path, message=message)


def _of_dynamic(target: Target, machine: Machine, wanted: Requirements) -> Iterator[Reason]:
    interpreter = wanted.interpreter
    known = (machine.interpreter, *machine.also)
    if interpreter is not None and machine.interpreter is not None and interpreter not in known:
        message = f"asks for the loader {interpreter}; that of {target.name} is {machine.interpreter}"
        if interpreter in machine.perhaps:
            message += ", and whether that path leads to it is not known"
        weight: Weight = "doubtful" if interpreter in machine.perhaps else "fatal"
        yield Reason(code="interpreter", weight=weight, subject=interpreter, message=message)
        if ("/ld-musl-" in interpreter) != (target.libc == "musl"):
            return  # it is made for another C library: whatever else is missing follows from that
    if machine.cpu and wanted.cpu_level > machine.cpu:
        level = _LEVELS[min(wanted.cpu_level, max(_LEVELS))]
        runs_on = _LEVELS.get(machine.cpu, "any x86-64")
        message = f"says that it needs {level}, and {target.name} is for processors from {runs_on} on"
        yield Reason(code="cpu", weight="doubtful", subject=level, message=message, askers=(wanted.path,))
    yield from _everywhere(wanted)
    libraries = target.libraries[machine.name]
    yield from (on_musl if target.libc == "musl" else on_glibc)(target, libraries, wanted)


def _everywhere(wanted: Requirements) -> Iterator[Reason]:
    """What keeps the file from starting on every target: a part of the release itself."""
    for refused in wanted.refused:
        askers = (refused.asker,) if refused.asker else ()
        yield Reason(
            code="library",
            weight="fatal",
            subject=refused.path,
            message=refused.message,
            askers=askers,
            everywhere=True,
        )
    for one in wanted.undefined:
        reference = one.reference
        name = f"{reference.symbol}@{reference.version}" if reference.version else reference.symbol
        when = "" if reference.fails == "start" else ": it ends when it first calls it"
        yield Reason(
            code="symbol",
            weight="fatal" if one.everywhere and reference.fails == "start" else "note",
            subject=name,
            message=f"nothing at hand defines {name}{when}; {one.because}",
            askers=(reference.needed_by,),
            everywhere=True,
        )
