"""On how many of the known systems a file starts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from linkscope.model.compare import Reach
from linkscope.policy.targets.catalogue import targets
from linkscope.policy.targets.requirements import requirements
from linkscope.policy.targets.verdict import verdict

if TYPE_CHECKING:
    from linkscope.analysis.subject import FileSubject


def reach(subject: FileSubject) -> Reach | None:
    """Over the systems that are known for the file's machine; None where none is, so that nothing can be told.

    Wheels' platform tags are no systems. A release of which it is not known whether it has the machine does not count.
    """
    elf = subject.file.elf
    wanted = requirements(subject, subject.undefined)
    starts = doubtful = systems = 0
    oldest: dict[str, str | None] = {}
    hindrances: Counter[str] = Counter()
    for target in targets():
        if target.kind != "system" or target.machine(elf.machine, elf.class_, elf.endian) is None:
            continue
        systems += 1
        judged = verdict(target, wanted)
        said = judged.starts
        if said is False and judged.because is not None:
            hindrances[judged.because] += 1
        starts += said is True
        doubtful += said is None
        if said and oldest.get(target.distribution) is None:
            oldest[target.distribution] = target.release
        oldest.setdefault(target.distribution, None)
    if not systems:
        return None
    because = hindrances.most_common(1)[0][0] if hindrances else None
    return Reach(systems=systems, starts=starts, doubtful=doubtful, because=because, oldest=oldest)
