"""The targets by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from linkscope.elf.versions import version_number
from linkscope.errors import LinkScopeError
from linkscope.model.meant import asked, meant
from linkscope.policy.targets.data import ARCHITECTURES, distributions, releases
from linkscope.policy.targets.offer import Target

# Other words for a distribution: its image's name, its package's, its ID in os-release.
_ALIASES = {
    "alma": "almalinux",
    "al": "amazonlinux",
    "amazon": "amazonlinux",
    "amzn": "amazonlinux",
    "archlinux": "arch",
    "el": "rhel",
    "fc": "fedora",
    "leap": "opensuse",
    "ol": "oraclelinux",
    "opensuse-leap": "opensuse",
    "opensuse/leap": "opensuse",
    "oracle": "oraclelinux",
    "redhat": "rhel",
    "redhat/ubi": "rhel",
    "rockylinux": "rocky",
    "sle": "sles",
    "suse": "sles",
    "ubi": "rhel",
}
_TAG = re.compile(rf"((?:many|musl)linux)_?([\d_]+?)(?:_({'|'.join(ARCHITECTURES)}))?")


class UnknownTarget(LinkScopeError):
    """No target is called so; `near` are the names of those that may be meant."""

    def __init__(self, name: str, near: list[str]) -> None:
        super().__init__(name, f"is no target that is known (`linkscope targets` lists them){asked(near)}")
        self.near = near


def target(name: str) -> Target:
    """The target called NAME: `debian:12`, `debian:bookworm`, `rhel8`, `rhel:8.10`, `manylinux2014_x86_64`.

    A minor release that is not listed is taken for its major one. The architecture of a wheel's tag leaves only that
    one. Raises UnknownTarget.
    """
    found = _of_wheels(name) or _of_system(name.strip().lower())
    if found is None:
        raise UnknownTarget(name, _near(name))
    return found


def targets() -> list[Target]:
    """All targets, by distribution and then release, the oldest first."""
    return [one for distribution in distributions() for one in releases(distribution)]


def left_behind(family: str, version: str) -> list[Target]:
    """For each distribution the newest release of which nothing defines FAMILY_VERSION, by distribution.

    A release about whose FAMILY nothing is known does not count.
    """
    wanted = version_number(f"{family}_{version}")
    if wanted is None:
        return []
    newest: dict[str, Target] = {}
    for one in targets():
        offered = highest(one, family)
        if one.kind == "system" and offered and offered < wanted[1]:
            newest[one.distribution] = one
    return list(newest.values())


def highest(target: Target, family: str) -> tuple[int, ...]:
    """The highest version of FAMILY that a library of TARGET defines; () where none does, as far as is known."""
    found: tuple[int, ...] = ()
    for libraries in target.libraries.values():
        for library in libraries.values():
            for known in map(version_number, library.versions):
                if known is not None and known[0] == family and known[1] > found:
                    found = known[1]
    return found


def _of_wheels(name: str) -> Target | None:
    match = _TAG.fullmatch(name.strip().lower().replace("-", "_"))
    if match is None:
        return None
    distribution, release, architecture = match.groups()
    for one in releases(distribution) if distribution in distributions() else ():
        if release in (one.release, *one.names):
            if architecture is None:
                return one
            machines = tuple([machine for machine in one.machines if machine.name == architecture])
            return msgspec.structs.replace(one, machines=machines) if machines else None
    return None


def _of_system(name: str) -> Target | None:
    for distribution, release in _readings(name):
        if distribution in distributions():
            for candidate in _ever_shorter(release):
                for one in releases(distribution):
                    if candidate in (one.release, *one.names):
                        return one
    return None


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """NAME as distribution and release, in the ways in which it can be parted; a distribution alone has release ""."""
    for separator in (":", "@", " ", "-", "_"):
        distribution, found, release = name.partition(separator)
        if found:
            yield _ALIASES.get(distribution, distribution), release
    parted = re.fullmatch(r"([a-z/-]+?)[-_]?(\d[\d._]*)(?:[:/].*)?", name)
    if parted:
        yield _ALIASES.get(parted[1], parted[1]), parted[2]
    yield _ALIASES.get(name, name), ""


def _ever_shorter(release: str) -> Iterator[str]:
    """RELEASE, and what is left of it without what follows its last dot or hyphen: `8.10`, `8`; `12-slim`, `12`."""
    while True:
        yield release
        shorter = re.sub(r"[.-][^.-]*$", "", release)
        if shorter == release:
            return
        release = shorter


def _near(name: str) -> list[str]:
    known: dict[str, str] = {}
    for one in targets():
        for word in (one.release, *one.names):
            separator = "_" if one.kind == "wheels" else ":"
            known[f"{one.distribution}{separator}{word}"] = one.name
    return list(dict.fromkeys(known[match] for match in meant(name.lower(), known, 3)))
