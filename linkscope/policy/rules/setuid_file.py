"""`setuid-file`: the program gives rights to whoever starts it."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Privilege, Subject

_MEANING: dict[Privilege, str] = {
    "setuid": "is setuid: whoever starts it gets its owner's rights",
    "setgid": "is setgid: whoever starts it gets its group's rights",
    "capabilities": "has file capabilities: whoever starts it gets them",
}


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    for privilege in subject.privileges:
        yield Fault(privilege, _MEANING[privilege])


RULE = Rule(
    id="setuid-file",
    level="note",
    summary="The program gives rights to whoever starts it (setuid, setgid, file capabilities).",
    why=(
        "What it loads and where it looks for that decides who else gets these rights; faults of its search path and "
        "of its hardening count for more in it."
    ),
    remedy="Take the bit away (`chmod u-s`, `setcap -r`) unless the program needs it; then waive this with the reason.",
    check=_check,
)
