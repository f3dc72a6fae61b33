"""What changed from one file to another, and what that means for whoever takes the new one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from linkscope.elf.exports import Export
from linkscope.model.diff import Change, ChangeCode, Impact
from linkscope.model.inspect import Content, File
from linkscope.policy.subject import Privilege

_PROTECTIONS = {
    "bind_now": "BIND_NOW",
    "nx": "a stack that cannot be executed",
    "canary": "the stack protector",
    "fortify": "fortified functions",
    "cet": "CET",
    "bti": "BTI",
    "pac": "PAC",
}
_RELRO = {None: 0, "none": 0, "partial": 1, "full": 2}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a release, as far as a comparison needs it.

    name: how it is called inside the release, by which old and new belong together. exports: see `elf.exports`; None
    for what is no library. sections: bytes by name. stripped: no .symtab. digest: of all bytes, as hexadecimal digits.
    """

    name: str
    file: File
    size: int
    exports: Mapping[str, Export] | None
    sections: Mapping[str, int]
    stripped: bool
    privileges: tuple[Privilege, ...]
    cpu_level: int
    digest: str


def changes(old: Snapshot, new: Snapshot) -> list[Change]:
    """Every difference, in a fixed order: what it is, what it asks for, what it offers and holds, its protections.

    Where only bytes differ of which nothing else is known, that is the one difference.
    """
    found = [change for compare in _COMPARISONS for change in compare(old, new)]
    if not found and old.digest != new.digest:
        message = "has other bytes: code or data differ, and nothing else that is compared"
        found.append(_change("bytes", new, "", old.digest, new.digest, message))
    return found


def added(new: Snapshot) -> Change:
    """That a file is new."""
    return _change("file-added", new, "", None, _called(new), f"{_called(new)} is new ({_what(new)})")


def removed(old: Snapshot) -> Change:
    """That a file is gone: for a library, programs that need it do not start any more."""
    impact: Impact = "abi-break" if old.file.kind == "shared-library" else "none"
    return _change("file-removed", old, "", _called(old), None, f"{_called(old)} is gone ({_what(old)})", impact)


def _called(one: Snapshot) -> str:
    return one.name or one.file.path.rpartition("/")[2]


def failing(found: Iterable[Change], asked: Collection[str], growth: float | None) -> list[Change]:
    """Those of the changes FOUND that ASKED names, by code or impact.

    growth: the share by which a file may grow (0.05: five per cent) before its `size` counts; None: `size` counts as
    any other code does.
    """
    return [change for change in found if _is_asked(change, asked, growth)]


def _is_asked(change: Change, asked: Collection[str], growth: float | None) -> bool:
    if change.code == "size" and growth is not None:
        return not change.subject and (change.bytes or 0) > growth * int(change.old or 0)
    return change.code in asked or change.impact in asked


def _what(one: Snapshot) -> str:
    return " ".join(word for word in (one.file.linkage, one.file.kind) if word)


def _change(
    code: ChangeCode,
    new: Snapshot,
    subject: str,
    before: str | None,
    after: str | None,
    message: str,
    impact: Impact = "none",
    grown: int | None = None,
) -> Change:
    return Change(
        code=code,
        path=new.file.path,
        path_bytes=new.file.path_bytes,
        subject=subject,
        old=before,
        new=after,
        message=message,
        impact=impact,
        bytes=grown,
    )


def _kind(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    before, after = old.file, new.file
    if before.kind != after.kind:
        yield _change("kind", new, "", before.kind, after.kind, f"was {before.kind}, is {after.kind}", "abi-break")
    ours, theirs = (f"{one.elf.machine} ({one.elf.class_}-bit, {one.elf.endian}-endian)" for one in (before, after))
    if ours != theirs:
        yield _change("machine", new, "", ours, theirs, f"made for {theirs}, was for {ours}", "abi-break")
    if before.linkage != after.linkage and before.kind == after.kind:
        risk: Impact = "deployment-risk" if after.linkage == "dynamic" else "none"
        message = f"linked {after.linkage}, was {before.linkage}"
        yield _change("linkage", new, "", before.linkage, after.linkage, message, risk)
    if before.pie != after.pie and before.kind == after.kind:
        message = "is a PIE now" if after.pie else "is no PIE any more: its addresses are not random"
        yield _change("pie", new, "", _word(before.pie), _word(after.pie), message, "none" if after.pie else "security")


def _word(value: object) -> str | None:
    """A value as JSON writes it; None for None."""
    return None if value is None else msgspec.json.encode(value).decode().strip('"')


def _start(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    before, after = old.file, new.file
    if before.interpreter != after.interpreter:
        message = f"the interpreter is {after.interpreter or 'none'}, was {before.interpreter or 'none'}"
        risk: Impact = "deployment-risk" if after.interpreter else "none"
        yield _change("interpreter", new, "", before.interpreter, after.interpreter, message, risk)
    if before.libc.family != after.libc.family:
        yield _c_library(before.libc.family, after.libc.family, new)
    if before.soname != after.soname:
        message = f"the soname is {after.soname or 'none'}, was {before.soname or 'none'}"
        yield _change("soname", new, "", before.soname, after.soname, message, "abi-break")
    for tag, ours, theirs in (("RPATH", before.rpath, after.rpath), ("RUNPATH", before.runpath, after.runpath)):
        if ours != theirs:
            texts = [":".join(elements) or None for elements in (ours, theirs)]
            message = f"{tag} is {texts[1] or 'none'}, was {texts[0] or 'none'}"
            yield _change("search-path", new, tag, texts[0], texts[1], message)


def _c_library(before: str, after: str, new: Snapshot) -> Change:
    """That it is made for another C library; one that takes none, as Go's programs without cgo, has none to miss."""
    if after == "none":
        return _change("libc", new, "", before, after, f"takes no C library any more, was made for {before}")
    message = f"made for the C library {after}, {'took none' if before == 'none' else f'was for {before}'}"
    return _change("libc", new, "", before, after, message, "deployment-risk")


def _needed(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    before, after = old.file.needed, new.file.needed
    for name in dict.fromkeys(after):
        if name not in before:
            yield _change("needed-added", new, name, None, name, f"needs {name} now", "deployment-risk")
    for name in dict.fromkeys(before):
        if name not in after:
            yield _change("needed-removed", new, name, name, None, f"does not need {name} any more")


def _floors(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    before, after = old.file.requires, new.file.requires
    for family in sorted(before.keys() | after.keys()):
        ours, theirs = before.get(family), after.get(family)
        if ours == theirs:
            continue
        if theirs is not None and (ours is None or _number(theirs) > _number(ours)):
            message = f"needs {family}_{theirs}, {f'needed {ours} before' if ours else 'and nothing of it before'}"
            yield _change("floor-raised", new, family, ours, theirs, message, "deployment-risk")
        else:
            message = (
                f"needs {f'{family}_{theirs}' if theirs else f'nothing of {family}'}, needed {family}_{ours} before"
            )
            yield _change("floor-lowered", new, family, ours, theirs, message)
    if old.cpu_level != new.cpu_level:
        ours, theirs = (f"x86-64-v{level}" if level else None for level in (old.cpu_level, new.cpu_level))
        risk: Impact = "deployment-risk" if new.cpu_level > old.cpu_level else "none"
        message = f"asks for a {theirs or 'baseline'} processor, asked for {ours or 'the baseline'} before"
        yield _change("cpu-level", new, "", ours, theirs, message, risk)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _symbols(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    if old.exports is None or new.exports is None:
        return
    broken: Impact = "abi-break" if _is_linked_against(old) else "none"
    for name in sorted(new.exports.keys() - old.exports.keys()):
        mark = _marks(new.exports[name].versions)
        yield _change("symbol-added", new, name, None, f"{name}{mark}", f"offers {name}{mark} now")
    for name in sorted(old.exports.keys() - new.exports.keys()):
        mark = _marks(old.exports[name].versions)
        message = f"does not offer {name}{mark} any more"
        yield _change("symbol-removed", new, name, f"{name}{mark}", None, message, broken)
    for name in sorted(old.exports.keys() & new.exports.keys()):
        yield from _symbol(name, old.exports[name], new.exports[name], new, broken)


def _symbol(name: str, before: Export, after: Export, new: Snapshot, broken: Impact) -> Iterator[Change]:
    """What changed of one symbol that both offer.

    A program that was linked before has a copy of a variable (R_*_COPY), of the size that it had then: glibc warns
    "different size in shared object", and what lies behind is not there (elf/dl-lookup.c, elf/dl-reloc.c).
    """
    if before.versions != after.versions:
        impact: Impact = "none" if _kept(before.versions) <= _kept(after.versions) else broken
        ours, theirs = _marks(before.versions), _marks(after.versions)
        message = f"offers {name} as {theirs or 'unversioned'}, was {ours or 'unversioned'}"
        yield _change("symbol-version", new, name, ours, theirs, message, impact)
    if before.size and after.size and before.size != after.size:
        message = f"the variable {name} has {after.size} bytes, had {before.size}: programs may hold a copy of it"
        yield _change("symbol-size", new, name, str(before.size), str(after.size), message, broken)


def _is_linked_against(old: Snapshot) -> bool:
    """Whether programs can have been linked with it.

    A module has no DT_SONAME and is not called lib*: it is opened by its path (dlopen), as Python's extensions are.
    """
    return old.file.soname is not None or old.file.path.rpartition("/")[2].startswith("lib")


def _marks(marks: frozenset[str]) -> str:
    """`@@V2, @V1`: the version that new links take comes first."""
    return ", ".join(sorted(marks, key=lambda mark: (not mark.startswith("@@"), mark)))


def _kept(marks: frozenset[str]) -> frozenset[str]:
    """The versions that a program linked before can ask for.

    A reference without version is served by any default version (glibc elf/dl-lookup.c, check_match).
    """
    return frozenset(mark.lstrip("@") for mark in marks if mark)


def _contents(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    if old.file.contents is None or new.file.contents is None:
        return
    before, after = _versions_by_name(old.file.contents), _versions_by_name(new.file.contents)
    for key in sorted(before.keys() | after.keys()):
        ours, theirs = before.get(key, []), after.get(key, [])
        if ours != theirs:
            yield _content(key[1], ours, theirs, new)


def _versions_by_name(contents: Sequence[Content]) -> dict[tuple[str, str], list[str | None]]:
    """The versions of each thing inside, of which there may be several (crates), by ecosystem and name."""
    found: dict[tuple[str, str], list[str | None]] = {}
    for one in contents:
        found.setdefault((one.ecosystem, one.name), []).append(one.version)
    return found


def _content(name: str, ours: list[str | None], theirs: list[str | None], new: Snapshot) -> Change:
    before, after = (" and ".join(version for version in versions if version) or None for versions in (ours, theirs))
    if not ours:
        return _change("contents-added", new, name, None, after, f"holds {_named(name, after)} now")
    if not theirs:
        return _change("contents-removed", new, name, before, None, f"does not hold {_named(name, before)} any more")
    message = f"holds {name} {after or 'of an unknown version'}, held {before or 'an unknown one'} before"
    return _change("contents-version", new, name, before, after, message)


def _named(name: str, version: str | None) -> str:
    return f"{name} {version}" if version else name


def _hardening(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    before, after = old.file.hardening, new.file.hardening
    lost = _RELRO[after.relro] < _RELRO[before.relro]
    if before.relro != after.relro and before.relro is not None and after.relro is not None:
        message = f"RELRO is {after.relro}, was {before.relro}"
        yield _protection(new, "relro", before.relro, after.relro, message, lost)
    for key, called in _PROTECTIONS.items():
        ours, theirs = getattr(before, key), getattr(after, key)
        if ours != theirs and None not in (ours, theirs):
            message = f"has {called} now" if theirs else f"has lost {called}"
            yield _protection(new, key, _word(ours), _word(theirs), message, not theirs)
    if old.privileges != new.privileges:
        ours, theirs = (", ".join(one.privileges) or None for one in (old, new))
        gained = set(new.privileges) - set(old.privileges)
        message = f"gives {theirs or 'no rights'} to who starts it, gave {ours or 'none'} before"
        yield _change("privileges", new, "", ours, theirs, message, "security" if gained else "none")


def _protection(new: Snapshot, key: str, before: str | None, after: str | None, message: str, lost: bool) -> Change:
    code: ChangeCode = "hardening-lost" if lost else "hardening-gained"
    return _change(code, new, key, before, after, message, "security" if lost else "none")


def _making(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    if old.stripped != new.stripped:
        message = "is stripped now" if new.stripped else "is not stripped any more"
        yield _change("stripped", new, "", _word(old.stripped), _word(new.stripped), message)
    before, after = old.file.build_id, new.file.build_id
    if before != after:
        known = "has another build id" if before else "has a build id now"
        message = known if after else "has no build id any more"
        yield _change("build-id", new, "", before, after, message)


def _sizes(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    if old.size != new.size:
        yield _size(new, "", old.size, new.size, "the file")
    told = old.sections and new.sections  # without section headers there is nothing to compare with
    for name in dict.fromkeys((*new.sections, *old.sections)) if told else ():
        before, after = old.sections.get(name, 0), new.sections.get(name, 0)
        if before != after:
            yield _size(new, name, before, after, name)
    before_by, after_by = _sizes_inside(old.file), _sizes_inside(new.file)
    for name in sorted(before_by.keys() | after_by.keys()):
        ours, theirs = before_by.get(name, 0), after_by.get(name, 0)
        if ours != theirs:
            yield _size(new, f"{name} inside", ours, theirs, f"{name} inside")


def _size(new: Snapshot, subject: str, before: int, after: int, called: str) -> Change:
    grown = after - before
    share = f" ({grown / before:+.1%})" if before else ""
    message = f"{called} has {after:,} bytes, had {before:,}{share}"
    return _change("size", new, subject, str(before), str(after), message, grown=grown)


def _sizes_inside(file: File) -> dict[str, int]:
    """The bytes of each library inside that are proven, by its name."""
    proven = {one.name: sum(evidence.bytes_matched or 0 for evidence in one.evidence) for one in file.contents or ()}
    return {name: size for name, size in proven.items() if size}


_COMPARISONS: tuple[Callable[[Snapshot, Snapshot], Iterator[Change]], ...] = (
    _kind,
    _start,
    _needed,
    _floors,
    _symbols,
    _contents,
    _hardening,
    _making,
    _sizes,
)
