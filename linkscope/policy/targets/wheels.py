"""Whether the platform tag of a wheel allows a file, as auditwheel decides it.

Source: PEP 600 (manylinux) and PEP 656 (musllinux), and auditwheel's policy files and wheel_abi.py: libraries of a
list, versions of a list for each family, and some symbols of a library that may not be used. A loader would be content
with more, or with less: weak versions count here, and the interpreter does not.
"""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.targets.offer import Machine, Target, WheelPolicy
from linkscope.policy.targets.reason import Reason
from linkscope.policy.targets.requirements import Requirements

# What older Cython left in extensions, and what narrow builds of Python 2 called theirs: no other Python has them.
_OF_SOME_PYTHONS = ("PyFPE_jbuf", "PyFPE_dummy", "PyFPE_counter", "PyUnicodeUCS2_")


def within_tag(target: Target, machine: Machine, wanted: Requirements) -> Iterator[Reason]:
    """What the tag does not allow."""
    policy = target.wheels or WheelPolicy({}, {})
    yield from _versions(target, machine, policy, wanted)
    allowed = target.libraries[machine.name]
    for need in wanted.needs:
        if need.name not in allowed and not _is_loader(need.name):
            message = f"needs {need.name}, which is not among the libraries that {target.name} allows"
            yield Reason(code="library", weight="fatal", subject=need.name, message=message, askers=need.askers)
    yield from _symbols(target, policy, wanted)
    if wanted.cpu_level > 1:
        level = f"x86-64-v{wanted.cpu_level}"
        message = f"says that it needs {level}, and {target.name} is for every x86-64 processor"
        yield Reason(code="cpu", weight="fatal", subject=level, message=message, askers=(wanted.path,))


def _is_loader(name: str) -> bool:
    return "ld-linux" in name or name in ("ld64.so.1", "ld64.so.2")


def _versions(target: Target, machine: Machine, policy: WheelPolicy, wanted: Requirements) -> Iterator[Reason]:
    """The family of a version is what stands before its first `_`, as CXXABI of CXXABI_TM_1."""
    allowed = policy.versions.get(machine.name, {})
    asked: dict[str, list[str]] = {}
    for one in sorted((*wanted.versions, *wanted.within), key=lambda one: [-part for part in one.number]):
        family, _, number = one.name.partition("_")
        if family in allowed and number not in allowed[family] and not _is_loader(one.provider):
            asked.setdefault(one.name, []).append(one.asker)
    for name, askers in sorted(asked.items(), key=lambda row: not row[0].startswith("GLIBC_")):
        message = f"needs {name}, which {target.name} does not allow"
        yield Reason(code="version", weight="fatal", subject=name, message=message, askers=tuple(dict.fromkeys(askers)))


def _symbols(target: Target, policy: WheelPolicy, wanted: Requirements) -> Iterator[Reason]:
    symbols = wanted.symbols or frozenset()
    for need in wanted.needs:
        for symbol in sorted(policy.forbidden.get(need.name, frozenset()) & symbols):
            message = f"uses {symbol} of {need.name}, which {target.name} does not allow"
            yield Reason(code="tag", weight="fatal", subject=symbol, message=message, askers=need.askers)
    for symbol in sorted(name for name in symbols if name.startswith(_OF_SOME_PYTHONS)):
        message = f"uses {symbol}, which only some builds of Python have"
        yield Reason(code="tag", weight="fatal", subject=symbol, message=message, askers=(wanted.path,))
