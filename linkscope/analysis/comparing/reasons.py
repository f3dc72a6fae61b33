"""Why one of two programs is behind by a criterion: a clause about it, with its figure, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from linkscope.analysis.comparing.entrants import Entrant
from linkscope.model.compare import PartKind, Program
from linkscope.model.quantities import size

Because = Callable[[Program, Program], str]
_NOTABLE = 0.05  # of a figure: a smaller difference needs no reason, and is none
_KINDS: dict[PartKind, str] = {
    "own-code": "code of its own or that is not known",
    "library-code": "code of {names}",
    "read-only-data": "read-only data",
    "data": "data",
    "linking": "what the loader reads",
    "symbols": "symbols",
    "debug": "debugging data",
    "other": "headers and what fills up",
}


def listed(names: Sequence[str], most: int = 3) -> str:
    """NAMES in a sentence: `a`, `a and b`, `a, b, c and 4 more`. A single one more is named as well."""
    shown = list(names if len(names) <= most + 1 else names[:most])
    if len(shown) < len(names):
        shown.append(f"{len(names) - most} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def none(_best: Program, _other: Program) -> str:
    """Where no reason is known."""
    return ""


def of_size(best: Program, other: Program) -> str:
    """The kind of bytes that makes most of the difference, if that is half of it."""
    difference = other.size - best.size
    if difference < _NOTABLE * other.size:
        return ""
    mine, theirs = (_by_kind(program) for program in (best, other))
    more, kind = max((theirs.get(kind, 0) - mine.get(kind, 0), kind) for kind in _KINDS)
    if 2 * more < difference:
        return ""
    brought = [part for part in other.parts if part.kind == "library-code" and part.name]
    names = [part.name or "" for part in sorted(brought, key=lambda part: -part.size)]
    return f"which has {size(more)} more of {_KINDS[kind].format(names=listed(names))}"


def _by_kind(program: Program) -> dict[PartKind, int]:
    sizes: dict[PartKind, int] = {}
    for part in program.parts:
        sizes[part.kind] = sizes.get(part.kind, 0) + part.size
    return sizes


def of_start(best: Program, other: Program) -> str:
    """What the other has to map and to relocate more."""
    work = other.relocations - best.relocations
    files = _files(other.libraries - best.libraries)
    said = [f"{files} more to map"] if files else []
    said += [f"{work:,} {'relocation' if work == 1 else 'relocations'} more to do"] if work > 0 else []
    return f"which has {listed(said)}" if said else ""


def of_mapping(best: Program, other: Program) -> str:
    """What the other has to map more."""
    files = _files(other.libraries - best.libraries)
    return f"which has {files} more to map" if files else ""


def _files(count: int) -> str:
    return "" if count <= 0 else f"{count} {'file' if count == 1 else 'files'}"


def of_memory(best: Program, other: Program) -> str:
    """What of one copy's memory is of no file; where that is not told, what is shared with nobody."""
    copies = other.copies_of(1)
    if copies is None or copies.anonymous is not None:
        return _anonymous(best, other, anonymous_alone)
    return f"of which {size(copies.private)} are shared with no other process" if copies.private else ""


def of_serving(best: Program, other: Program) -> str:
    """What of a server's memory is of no file."""
    return _anonymous(best, other, anonymous_serving)


def anonymous_alone(program: Program) -> int | None:
    """Bytes of one copy that are of no file; None where that is not told."""
    copies = program.copies_of(1)
    return copies.anonymous if copies else None


def anonymous_serving(program: Program) -> int | None:
    """Bytes of all processes of a server that are of no file; None where that is not told."""
    return program.run.server.anonymous() if program.run and program.run.server else None


def _anonymous(best: Program, other: Program, figure: Callable[[Program], int | None]) -> str:
    """What of it is of no file, which may be less than the better one has."""
    mine, theirs = figure(best), figure(other)
    if not theirs:
        return ""
    if mine is not None and mine - theirs > _NOTABLE * mine:
        return (
            f"though of that only {size(theirs)} are anonymous, and here {size(mine)}: the rest are pages of files, "
            "which the kernel can drop and read again"
        )
    return f"of which {size(theirs)} are anonymous, the rest pages of files"


def less_alone(best: Entrant, behind: Sequence[Entrant]) -> str:
    """Who farther behind than the next has the least memory of no file in one copy, if that is less than the best."""
    return _less_anonymous(best, behind, anonymous_alone)


def less_serving(best: Entrant, behind: Sequence[Entrant]) -> str:
    """The same of servers, over all their processes."""
    return _less_anonymous(best, behind, anonymous_serving)


def _less_anonymous(best: Entrant, behind: Sequence[Entrant], figure: Callable[[Program], int | None]) -> str:
    mine = figure(best.program)
    told = [(found, one) for one in behind if (found := figure(one.program)) is not None]
    if mine is None or not told:
        return ""
    least, one = min(told, key=lambda each: each[0])
    if one is behind[0] or mine - least <= _NOTABLE * mine:
        return ""
    return (
        f"; but {one.name} has the least that is anonymous, {size(least)} against {size(mine)}: the rest are "
        "pages of files, which the kernel can drop and read again"
    )


def of_copies(best: Program, other: Program, count: int) -> str:
    """What one more copy costs, up to COUNT; of few copies the better one may be the one of which that is more."""
    mine, theirs = (cost_of_one_more(program, count) for program in (best, other))
    if mine is None or theirs is None or size(mine) == size(theirs):
        return ""
    if theirs > mine:
        return f"where one more copy costs {size(theirs)} and not {size(mine)}"
    return f"though there one more copy costs only {size(theirs)}, and here {size(mine)}"


def cost_of_one_more(program: Program, count: int) -> int | None:
    """Bytes of PSS that each further copy adds, from the fewest to COUNT of them; None where that is not known.

    The sums bend, so that up to different numbers of copies they are not to be compared.
    """
    many = program.copies_of(count)
    few = min(program.run.copies, key=lambda one: one.count) if program.run and many else None
    if few is None or many is None or few.count == count:
        return None
    return round((many.pss - few.pss) / (count - few.count))


def of_needs(_best: Program, other: Program) -> str:
    """Whose files they are."""
    packages = sorted({file.package for file in other.files if file.package})
    if packages:
        return f"of {listed(packages)}"
    return f"among them {other.files[0].soname or other.files[0].path}" if other.files else ""


def of_contents(_best: Program, other: Program) -> str:
    """What is inside the other."""
    inside = other.rebuilt_for()
    return f"which has {listed(inside)} inside" if inside else ""


def of_reach(_best: Program, other: Program) -> str:
    """What most of the systems lack that are out of reach."""
    because = other.reach.because if other.reach else None
    return f"since most of the others lack {because}" if because else ""
