"""The process among its relatives: who they are, in what state, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from linkscope.elf import linkage
from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError, ProcessUnreadable
from linkscope.model.document import text
from linkscope.model.inspect import Linkage
from linkscope.model.pid import Family, FamilyTree, ProcessMemory
from linkscope.process import procfs
from linkscope.process.family.census import (
    Census,
    Measured,
    Placed,
    census,
    census_with,
    children_of,
    cmdline_of,
    family_of,
    is_dead,
    parent_of,
    program_of,
    relatives,
    zombies_of,
)
from linkscope.process.family.channels import channels_among
from linkscope.process.family.orphans import Verdict, Witnesses, verdict
from linkscope.process.family.roles import Roles
from linkscope.process.family.sockets import SocketTables
from linkscope.process.mappings import read_smaps
from linkscope.process.procfs import Stat
from linkscope.process.usage import process_memory


class Families:
    """Everybody's relatives, as they were in one pass over all processes.

    seen_dead: since when zombies are known to be dead, by pid (`--watch`).
    """

    def __init__(self, booted: float, seen_dead: Mapping[int, float]) -> None:
        self._booted = booted
        self._seen_dead = seen_dead
        self._tables = SocketTables()
        self._take(census())

    def _take(self, people: Census) -> None:
        """Go by PEOPLE from now on."""
        self._people = people
        self._witnesses = Witnesses(people)
        self._roles = Roles(people, self._tables)

    def family(self, stat: Stat) -> tuple[Family, Verdict]:
        """The nearest relatives of the process of STAT, and what tells whether it is an orphan.

        One that was started since the others were looked at may have the number of one that has ended since.
        """
        pid, people = stat.pid, census_with(self._people, stat)
        if people is not self._people:
            self._take(people)
        parent = parent_of(pid, self._people)
        found = verdict(pid, self._witnesses)
        family = Family(
            parent=parent.pid if parent else 0,
            children=children_of(pid, self._people),
            zombies=zombies_of(pid, self._people),
            orphan=found.orphan,
            role=self._roles.of(pid),
        )
        return family, found

    def tree(self, pid: int) -> FamilyTree:
        """The whole family of one process. Channels and sums are those of its household."""
        members, household = family_of(pid, self._people), _household(pid, self._people)
        living = {member.stat.pid: member.stat for member in (*members, *household) if not is_dead(member.stat)}
        costs = {number: _memory_of(_seen_through(stat)) for number, stat in living.items()}
        measured = relatives(members, self._measure(costs), self._booted, self._seen_dead)
        return FamilyTree(
            pid=pid,
            members=measured,
            channels=channels_among([member.stat.pid for member in household], self._tables),
            pss=_sum_of_pss(costs, _from(pid, members)),
            one_more=_one_more(household, costs),
        )

    def _measure(self, costs: Mapping[int, ProcessMemory | None]) -> Callable[[Stat], Measured]:
        def measure(stat: Stat) -> Measured:
            memory = costs.get(stat.pid)
            return Measured(
                cmdline=[text(word) for word in cmdline_of(_seen_through(stat))],
                linkage=linkage_of(_seen_through(stat)),
                role=self._roles.of(stat.pid),
                orphan=verdict(stat.pid, self._witnesses).orphan,
                pss=memory.pss if memory else None,
                copy_on_write=memory.copy_on_write if memory else None,
            )

        return measure


def _household(pid: int, people: Census) -> list[Placed]:
    """The process with its descendants; of a worker its master and all of that one's, since they share what they have.

    A master runs the program that its worker runs.
    """
    eldest, program = pid, program_of(pid)
    while (parent := parent_of(eldest, people)) and program is not None and program_of(parent.pid) == program:
        eldest = parent.pid
    members = family_of(eldest, people)
    below = set(_from(eldest, members))
    return [member for member in members if member.stat.pid in below]


def _from(pid: int, members: list[Placed]) -> list[int]:
    """A process and its descendants among the members of its family."""
    pids = [member.stat.pid for member in members]
    return pids[pids.index(pid) :] if pid in pids else []


def _seen_through(stat: Stat) -> int:
    """The thread whose files in /proc show the process."""
    try:
        return procfs.living_thread(stat)
    except ProcessUnreadable:
        return stat.pid


def _memory_of(pid: int) -> ProcessMemory | None:
    """What a process costs; None where that may not be read, and of what has no memory."""
    try:
        pairs = read_smaps(pid)
    except ProcessUnreadable:
        return None
    return process_memory([mapping for mapping, _ in pairs], [cost for _, cost in pairs]) if pairs else None


def _sum_of_pss(costs: Mapping[int, ProcessMemory | None], pids: list[int]) -> int | None:
    """The PSS of some processes together; None where that of one that lives cannot be read."""
    known = [costs[pid] for pid in pids if pid in costs]
    return sum(memory.pss for memory in known if memory) if known and all(known) else None


def _one_more(members: list[Placed], costs: Mapping[int, ProcessMemory | None]) -> int | None:
    """The median of what the workers have for themselves alone; None without workers.

    Workers are children that run their parent's program. What they share with one another is there already, so that one
    more costs what it would own.
    """
    programs = {member.stat.pid: program_of(member.stat.pid) for member in members}
    own = sorted(
        memory.private
        for member in members
        if (memory := costs.get(member.stat.pid)) is not None
        and programs[member.stat.pid] is not None
        and programs[member.stat.pid] == programs.get(member.stat.ppid)
    )
    return (own[(len(own) - 1) // 2] + own[len(own) // 2]) // 2 if own else None


def linkage_of(pid: int) -> Linkage | None:
    """How the program of a process is linked; None where its file cannot be read."""
    try:
        with open_reader(procfs.path_of(pid, "exe"), f"process {pid}") as reader:
            return linkage.linkage(read_image(reader))
    except LinkScopeError:
        return None
