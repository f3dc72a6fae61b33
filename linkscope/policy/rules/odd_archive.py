"""`odd-archive`: a package has members that not every tool unpacks, or not all of them in the same way."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.packages.oddities import OddKind
from linkscope.policy.archive import Archive
from linkscope.policy.rule import Fault, NoSettings, Rule

_MEANING: dict[OddKind, str] = {
    "symlink-out": "has symlinks that lead out of it",
    "special-file": "has devices, FIFOs or sockets, which were left out",
    "doubled-name": "has names that stand in it more than once; of each the last member counts",
    "absolute-name": "has absolute names; they were looked at as if they were below its top",
}
_MOST = 12  # members that are shown


def _check(archive: Archive, _: NoSettings) -> Iterator[Fault]:
    for oddity in archive.oddities:
        shown = [f"{member} {what}" for member, what in oddity.members[:_MOST]]
        more = oddity.count - len(shown)
        evidence = (*shown, f"and {more} more") if more else tuple(shown)
        yield Fault(oddity.kind, _MEANING[oddity.kind], evidence)


RULE = Rule(
    id="odd-archive",
    level="warning",
    summary="The package has links out of it, special files, or names that are doubled or absolute.",
    why=(
        "Tools differ in what they make of such members: some refuse them, some write or read outside of the folder "
        "that they unpack into, and of two members with one name some take the first. In an image of a whole system "
        "they are to be expected."
    ),
    remedy="Pack the folder anew without them, with relative names and links, or waive this with the reason.",
    check=_check,
    scope="archive",
)
