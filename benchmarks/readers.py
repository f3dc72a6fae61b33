"""One step by itself: what a loader wants to know of a file, read by LinkScope's own reader and by the libraries."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import lief
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader

_STRINGS: Final = {"DT_NEEDED": "needed", "DT_SONAME": "soname", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}


def _own(path: str) -> object:
    with open_reader(path) as reader:
        return read_image(reader)


def _pyelftools(path: str) -> object:
    """Interpreter and strings of the dynamic section, by way of the program headers."""
    found: list[str] = []
    with open(path, "rb") as file:
        for segment in ELFFile(file).iter_segments():
            if isinstance(segment, InterpSegment):
                found.append(segment.get_interp_name())
            elif isinstance(segment, DynamicSegment):
                tags = (tag for tag in segment.iter_tags() if tag.entry.d_tag in _STRINGS)
                found += [getattr(tag, _STRINGS[tag.entry.d_tag]) for tag in tags]
    return found


def _lief(path: str) -> object:
    binary = lief.ELF.parse(path)
    return binary and [(str(entry.tag), entry.value) for entry in binary.dynamic_entries]


READERS: Final[Mapping[str, Callable[[str], object]]] = {"own reader": _own, "pyelftools": _pyelftools, "lief": _lief}


def seconds_a_file(paths: Sequence[str], runs: int) -> dict[str, float]:
    """The mean time of each reader for one of the files: of so many rounds the median, behind one to warm up."""
    rounds: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(runs + 1):
        for name, read in READERS.items():
            started = time.perf_counter()
            for path in paths:
                read(path)
            rounds[name].append((time.perf_counter() - started) / len(paths))
    return {name: statistics.median(times[1:]) for name, times in rounds.items()}
