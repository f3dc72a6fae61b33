"""`writable-code`: a segment that is both writable and executable."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.elf.protections import writable_code
from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.subject import Subject
from linkscope.policy.untold import is_mapped


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    if not is_mapped(subject.file):
        return
    shown = tuple(f"PT_LOAD at {s.vaddr:#x}, {s.memsz} bytes, RWE" for s in writable_code(subject.image))
    if shown:
        yield Fault("", "maps memory that is writable and executable at once", shown)


RULE = Rule(
    id="writable-code",
    level="warning",
    summary="A segment of the file is writable and executable at once.",
    why="What can write there can change the program's code; SELinux and systemd's MemoryDenyWriteExecute= refuse it.",
    remedy=(
        'Link without `-N` (`-Wl,--omagic`), and leave writable data out of executable sections (`.section NAME,"awx"` '
        "in assembly, a linker script that puts both into one segment)."
    ),
    check=_check,
)
