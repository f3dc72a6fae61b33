"""A first policy, out of files as they are now: checked by it they pass, and fail when they lose something of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from linkscope.policy.catalogue import rules
from linkscope.policy.evaluate import Evaluation
from linkscope.policy.globs import escaped
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
    the system has to bring. floors: by family the highest number that is asked for. faults: rules that it would fail
    if each was an error.
    """

    path: str
    linkage: str
    needs: tuple[str, ...]
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
    return Observed(
        path=subject.file.path,
        linkage=_linkage(subject),
        needs=_needs(subject),
        floors=floors,
        faults=frozenset(finding.rule for finding in demands.findings(subject) if finding.level == "error"),
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


def _needs(subject: Subject) -> tuple[str, ...]:
    """What is asked of the system; of a file that asks for nothing but what it brings along, the names of that.

    These are free anyway, and with an empty list everything would be allowed.
    """
    asked = {need.name for need in outside(subject) if not is_loader(need.name)}
    return tuple(sorted(asked or set(subject.file.needed)))


def written(files: Sequence[Observed]) -> str:
    """The policy's file for FILES, of which there is at least one."""
    groups: dict[tuple[str, tuple[str, ...]], list[Observed]] = {}
    for file in files:
        groups.setdefault((file.linkage, file.needs), []).append(file)
    alone = next(iter(groups)) if len(groups) == 1 else None
    text = _HEAD + "".join(f"{line}\n" for line in _general(files, alone))
    if alone is None:
        everywhere = frozenset(_holding(files))
        for (linkage, needs), members in sorted(groups.items(), key=lambda item: item[1][0].path):
            lines = list(_group(linkage, needs, [rule for rule in _holding(members) if rule not in everywhere]))
            if lines:
                globs = _globs(members, files)
                text += "".join(f"{line}\n" for line in ("", "[[files]]", *_list("paths", globs), *lines))
    return text + _WAIVERS


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


def _general(files: Sequence[Observed], alone: tuple[str, tuple[str, ...]] | None) -> Iterator[str]:
    """The section about all files: their common floors, and the rules that all of them obey."""
    yield from ("", "[[files]]")
    if alone is not None:
        yield from _group(*alone, [])
    floors: dict[str, tuple[int, ...]] = {}
    for file in files:
        for family, number in file.floors.items():
            floors[family] = max(floors.get(family, ()), number)
    if floors:
        yield from ("", "[files.floors]")
        for family, number in sorted(floors.items()):
            yield f"{_key(family)} = {_text('.'.join(map(str, number)))}"
    failing = Counter(rule for file in files for rule in file.faults)
    lowered = [rule for rule in sorted(failing) if rules()[rule].level == "error"]
    yield from ("", "[files.rules]")
    yield from (f'{rule} = "error"' for rule in _holding(files))
    for rule in lowered:
        yield f'{rule} = "warning" # an error by itself, and does not hold for {_of(failing[rule], len(files))}'
    for rule in sorted(failing.keys() - set(lowered)):
        yield f"# {rule} does not hold for {_of(failing[rule], len(files))}"


def _holding(files: Sequence[Observed]) -> list[str]:
    """The rules that a policy makes errors, and that none of FILES fails; errors by themselves need not be named."""
    failing = {rule for file in files for rule in file.faults}
    return [name for name, rule in _nameable().items() if rule.level != "error" and name not in failing]


def _group(linkage: str, needs: Sequence[str], holding: Sequence[str]) -> Iterator[str]:
    if linkage:
        yield f"linkage = {_text(linkage)}"
    if needs:
        yield from _list("allow", [escaped(name) for name in needs])
    if holding:
        yield from ("", "[files.rules]")
        yield from (f'{rule} = "error"' for rule in holding)


def _globs(members: Sequence[Observed], files: Sequence[Observed]) -> list[str]:
    """The paths of MEMBERS; a folder stands for them where several are in it, and no other of FILES."""
    own = {file.path for file in members}
    foreign = {folder for file in files if file.path not in own for folder in _folders(file.path)}
    inside = Counter(folder for path in own for folder in _folders(path))
    globs: dict[str, None] = {}
    for path in sorted(own):
        whole = next((one for one in _folders(path) if one not in foreign and inside[one] > 1), None)
        globs[escaped(path) if whole is None else f"{escaped(whole)}/**"] = None
    return list(globs)


def _folders(path: str) -> list[str]:
    """The folders in which PATH lies, the outermost first; the root and the working directory are none."""
    parts = path.split("/")
    return [folder for i in range(1, len(parts)) if (folder := "/".join(parts[:i])).strip("./")]


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
