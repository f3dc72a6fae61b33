"""Memory for people: bars, and what a process costs and shares, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.model.pid import CopyOnWrite, ProcessMemory
from linkscope.model.quantities import percent, size
from linkscope.report.page import INDENT, LABEL, Page, Span, words

# How wide a bar is, and on a page narrower than _ROOMY.
_BAR, _SHORT_BAR, _ROOMY = 20, 8, 72


def bar(part: int, whole: int, page: Page, width: int) -> list[Span]:
    """WIDTH columns, as many of them full as PART is of WHOLE; neither nothing nor all of it where it is neither."""
    full = round(width * part / whole) if whole else 0
    if 0 < part < whole:
        full = min(width - 1, max(1, full))
    filled, empty = ("█", "░") if page.unicode else ("#", ".")
    return [(filled * full, "how"), (empty * (width - full), "faint")]


def memory(cost: ProcessMemory, page: Page) -> Iterator[list[Span]]:
    """What the process costs: its own memory beside what it shares, and what fork left in common.

    Nothing of what has none: a part of the kernel, a zombie.
    """
    if not cost.rss and not cost.swap:
        return
    label = f"{'':{INDENT}}{'memory':<{LABEL}}"
    costs = f"PSS {size(cost.pss)}, RSS {size(cost.rss)}: {size(cost.private)} its own, "
    costs += f"{size(cost.shared)} shared with other processes" if cost.shared else "nothing shared"
    if cost.swap:
        costs += f"; {size(cost.swap)} more are swapped out"
    yield from _beside_bar(label, cost.private, cost.rss, costs, page)
    common = cost.copy_on_write
    if common.private_memory:
        label = f"{'':{INDENT}}{'writable':<{LABEL}}"
        yield from _beside_bar(label, common.own, common.private_memory, _after_fork(common), page)


def _after_fork(common: CopyOnWrite) -> str:
    """What fork left in common, as a sentence."""
    whole = f"{size(common.private_memory)}: "
    if not common.shared:
        return f"{whole}all of it its own, nothing shared copy-on-write"
    share = percent(common.shared, common.private_memory)
    own = size(common.own) if common.own else "nothing"
    return f"{whole}{own} its own, {size(common.shared)} ({share}) still shared with relatives, copy-on-write"


def _beside_bar(label: str, part: int, whole: int, text: str, page: Page) -> Iterator[list[Span]]:
    width = _BAR if page.width is None or page.width >= _ROOMY else _SHORT_BAR
    start: list[Span] = [(label, "faint"), *bar(part, whole, page, width), ("  ", "")]
    return words(text, "", page, start)
