"""What several kinds of evidence say of one file, put together: one entry for each library in each of its versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from linkscope.contents import upstream
from linkscope.model.inspect import Content


def together(told: Sequence[Content], code: Sequence[Content] = ()) -> list[Content]:
    """TOLD and what CODE proves, with all the evidence of a library in one entry, that of its code first.

    Its version is the one that its own texts tell, as they are compiled in: code may be the same in several. Where one
    kind of evidence tells several versions, each is an entry, and what tells none of them stands with one that its code
    fits, or else with the first. Of crates, too, there may be several in one program, as Cargo keeps them apart.
    """
    versions = _versions(told, code)
    merged: dict[tuple[str, str, str | None], Content] = {}
    for one in (*code, *told):
        there = versions.get(one.name, []) if one.ecosystem == "generic" else []
        one = _placed(one, there) if there else one
        key = one.ecosystem, one.name, one.version if one.ecosystem == "cargo" or len(there) > 1 else None
        before = merged.get(key)
        merged[key] = one if before is None else _with(before, one)
    return sorted(merged.values(), key=lambda one: (one.ecosystem, one.name, *_age(one.version)))


def _versions(told: Sequence[Content], code: Sequence[Content]) -> dict[str, list[str | None]]:
    """The versions in which each plain library is in the file; the first is that of what tells none."""
    texts, proven = _by_name(told), _by_name(code)
    there: dict[str, list[str | None]] = {}
    for name in {*texts, *proven}:
        said = [version for version in texts.get(name, ()) if version]
        found = proven.get(name, [])
        if len(said) > 1 and _is_apart(name, told):
            there[name] = sorted({*said, *filter(None, found)}, key=_age)
        elif len(found) > 1:
            there[name] = found
        else:
            there[name] = [*said, *found, None][:1]
    return there


def _by_name(contents: Iterable[Content]) -> dict[str, list[str | None]]:
    """The different versions of each plain library, in their order."""
    found: dict[str, dict[str | None, None]] = {}
    for one in contents:
        if one.ecosystem == "generic":
            found.setdefault(one.name, {})[one.version] = None
    return {name: list(versions) for name, versions in found.items()}


def _is_apart(name: str, told: Iterable[Content]) -> bool:
    """Whether the texts of the library's own code tell several versions, and not a text one and a note another."""
    kinds = [{proof.kind for proof in one.evidence} for one in told if one.name == name and one.version]
    return sum("banner" in kind for kind in kinds) > 1


def _placed(one: Content, there: list[str | None]) -> Content:
    """ONE with the version among those THERE that is its own: by what it says, else by what its code fits."""
    if one.version in there:
        return one
    fits = {version for proof in one.evidence for version in proof.fits or ()}
    fitting = [version for version in there if version in fits]
    return msgspec.structs.replace(one, version=fitting[0] if len(fitting) == 1 else there[0])


def _with(before: Content, one: Content) -> Content:
    return Content(
        name=before.name,
        ecosystem=before.ecosystem,
        version=before.version or one.version,
        evidence=before.evidence + [proof for proof in one.evidence if proof not in before.evidence],
    )


def _age(version: str | None) -> tuple[upstream.Key, str]:
    """By what the older one of two versions comes first; before both what tells none."""
    return upstream.key(version or "") or ((), ()), version or ""
