"""What the platform tags of a wheel promise: for each family and architecture, to run on the oldest system named."""

from __future__ import annotations

import functools
import re

import msgspec

from linkscope.elf.versions import number_of
from linkscope.policy.targets.data import distributions, releases
from linkscope.policy.targets.offer import Target, WheelPolicy
from linkscope.policy.targets.requirements import Requirements
from linkscope.policy.targets.verdict import verdict

# PEP 600, PEP 656 and, without the underscore, PEP 513, 571 and 599. Numbers of more digits are no release's.
_WITH_POLICY = re.compile(r"(manylinux|musllinux)(?:_(\d{1,4})_(\d{1,4})|(\d{1,4}))_(\w+)", re.ASCII)
_BARE = re.compile(r"linux_(\w+)", re.ASCII)


class Claim(msgspec.Struct, frozen=True):
    """One tag with a policy. release: the version of the C library in it; architecture: as in the tag."""

    tag: str
    family: str
    release: tuple[int, ...]
    architecture: str


class Claims(msgspec.Struct, frozen=True):
    """The tags of one wheel.

    oldest: of each family and architecture the tag that demands the least of a system, and so allows the least to a
    file. linux: by architecture, the first tag of Linux, with a policy or without. everywhere: one of them is `any`.
    """

    oldest: tuple[Claim, ...]
    linux: dict[str, str]
    everywhere: bool


@functools.lru_cache(maxsize=64)  # asked for each file of a wheel
def claims_of(tags: tuple[str, ...]) -> Claims:
    """What platform TAGS claim; those of other systems, and of policies that nobody has written, claim nothing.

    A wheel is installed wherever one of its tags fits, so that each is a promise of its own.
    """
    oldest: dict[tuple[str, str], Claim] = {}
    linux: dict[str, str] = {}
    for tag in tags:
        claim = _claim(tag)
        if claim is not None:
            key = claim.family, claim.architecture
            oldest[key] = min(oldest.get(key, claim), claim, key=lambda one: one.release)
        bare = _BARE.fullmatch(tag)
        architecture = claim.architecture if claim else bare[1] if bare else None
        if architecture is not None:
            linux.setdefault(architecture, tag)
    return Claims(tuple(oldest.values()), linux, "any" in tags)


def _claim(tag: str) -> Claim | None:
    match = _WITH_POLICY.fullmatch(tag)
    if match is None:
        return None
    family, major, minor, alone, architecture = match.groups()
    if alone is None:
        return Claim(tag, family, (int(major), int(minor)), architecture)
    for one in releases(family) if family in distributions() else ():
        if alone in one.names:
            return Claim(tag, family, one.libc_number, architecture)
    return None


def policy_of(claim: Claim) -> Target | None:
    """The policy that CLAIM names; None where none is known that is so new, or that has the architecture.

    A release of glibc for which nobody has written one allows what the next later policy does, but for the versions of
    glibc that came after it: PEP 600 makes a tag of every release.
    """
    for one in _known(claim):
        if one.libc_number == claim.release:
            return one
        if one.libc_number > claim.release:
            return _as_of(one, claim)
    return None


def first_held(claim: Claim, wanted: Requirements) -> str | None:
    """The oldest tag of CLAIM's family and architecture that allows what is WANTED; None where none does."""
    held = (one for one in _known(claim) if verdict(one, wanted).starts)
    return next((f"{one.name}_{claim.architecture}" for one in held), None)


def _known(claim: Claim) -> list[Target]:
    """The policies of CLAIM's family with its architecture, the oldest first."""
    return [one for one in releases(claim.family) if any(claim.architecture == known.name for known in one.machines)]


def _as_of(later: Target, claim: Claim) -> Target:
    policy = later.wheels or WheelPolicy({}, {})
    versions = {
        name: families | {"GLIBC": _up_to(claim.release, families["GLIBC"])} if "GLIBC" in families else families
        for name, families in ((name, dict(known)) for name, known in policy.versions.items())
    }
    name = claim.tag.removesuffix(f"_{claim.architecture}")
    return msgspec.structs.replace(later, name=name, wheels=msgspec.structs.replace(policy, versions=versions))


def _up_to(release: tuple[int, ...], versions: frozenset[str]) -> frozenset[str]:
    return frozenset(one for one in versions if number_of(f"GLIBC_{one}")[1] <= release)
