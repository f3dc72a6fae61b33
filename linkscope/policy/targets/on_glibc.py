"""What glibc's loader looks at before it starts a program, held against what a target offers.

Source: glibc elf/dl-load.c (libraries), elf/dl-version.c (_dl_check_map_versions, match_symbol: every version that is
asked for must be defined, and only VER_FLG_WEAK makes of its absence a warning).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from linkscope.policy.subject import Wanted
from linkscope.policy.targets.installed import not_installed
from linkscope.policy.targets.offer import Library, Target
from linkscope.policy.targets.reason import Reason, Weight
from linkscope.policy.targets.requirements import Requirements

# DT_RELR, and GLIBC_ABI_DT_RELR that has to be asked for with it, came with 2.36 (its NEWS).
_KNOWS_RELR = (2, 36)
_NOT_READ = "?"


def on_glibc(target: Target, libraries: Mapping[str, Library], wanted: Requirements) -> Iterator[Reason]:
    """What the loader of TARGET would miss."""
    yield from _versions(target, libraries, wanted.versions)
    yield from _unmet(wanted)
    yield from not_installed(target, libraries, wanted.needs)
    yield from _packed_relocations(target, wanted)


def _versions(target: Target, libraries: Mapping[str, Library], wanted: Sequence[Wanted]) -> Iterator[Reason]:
    """One reason for each version of a library that is not there, the highest of a family first."""
    asked: dict[tuple[str, str], list[Wanted]] = {}
    for one in sorted(wanted, key=_highest_first):
        asked.setdefault((one.provider, one.name), []).append(one)
    for (provider, name), askers in asked.items():
        library = libraries.get(provider)
        if library is None or library.defines(name):
            continue
        yield Reason(
            code="version",
            weight=_weight(library, askers),
            subject=name,
            message=_message(target, library, askers[0]),
            askers=tuple(dict.fromkeys(one.asker for one in askers)),
        )


def _unmet(wanted: Requirements) -> Iterator[Reason]:
    """One reason for each version that is brought along too old, which is so on every target."""
    for one in wanted.unmet:
        version = one.wanted
        lacks = "does not define" if one.versioned else "has no versions, not even"
        yield Reason(
            code="version",
            weight="note" if version.weak else "fatal" if one.versioned else "doubtful",
            subject=version.name,
            message=f"brings {version.provider} along, which {lacks} {version.name}",
            askers=(version.asker,),
        )


def _highest_first(one: Wanted) -> tuple[bool, str, tuple[int, ...]]:
    """GLIBC before the others, as it is the floor that people know."""
    return one.family != "GLIBC", one.family or "", tuple([-part for part in one.number])


def _weight(library: Library, askers: Sequence[Wanted]) -> Weight:
    if all(one.weak for one in askers):
        return "note"
    if not library.versions or _NOT_READ in library.versions:
        return "doubtful"  # glibc warns, and ends the start only where such a symbol is bound at once
    if askers[0].family is None and library.evidence.confidence == "cited":
        return "doubtful"  # only the highest version of each family was read there
    return "fatal"


def _message(target: Target, library: Library, one: Wanted) -> str:
    offered = [name for name in library.versions if one.family and name.startswith(f"{one.family}_")]
    if not library.versions:
        return f"needs {one.name} of {one.provider}, which defines no versions on {target.name}"
    if _NOT_READ in library.versions:
        return f"needs {one.name}, and which versions {one.provider} of {target.name} defines is not known"
    if one.family == "GLIBC" and not one.name.startswith("GLIBC_ABI_"):
        return f"needs {one.name}; {target.name} has glibc {target.version}"
    if not offered or one.name.startswith("GLIBC_ABI_"):
        return f"needs {one.name}, which {one.provider} of {target.name} does not define"
    return f"needs {one.name}; {one.provider} of {target.name} ends at {offered[0].removeprefix(f'{one.family}_')}"


def _packed_relocations(target: Target, wanted: Requirements) -> Iterator[Reason]:
    """DT_RELR is passed over by an older loader, and refused by a newer one where the version is not asked for."""
    knows = target.libc_number >= _KNOWS_RELR
    askers = tuple([one.path for one in wanted.packed if not one.said and (one.from_libc or not knows)])
    if askers:
        message = (
            "has DT_RELR and does not ask libc for GLIBC_ABI_DT_RELR, on which glibc insists"
            if knows
            else f"has DT_RELR, which glibc {target.version} of {target.name} does not know (2.36 does)"
        )
        yield Reason(code="relocations", weight="fatal", subject="DT_RELR", message=message, askers=askers)
