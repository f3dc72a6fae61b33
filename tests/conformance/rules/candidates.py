"""A file of the right name that is not the right file: passed over, or the end (glibc elf/dl-load.c, open_verify)."""

from typing import Final

from tests.conformance.rules.rule import Refused, Rule, app, lib, rule
from tests.oracle.elfformat import ET_EXEC
from tests.oracle.elfwriter import program
from tests.oracle.forest import Node
from tests.oracle.recipe import Recipe

_BEHIND = lib("b/liba.so")
_ABOVE_ALL_CPUS = 0x4000  # a bit of GNU_PROPERTY_X86_ISA_1_NEEDED that no CPU has
_ET_REL = 1


def _ends(first: Node, words: str) -> Rule:
    """The search ends at the first file, although there is a good one behind it."""
    return rule(app("liba.so", runpath="@/a:@/b"), first, _BEHIND, to=Refused(words))


def _passed(first: Node) -> Rule:
    """The search goes on behind the first file."""
    return rule(app("liba.so", runpath="@/a:@/b"), first, _BEHIND, to=("b/liba.so",))


RULES: Final[dict[str, Rule]] = {
    "a file for another machine is passed over": _passed(lib("a/liba.so", machine=183)),
    "a 32-bit file is passed over": _passed(lib("a/liba.so", elf_class=32, machine=3)),
    "a big-endian file of another machine is passed over": _passed(lib("a/liba.so", endian="big", machine=22)),
    "a link to nothing is passed over": _passed(Node("a/liba.so", link="none")),
    "a file that may not be read is passed over": _passed(Node("a/liba.so", Recipe(), mode=0)),
    "where all are 32-bit files, the name is not found": rule(
        app("liba.so", runpath="@/a"), lib("a/liba.so", elf_class=32, machine=3), to=(None,)
    ),
    "EI_OSABI of GNU is as good as none": rule(
        app("liba.so", runpath="@/a:@/b"), lib("a/liba.so", osabi=3), _BEHIND, to=("a/liba.so",)
    ),
    "EI_OSABI of FreeBSD ends the search": _ends(lib("a/liba.so", osabi=9), "ELF file OS ABI invalid"),
    "an unknown EI_ABIVERSION ends the search": _ends(lib("a/liba.so", abiversion=9), "ELF file ABI version invalid"),
    "on the program itself neither is looked at": rule(
        app("liba.so", runpath="@/a", osabi=9, abiversion=9), lib("a/liba.so"), to=("a/liba.so",)
    ),
    "a text file ends the search": _ends(
        Node("a/liba.so", content=b"/* GNU ld script */ INPUT(libb.so)" + b" " * 64), "invalid ELF header"
    ),
    "an empty file ends the search": _ends(Node("a/liba.so", content=b""), "file too short"),
    "a cut-off file ends the search": _ends(Node("a/liba.so", content=b"\x7fELF\x02\x01\x01"), "file too short"),
    "a directory ends the search": _ends(Node("a/liba.so"), "cannot read file data"),
    "the other byte order ends the search": _ends(
        lib("a/liba.so", endian="big", machine=0x3E00), "ELF file data encoding not little-endian"
    ),
    "an object file ends the search": _ends(lib("a/liba.so", e_type=_ET_REL), "only ET_DYN and ET_EXEC can be loaded"),
    "a PIE ends the search": _ends(
        Node("a/liba.so", program()), "cannot dynamically load position-independent executable"
    ),
    "an executable at a fixed address ends the search": _ends(
        lib("a/liba.so", e_type=ET_EXEC), "cannot dynamically load executable"
    ),
    "a library for a better CPU is the end": _ends(
        lib("a/liba.so", isa_needed=_ABOVE_ALL_CPUS), "CPU ISA level is lower than required"
    ),
}
