"""A process among its relatives: in one line, and drawn as a tree with the channels inside the family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linkscope.model.pid import FamilyTree, Process, Relative
from linkscope.model.quantities import percent, size
from linkscope.report.channels import channels
from linkscope.report.escape import escape
from linkscope.report.lines import clipped
from linkscope.report.moment import Moment, duration
from linkscope.report.page import INDENT, LABEL, Page, Span, flow
from linkscope.report.processfacts import UNUSUAL, is_dead, state_of
from linkscope.report.processtitle import title
from linkscope.report.table import Column, table

_SHOWN = 8  # pids of a large family that are named
# Line art wider than this is no longer read; a narrow page has room for less.
_DEEPEST, _NARROW = 60, 24
# Columns of a command line on a page without an edge, where the longest one sets all rows apart.
_CALLED = 60
_COLUMNS = (
    Column(title="process", least=36),
    Column(title="state", least=12),
    Column(title="threads", right=True, spare=3),
    Column(title="linkage", spare=4),
    Column(title="PSS", right=True),
    Column(title="still shared", right=True, spare=2),
    Column(title="", least=12),
)


def _listed(one: str, many: str, pids: Sequence[int]) -> str:
    """`child 1234`, `3 children: 1234, 1235, 1236`; of many the first few, and how many more."""
    if len(pids) == 1:
        return f"{one} {pids[0]}"
    shown = pids if len(pids) <= _SHOWN else pids[: _SHOWN - 2]
    more = f" and {len(pids) - len(shown)} more" if len(shown) < len(pids) else ""
    return f"{len(pids)} {many}: {', '.join(map(str, shown))}{more}"


def family(process: Process, page: Page, moment: Moment) -> Iterator[list[Span]]:
    """What the process is in its family, who its parent and children are, and which of them are dead."""
    items = _standing(process, moment)
    text: list[Span] = [(word, style) for said, style in items for word in f"{said} ·".split(" ")]
    return flow(text[:-1], page, [(f"{'':{INDENT}}{'family':<{LABEL}}", "faint")], [], " ")


def _standing(process: Process, moment: Moment) -> list[Span]:
    its = process.family
    items: list[Span] = [(its.role, "")] if its.role else []
    items.append((f"parent {its.parent}" if its.parent else "no parent that can be seen", ""))
    if its.orphan:
        items.append((f"an orphan: who forked it has ended, and {its.parent} has adopted it", "warn"))
    if its.children:
        items.append((_listed("child", "children", its.children), ""))
    watched = [pid for pid in its.zombies if pid in moment.dead][:_SHOWN]
    items += [(f"zombie {pid}, dead for {duration(moment.now - moment.dead[pid])} or longer", "bad") for pid in watched]
    others = [pid for pid in its.zombies if pid not in watched]
    if others:
        items.append((_listed("zombie", "zombies", others), "bad"))
    return items


def tree(whole: FamilyTree, page: Page, moment: Moment) -> Iterator[list[Span]]:
    """The family of one process: who descends from whom, what each costs, and how they can talk to one another."""
    yield [(f"family of {whole.pid}", "title")]
    yield []
    yield from _members(whole, page, moment)
    costs = _costs(whole)
    if costs:
        yield []
        yield from flow(costs, page, [(" " * INDENT, "")], [], " · ")
    if whole.channels:
        yield []
        yield from channels(whole.channels, page)


def _members(whole: FamilyTree, page: Page, moment: Moment) -> Iterator[list[Span]]:
    """A row for each member; a remark that has no room beside it stands below."""
    guides = _guides([member.depth for member in whole.members], page)
    rows = [_row(member, guide, whole.pid, page, moment) for member, guide in zip(whole.members, guides, strict=True)]
    titles, *lines = table(_COLUMNS, rows, page)
    yield titles
    for place, (line, row) in enumerate(zip(lines, rows, strict=True)):
        remark, style = row[-1]
        if escape(remark) in (text for text, _ in line):
            yield line
            continue
        yield line[:-2]
        below = _below(guides[place], guides[place + 1 : place + 2])
        room = None if page.width is None else page.width - INDENT - len(below)
        yield [(" " * INDENT + below, ""), (clipped(remark, room), style)]


def _called(member: Relative, page: Page) -> str:
    return clipped(title(member.name, member.cmdline), _CALLED if page.width is None else None)


def _row(member: Relative, guide: str, asked: int, page: Page, moment: Moment) -> list[Span]:
    style = "title" if member.pid == asked else ""
    common = member.copy_on_write
    shared = percent(common.shared, common.private_memory) if common is not None and common.private_memory else ""
    return [
        (f"{guide}{member.pid} {_called(member, page)}", style),
        (state_of(member), UNUSUAL.get(member.state, "")),
        ("" if is_dead(member) else str(member.threads), ""),
        (member.linkage or "", "how"),
        ("" if member.pss is None else size(member.pss), ""),
        (shared, ""),
        _remark(member, moment),
    ]


def _remark(member: Relative, moment: Moment) -> Span:
    """What sets the member apart: its death, its being an orphan, its role."""
    if is_dead(member):
        return f"{_dead_for(member, moment)}, not waited for by {member.ppid}", "bad"
    said = [member.role] if member.role else []
    if member.orphan:
        said.append(f"orphan, adopted by {member.ppid}")
    return ", ".join(said), "warn" if member.orphan else ""


def _dead_for(member: Relative, moment: Moment) -> str:
    """The kernel keeps no time of death: it lies between the start and the first look that saw it dead."""
    seen = moment.dead.get(member.pid)
    if seen is None and member.since is not None and member.since > member.started:
        seen = member.since
    if seen is not None:
        return f"dead for {duration(moment.now - seen)} or longer"
    return f"dead for {duration(moment.now - member.started)} at most"


def _costs(whole: FamilyTree) -> list[Span]:
    items: list[Span] = []
    if whole.pss is not None:
        items.append((f"with all descendants: {size(whole.pss)} PSS", ""))
    if whole.one_more is not None:
        items.append((f"one more worker costs {size(whole.one_more)}", ""))
    return items


def _below(guide: str, following: Sequence[str]) -> str:
    """The line art below a member: FOLLOWING has that of the next one, which is its child where it is longer."""
    child = bool(following) and len(following[0]) > len(guide)
    return guide.replace("├─ ", "│  ").replace("└─ ", "   ") + ("│    " if child else "     ")


def _guides(depths: Sequence[int], page: Page) -> list[str]:
    """The line art before each member of a family whose members stand below their parents, by their DEPTHS."""
    most = _DEEPEST if page.width is None or page.width > 2 * _DEEPEST else _NARROW
    guides: list[str] = []
    open_: set[int] = set()  # the generations that have a member further down, below the same parent
    for depth in reversed(depths):
        above = "".join(["│  " if level in open_ else "   " for level in range(1, depth)])
        own = "" if depth == 0 else "├─ " if depth in open_ else "└─ "
        guide = above + own
        guides.append(guide if len(guide) <= most else f"…{guide[1 - most :]}")
        open_ = {level for level in open_ if level < depth} | {depth}
    return guides[::-1]
