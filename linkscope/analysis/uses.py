"""Which libraries a file takes from outside of it, of those that a policy names: as `linkscope who` finds them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from typing import cast

import msgspec

from linkscope.analysis.circumstances import Place
from linkscope.analysis.holding import Holding
from linkscope.analysis.inside import Insides
from linkscope.analysis.sought import Sought, libraries, sought
from linkscope.loader.system import System
from linkscope.model.inspect import File
from linkscope.policy.subject import Use

_WILD = frozenset("*?[")


class _Asked(msgspec.Struct, frozen=True):
    """A library that a name of the policy means. insides: what is inside of files, each read once."""

    what: Sought
    insides: Insides


def uses(names: Iterable[str], file: File, where: Place, system: System) -> Iterator[Use]:
    """The libraries that NAMES mean and that FILE is, loads, needs or may open, name by name. Raises StoreUnusable.

    Of a file without closure, which no loader here can load, its own needs count. where: where FILE lies in SYSTEM.
    """
    key = tuple(names)
    known = cast("dict[tuple[str, ...], list[_Asked]]", system.memory.setdefault("libraries asked for", {}))
    if key not in known:
        known[key] = [one for name in key for one in _asked(name, system)]
    for one in known[key]:
        yield from _uses(one, file, Holding(one.what, one.insides, file, where, system))


def _asked(name: str, system: System) -> Iterator[_Asked]:
    """What NAME means. A path names what is inside (a Go module); an ecosystem but that of plain libraries, too."""
    plain = name.removeprefix("generic:")
    if _WILD.isdisjoint(plain):
        meant = [] if "/" in plain or ":" in plain else [plain]
    else:
        meant = [one.name for one in libraries() if fnmatch.fnmatchcase(one.name, plain.lower())]
    for one in meant:
        what = sought(one, system)
        yield _Asked(what, Insides(what.names))


def _uses(one: _Asked, file: File, holding: Holding) -> Iterator[Use]:
    project = one.what.libraries[0].name if one.what.by_project else None
    if project is not None and holding.is_library():
        yield Use(file.soname or file.path.rpartition("/")[2], project, "is")
    for entry in {entry.soname: entry for entry in holding.shared()}.values():
        yield Use(entry.soname, project, "loads", tuple(entry.needed_by))
    loaded = {entry.requested for entry in file.closure}
    for name in dict.fromkeys(file.needed):
        if name not in loaded and one.what.is_called((name,)):
            yield Use(name, project, "needs")
    for soname, _ in holding.declared():
        yield Use(soname, project, "may open")
