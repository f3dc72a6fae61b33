"""Whether a process runs what was packed into its file: of that file nothing executable is mapped any more."""

from __future__ import annotations

from linkscope.elf.image import read_image
from linkscope.elf.packing import packed
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.process import procfs
from linkscope.process.observation import Observation


def packer_of(seen: Observation) -> str | None:
    """The name of what packed the file that the kernel started (`UPX`); None where it is not packed, or not readable.

    The stub that it started unpacks the program into memory of no file, and unmaps itself: so the program is not among
    the objects of the process (UPX src/stub/src, observed with 3.96 and 4.2.4).
    """
    if seen.program is not None or seen.snapshot.exe is None:
        return None
    try:
        with open_reader(procfs.path_of(seen.snapshot.through, "exe"), seen.snapshot.exe) as reader:
            return packed(reader, read_image(reader))
    except LinkScopeError:
        return None
