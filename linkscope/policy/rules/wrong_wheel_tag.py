"""`wrong-wheel-tag`: a file of a wheel is not what the wheel's own platform tags say."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.targets.data import ARCHITECTURES
from linkscope.policy.targets.reason import Reason
from linkscope.policy.targets.requirements import Requirements, requirements
from linkscope.policy.targets.verdict import verdict
from linkscope.policy.wheeltags import Claim, Claims, claims_of, first_held, policy_of

_SHOWN = 4  # symbols of one version
_BY_HEADER = {header: name for name, header in ARCHITECTURES.items()}


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """Code for processors of which no tag tells (of a graphics card, of BPF), and what nothing loads, is data."""
    if not subject.claims or subject.file.kind not in ("executable", "shared-library"):
        return
    elf = subject.file.elf
    architecture = _BY_HEADER.get((elf.machine, elf.class_, elf.endian))
    if architecture is None:
        return
    claims = claims_of(subject.claims)
    if claims.everywhere:
        message = f"is for Linux on {architecture}, and the tag `any` of its wheel lets every system install it"
        yield Fault("any", message, level="note")
    if architecture in claims.linux:
        yield from _of_policies(subject, [claim for claim in claims.oldest if claim.architecture == architecture])
    elif claims.linux and not claims.everywhere and claims.linux.keys() <= ARCHITECTURES.keys():
        yield _of_architecture(architecture, claims)


def _of_architecture(architecture: str, claims: Claims) -> Fault:
    """Where one of the tags has an architecture that is not known here, it may be the file's."""
    tag, others = next(iter(claims.linux.values())), " and ".join(claims.linux)
    return Fault(tag, f"is for {architecture}, and the platform tags of its wheel are for {others}")


def _of_policies(subject: Subject, claims: list[Claim]) -> Iterator[Fault]:
    if not claims:
        return
    wanted = _of_the_system(subject)
    for claim in claims:
        policy = policy_of(claim)
        reasons = verdict(policy, wanted).reasons if policy is not None else ()
        if reasons:
            held = first_held(claim, wanted)
            told = (
                f"the oldest that allows this file is {held}" if held else f"no tag of {claim.family} allows this file"
            )
            message = f"does not keep to {claim.tag}, which is a platform tag of its wheel; {told}"
            yield Fault(claim.tag, message, tuple(_evidence(subject, wanted, reasons)))


def _of_the_system(subject: Subject) -> Requirements:
    """What the file asks of the system: no library that lies in the wheel, even if another file has to load it first.

    Whether a search path leads there is told by `missing-library`.
    """
    wanted = requirements(subject, subject.undefined)
    needs = tuple([need for need in wanted.needs if subject.within(need.name) is None])
    return msgspec.structs.replace(wanted, needs=needs)


def _evidence(subject: Subject, wanted: Requirements, reasons: tuple[Reason, ...]) -> Iterator[str]:
    """Each reason, with the symbols that carry a version, or else the other objects that ask."""
    symbols: dict[str, list[str]] = {}
    for version, carriers in subject.carriers((*wanted.versions, *wanted.within)).items():
        symbols.setdefault(version.name, []).extend(carrier.symbol for carrier in carriers)
    for reason in reasons:
        carried = symbols.get(reason.subject, []) if reason.code == "version" else []
        askers = [asker for asker in reason.askers if asker != subject.file.path]
        if carried:
            yield f"{reason.message}: {_some(carried)}"
        else:
            yield f"{reason.message} (asked for by {_some(askers)})" if askers else reason.message


def _some(names: list[str]) -> str:
    different = list(dict.fromkeys(names))
    more = len(different) - _SHOWN
    return ", ".join(different) if more <= 0 else f"{', '.join(different[:_SHOWN])} and {more} more"


RULE = Rule(
    id="wrong-wheel-tag",
    level="warning",
    summary="The file is for other systems than the platform tags of its wheel say.",
    why=(
        "Installers go by the tags in a wheel's file name alone: where they promise too much, the wheel is chosen on "
        "systems on which it fails. Of several tags each is a promise, so that the oldest decides. `linux_x86_64` and "
        "the like promise only the architecture; an ELF file in a wheel for `any` system is a note."
    ),
    remedy=(
        "Give the wheel the newest of the tags that are named for its files (`auditwheel repair` does, and brings "
        "libraries along), or build in the image of the tag that is wanted. Where a file for another architecture is "
        "only data of the wheel, waive this."
    ),
    check=_check,
)
