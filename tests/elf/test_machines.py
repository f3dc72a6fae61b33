"""Names of machines, against the tables of pyelftools and the C library."""

import re
from pathlib import Path

import pytest
from elftools.elf.enums import ENUM_E_MACHINE

from linkscope.elf.machines import MACHINES, machine_name

HEADER = Path("/usr/include/elf.h")
# Where the two tables, or names in one of them, differ: the number, its other name, and why it is not the one here.
OTHER_NAMES = {
    "ECOG1": "the old name of ECOG1X",
    "ALPHA": "41 is the gABI's number; Linux and glibc use 0x9026 under the same name",
    "FAKE_ALPHA": "what glibc calls the gABI's number of Alpha",
    "ARCV2": "what glibc calls ARC_COMPACT2",
    "INTELGT": "what glibc calls INTEL205",
    "EMX16": "a slip of glibc's for KMX16",
    "EMX8": "a slip of glibc's for KMX8",
    "NUM": "the end of glibc's list",
}


def _numbers(header: str) -> list[tuple[int, str]]:
    rows = re.findall(r"^#define EM_(\w+)\s+(0x\w+|\d+)", header, re.MULTILINE)
    return [(int(number, 0), name) for name, number in rows]


def _numbers_of_pyelftools() -> list[tuple[int, str]]:
    return [(number, name[3:]) for name, number in ENUM_E_MACHINE.items() if name.startswith("EM_")]


def test_every_machine_that_pyelftools_names_has_its_name_here() -> None:
    wrong = {(number, name) for number, name in _numbers_of_pyelftools() if MACHINES.get(number) != name.lower()}
    assert {name for _, name in wrong} <= set(OTHER_NAMES)


def test_every_machine_of_the_c_librarys_header_has_its_name_here() -> None:
    if not HEADER.exists():
        pytest.skip("the C library's headers are not here")
    wrong = {(number, name) for number, name in _numbers(HEADER.read_text()) if MACHINES.get(number) != name.lower()}
    assert {name for _, name in wrong} <= set(OTHER_NAMES)


def test_every_name_here_is_in_one_of_the_tables() -> None:
    """None is made up: the two tables, and the names by which these have been explained."""
    known = {(number, name.lower()) for number, name in _numbers_of_pyelftools()}
    if HEADER.exists():
        known |= {(number, name.lower()) for number, name in _numbers(HEADER.read_text())}
    assert set(MACHINES.items()) <= known


@pytest.mark.parametrize(
    ("number", "name"),
    [(62, "x86_64"), (183, "aarch64"), (3, "386"), (40, "arm"), (243, "riscv"), (22, "s390"), (258, "loongarch")],
)
def test_a_machine_is_named_in_lower_case_without_its_prefix(number: int, name: str) -> None:
    assert machine_name(number) == name


@pytest.mark.parametrize("number", [11, 60000, 65535])
def test_an_unknown_machine_is_its_decimal_number(number: int) -> None:
    assert machine_name(number) == str(number)
