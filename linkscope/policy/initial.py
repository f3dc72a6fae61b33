"""A first policy, out of files as they are now: checked by it they pass, and fail when they lose something of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from linkscope.policy.catalogue import rules
from linkscope.policy.evaluate import Evaluation
from linkscope.policy.globs import escaped
from linkscope.policy.lasting import Lasting
from linkscope.policy.needs import is_loader, outside
from linkscope.policy.rule import Rule
from linkscope.policy.subject import Subject
from linkscope.policy.terms import Group, Policy

_WHOLE = "**"
_HEAD = """\
# What `linkscope check` asks of files. A section [[files]] is about those whose path matches one of its `paths`, about
# all where it has none; later sections refine earlier ones. `linkscope explain` tells of the rules and their settings.
"""
_WAIVERS = """
# A finding that is accepted:
#
# [[waivers]]
# rule = "missing-library"
# path = "dist/app"
# subject = "libcuda.so.1"   # may be left out
# reason = "the driver brings it"
# until = 2030-12-31         # may be left out
"""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it is now.

    linkage: the strictest value of the setting that holds, "" for files that are not linked. needs: the libraries that
    the system has to bring. missing: those that are found nowhere. floors: by family the highest number that is asked
    for. faults: rules that it would fail if each was an error.
    """

    path: str
    linkage: str
    needs: tuple[str, ...]
    missing: tuple[str, ...] = ()
    floors: dict[str, tuple[int, ...]]
    faults: frozenset[str]


def demanding() -> Policy:
    """The policy that makes an error of every rule which a first policy may name."""
    return Policy(groups=(Group(paths=(_WHOLE,), levels=dict.fromkeys(_nameable(), "error")),))


def observed(subject: Subject, demands: Evaluation) -> Observed:
    """What a first policy has to know of one file. demands: the evaluation of `demanding`."""
    floors: dict[str, tuple[int, ...]] = {}
    for wanted in subject.wanted:
        if wanted.family is not None:
            floors[wanted.family] = max(floors.get(wanted.family, ()), wanted.number)
    errors = [finding for finding in demands.findings(subject) if finding.level == "error"]
    missing = frozenset(finding.subject for finding in errors if finding.rule == "missing-library")
    return Observed(
        path=subject.file.path,
        linkage=_linkage(subject),
        needs=_needs(subject, missing),
        missing=tuple(sorted(missing)),
        floors=floors,
        faults=frozenset(finding.rule for finding in errors),
    )


def _nameable() -> dict[str, Rule]:
    """Rules about the file itself that need no setting and no further work."""
    return {rule.id: rule for rule in rules().values() if rule.scope == "file" and not rule.asked and not rule.needs}


def _linkage(subject: Subject) -> str:
    file = subject.file
    if file.kind not in ("executable", "shared-library"):
        return ""
    if file.linkage == "static":
        return "static-pie" if file.pie else "static"
    return "dynamic" if file.needed else "no-libraries"


def _needs(subject: Subject, missing: frozenset[str]) -> tuple[str, ...]:
    """What is asked of the system and not MISSING; of a file that asks for nothing but what it brings along, that.

    Its names are free anyway, and with an empty list everything would be allowed.
    """
    asked = {need.name for need in outside(subject) if not is_loader(need.name)} - missing
    return tuple(sorted(asked or set(subject.file.needed) - missing))


def written(files: Sequence[Observed]) -> str:
    """The policy's file for FILES, of which there is at least one.

    A section for each way of linking, with what all its files together need, and one for what keeps few from passing.
    """
    release = _Release(files)
    lasting = Lasting([file.path for file in files])
    text = _HEAD + "".join(f"{line}\n" for line in _general(release))
    everywhere = frozenset(_holding(files))
    groups = sorted(release.groups.values(), key=lambda group: group[0].path)
    for members in groups if len(groups) > 1 else ():
        lines = list(_group(members, [rule for rule in _holding(members) if rule not in everywhere]))
        if lines:
            text += _section(lasting.globs([file.path for file in members]), lines)
    for lowered, concerned in release.exceptions().items():
        levels = ["", "[files.rules]", *(f'{rule} = "warning"' for rule in sorted(lowered))]
        comment = "# what does not hold for these, and is an error by itself"
        text += _section(lasting.globs([file.path for file in concerned]), levels, comment)
    return text + _WAIVERS


class _Release:
    """The files of a policy; groups: by how they are linked."""

    def __init__(self, files: Sequence[Observed]) -> None:
        self.files = files
        self.groups: dict[str, list[Observed]] = {}
        for file in files:
            self.groups.setdefault(file.linkage, []).append(file)
        self._allowed = {linkage: _allowed(group) for linkage, group in self.groups.items()}
        self.failed_by_all = frozenset.intersection(*map(self._failed, files))

    def exceptions(self) -> dict[frozenset[str], list[Observed]]:
        """By rules that are errors by themselves the files that fail just these; of what all files fail nothing."""
        found: dict[frozenset[str], list[Observed]] = {}
        for file in self.files:
            lowered = self._failed(file) - self.failed_by_all
            if lowered:
                found.setdefault(lowered, []).append(file)
        return found

    def _failed(self, file: Observed) -> frozenset[str]:
        """The rules that are errors by themselves and do not hold for FILE. No list allows a missing library."""
        allowed = self._allowed[file.linkage]
        unlisted = ("library-not-allowed",) if allowed and not allowed.issuperset(file.missing) else ()
        return frozenset((*(rule for rule in file.faults if rules()[rule].level == "error"), *unlisted))


def _allowed(files: Sequence[Observed]) -> set[str]:
    return {name for file in files for name in file.needs}


def _section(globs: Sequence[str], lines: Sequence[str], comment: str = "") -> str:
    head = f"[[files]] {comment}".rstrip()
    return "".join(f"{line}\n" for line in ("", head, *_list("paths", globs), *lines))


def empty() -> str:
    """The policy's file that asks for nothing yet, with what can be asked for as comments."""
    return (
        _HEAD
        + """
[[files]]
# paths = ["dist/**"]
# linkage = "static"
# floors = { GLIBC = "2.28" }
# target = ["debian:11"]
# allow = ["libc.so.6", "libm.so.6"]

[files.rules]
# no-relro = "error"
"""
        + _WAIVERS
    )


def _general(release: _Release) -> Iterator[str]:
    """The section about all files: their common floors, and the rules that all of them obey.

    Where all are linked in one way, that is in it too.
    """
    files = release.files
    yield from ("", "[[files]]")
    if len(release.groups) == 1:
        yield from _group(files, [])
    floors: dict[str, tuple[int, ...]] = {}
    for file in files:
        for family, number in file.floors.items():
            floors[family] = max(floors.get(family, ()), number)
    if floors:
        yield from ("", "[files.floors]")
        for family, number in sorted(floors.items()):
            yield f"{_key(family)} = {_text('.'.join(map(str, number)))}"
    yield from ("", "[files.rules]")
    yield from (f'{rule} = "error"' for rule in _holding(files))
    for rule in sorted(release.failed_by_all):
        yield f'{rule} = "warning" # an error by itself, and does not hold for {_of(len(files), len(files))}'
    failing = Counter(rule for file in files for rule in file.faults if rules()[rule].level != "error")
    for rule in sorted(failing):
        yield f"# {rule} does not hold for {_of(failing[rule], len(files))}"


def _holding(files: Sequence[Observed]) -> list[str]:
    """The rules that a policy makes errors, and that none of FILES fails; errors by themselves need not be named."""
    failing = {rule for file in files for rule in file.faults}
    return [name for name, rule in _nameable().items() if rule.level != "error" and name not in failing]


def _group(files: Sequence[Observed], holding: Sequence[str]) -> Iterator[str]:
    """What is asked of FILES, which are all linked in one way, and the rules that hold for these and not for all."""
    if files[0].linkage:
        yield f"linkage = {_text(files[0].linkage)}"
    allowed = _allowed(files)
    if allowed:
        yield from _list("allow", [escaped(name) for name in sorted(allowed)])
    if holding:
        yield from ("", "[files.rules]")
        yield from (f'{rule} = "error"' for rule in holding)


def _of(count: int, total: int) -> str:
    return f"{count} of {total} files" if total > 1 else "the file"


def _list(key: str, values: Sequence[str]) -> Iterator[str]:
    line = f"{key} = [{', '.join(map(_text, values))}]"
    if len(line) <= 100:
        yield line
        return
    yield f"{key} = ["
    yield from (f"    {_text(value)}," for value in values)
    yield "]"


def _text(value: str) -> str:
    """VALUE as a basic string of TOML, which is one of JSON but for the character that prints as nothing."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _text(name)
