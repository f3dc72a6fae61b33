"""`text-relocations`: the loader has to write to the file's code."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.elf.protections import relocates_code
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped

_NAMED = 8


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    if not is_mapped(subject.file) or not relocates_code(subject.image):
        return
    places = subject.relocated_code
    evidence = [f"in {place}" for place in places[:_NAMED]] or ["no relocation makes use of it"]
    if len(places) > _NAMED:
        evidence.append(f"and in {len(places) - _NAMED} more")
    yield Fault("", "has text relocations: the loader makes its code writable to change it", ("TEXTREL", *evidence))


RULE = Rule(
    id="text-relocations",
    level="warning",
    summary="The loader has to change the file's code before it runs (text relocations).",
    why=(
        "The code is writable meanwhile, and no longer shared among processes; SELinux and systemd's "
        "MemoryDenyWriteExecute= refuse it, and so does Android."
    ),
    remedy=(
        "Compile everything that goes into it with `-fPIC` (or `-fPIE`), and address data in assembly relative to the "
        "instruction; `-z text` makes the linker refuse it and name the object."
    ),
    check=_check,
)
