"""Targets: their names, their data, and what a verdict says."""

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.targets import targets as document
from linkscope.model.targets import TargetVerdict
from linkscope.policy.subject import Wanted
from linkscope.policy.targets import data
from linkscope.policy.targets.catalogue import UnknownTarget, left_behind, target, targets
from linkscope.policy.targets.requirements import Need, Packed, Requirements
from linkscope.policy.targets.verdict import verdict

NAMES = {
    "debian:bookworm": "debian:12",
    "debian12": "debian:12",
    "debian:12.5": "debian:12",
    "debian:bookworm-slim": "debian:12",
    "Ubuntu:Jammy": "ubuntu:22.04",
    "ubuntu-22.04": "ubuntu:22.04",
    "rhel8": "rhel:8",
    "rhel:8.10": "rhel:8",
    "el9": "rhel:9",
    "centos:7": "centos:7",
    "rockylinux:9": "rocky:9",
    "al2023": "amazonlinux:2023",
    "alpine:3.19.1": "alpine:3.19",
    "manylinux1": "manylinux_2_5",
    "manylinux2014": "manylinux_2_17",
    "manylinux_2_28_aarch64": "manylinux_2_28",
    "musllinux_1_2": "musllinux_1_2",
}

PLAIN = Requirements(
    path="app",
    machine="x86_64",
    elf_class=64,
    endian="little",
    interpreter="/lib64/ld-linux-x86-64.so.2",
    loaded=True,
    loads_at_run_time=False,
    libc="glibc",
    needs=(Need("libc.so.6", ("app",)),),
    versions=(),
    within=(),
    cpu_level=0,
    packed=(),
)
MUSL = msgspec.structs.replace(
    PLAIN, interpreter="/lib/ld-musl-x86_64.so.1", libc="musl", needs=(Need("libc.musl-x86_64.so.1", ("app",)),)
)


def wanted(name: str, number: tuple[int, ...], provider: str = "libc.so.6", weak: bool = False) -> Wanted:
    family = name.rpartition("_")[0] if number else None
    return Wanted(name, family, number, provider, "app", weak)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_found_by_the_names_that_people_give_it(name: str) -> None:
    assert target(name).name == NAMES[name]


@pytest.mark.parametrize(
    ("name", "near"),
    [("debain:11", "debian:11"), ("ubuntu:20.4", "ubuntu:20.04"), ("manylinux_2_29", "manylinux_2_39"), ("zzz", None)],
)
def test_an_unknown_name_is_answered_with_those_that_are_near(name: str, near: str | None) -> None:
    with pytest.raises(UnknownTarget) as raised:
        target(name)
    assert (near in raised.value.near) if near else not raised.value.near
    assert str(raised.value).startswith(f"{name}: is no target that is known")


def test_targets_stand_by_distribution_the_oldest_release_first() -> None:
    known = targets()
    assert [one.distribution for one in known] == sorted(one.distribution for one in known)
    for one, following in itertools.pairwise(known):
        if one.distribution == following.distribution:
            assert one.libc_number <= following.libc_number


def test_every_row_says_where_it_comes_from() -> None:
    for one in targets():
        rows = [one.evidence, *(machine.evidence for machine in one.machines)]
        rows += [library.evidence for known in one.libraries.values() for library in known.values()]
        assert all(row.source and row.confidence in ("verified", "cited") for row in rows)


def test_the_releases_that_a_floor_leaves_behind_are_the_newest_without_it() -> None:
    behind = {one.distribution: one.release for one in left_behind("GLIBC", "2.34")}
    assert {name: behind[name] for name in ("debian", "ubuntu", "rhel")} == {
        "debian": "11",
        "ubuntu": "20.04",
        "rhel": "8",
    }
    assert not left_behind("GLIBC", "2.2.5")
    assert not left_behind("NO_SUCH_FAMILY", "9")


TOY = """
distribution = "toy"
libc = "glibc"
install = "all"
[sources.s]
text = "a book"
confidence = "cited"
[machines.x86_64]
source = "s"
[[releases]]
release = "1"
libc = "2.1"
source = "s"
"""
# What is put in the place of what, and what is told.
FAULTS = {
    "an unknown key": ('libc = "2.1"', 'libc = "2.1"\nlibrarys = []', "unknown field `librarys` - at `$.releases[0]`"),
    "a source that is not there": (
        '"2.1"\nsource = "s"',
        '"2.1"\nsource = "x"',
        "release 1, libc: no source is called x",
    ),
    "an architecture that is none": ("machines.x86_64", "machines.pdp11", "release 1, machines: no architecture"),
    "a layout without a source": (
        '"2.1"\nsource = "s"',
        '"2.1"\nsource = "s"\nmerged = "x"',
        "release 1, whether /usr is merged: no source is called x",
    ),
    "no TOML": ("[sources.s]", "[sources.s", "(at line 5, column 11)"),
    "a wrong type": ('release = "1"', "release = 1", "Expected `str`, got `int` - at `$.releases[0].release`"),
    "another's name": ('"toy"', '"tin"', "holds tin"),
}


def test_a_data_file_without_fault_is_read(tmp_path: Path) -> None:
    file = tmp_path / "toy.toml"
    file.write_text(TOY)
    assert [one.name for one in data.read(file)] == ["toy:1"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_data_file_is_told_with_file_and_place(tmp_path: Path, fault: str) -> None:
    right, wrong, told = FAULTS[fault]
    file = tmp_path / "toy.toml"
    file.write_text(TOY.replace(right, wrong))
    with pytest.raises(data.DataFault) as raised:
        data.read(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert told in str(raised.value)


VERDICTS: dict[str, tuple[str, Requirements, bool | None, str | None]] = {
    "all is there": ("debian:12", PLAIN, True, None),
    "the very version": (
        "debian:12",
        msgspec.structs.replace(PLAIN, versions=(wanted("GLIBC_2.36", (2, 36)),)),
        True,
        None,
    ),
    "a version too new": (
        "debian:11",
        msgspec.structs.replace(PLAIN, versions=(wanted("GLIBC_2.34", (2, 34)), wanted("GLIBC_2.33", (2, 33)))),
        False,
        "GLIBC_2.34",
    ),
    "a version too new and weak": (
        "debian:11",
        msgspec.structs.replace(PLAIN, versions=(wanted("GLIBC_2.34", (2, 34), weak=True),)),
        True,
        None,
    ),
    "a version of another library than has it": (
        "debian:12",
        msgspec.structs.replace(PLAIN, versions=(wanted("GLIBC_2.36", (2, 36), "libpthread.so.0"),)),
        False,
        "GLIBC_2.36",
    ),
    "a stub that is kept": (
        "debian:13",
        msgspec.structs.replace(
            PLAIN,
            needs=(*PLAIN.needs, Need("libpthread.so.0", ("app",))),
            versions=(wanted("GLIBC_2.31", (2, 31), "libpthread.so.0"),),
        ),
        True,
        None,
    ),
    "DT_RELR on a loader without it": (
        "debian:11",
        msgspec.structs.replace(
            PLAIN, versions=(Wanted("GLIBC_ABI_DT_RELR", "GLIBC", (2, 36), "libc.so.6", "app", False),)
        ),
        False,
        "GLIBC_ABI_DT_RELR",
    ),
    "DT_RELR that is not told to glibc": (
        "debian:12",
        msgspec.structs.replace(PLAIN, packed=(Packed("app", said=False, from_libc=True),)),
        False,
        "DT_RELR",
    ),
    "a library that is not installed": (
        "debian:12",
        msgspec.structs.replace(PLAIN, needs=(*PLAIN.needs, Need("libssl.so.3", ("app",)))),
        False,
        "libssl.so.3",
    ),
    "a library of which nothing was read": (
        "ubuntu:22.04",
        msgspec.structs.replace(PLAIN, needs=(*PLAIN.needs, Need("libcurl.so.4", ("app",)))),
        None,
        "libcurl.so.4",
    ),
    "another machine that there is": (
        "debian:12",
        msgspec.structs.replace(PLAIN, machine="s390", endian="big"),
        None,
        "s390",
    ),
    "a static program of another machine that there is": (
        "debian:12",
        msgspec.structs.replace(PLAIN, machine="s390", endian="big", loaded=False, needs=()),
        True,
        None,
    ),
    "another machine that there is not": (
        "debian:12",
        msgspec.structs.replace(PLAIN, machine="sparcv9", endian="big", loaded=False, needs=()),
        False,
        "sparcv9",
    ),
    "a machine of which nothing was read": ("rhel:9", msgspec.structs.replace(PLAIN, machine="s390"), None, "s390"),
    "a machine for which there is no such tag": (
        "manylinux_2_12",
        msgspec.structs.replace(PLAIN, machine="aarch64"),
        False,
        "aarch64",
    ),
    "the class of another machine": ("debian:12", msgspec.structs.replace(PLAIN, elf_class=32), False, "x86_64"),
    "glibc's loader on musl": ("alpine:3.19", PLAIN, False, "/lib64/ld-linux-x86-64.so.2"),
    "musl's loader on glibc": ("debian:12", MUSL, False, "/lib/ld-musl-x86_64.so.1"),
    "musl on musl": ("alpine:3.19", MUSL, True, None),
    "versions are nothing to musl": (
        "alpine:3.19",
        msgspec.structs.replace(MUSL, versions=(wanted("V2", ()),)),
        True,
        None,
    ),
    "names of the C library's parts mean musl itself": (
        "alpine:3.19",
        msgspec.structs.replace(MUSL, needs=(Need("libm.so.6", ("app",)), Need("libpthread.so.0", ("app",)))),
        True,
        None,
    ),
    "DT_RELR on a musl without it": (
        "alpine:3.17",
        msgspec.structs.replace(MUSL, packed=(Packed("app", said=False, from_libc=False),)),
        False,
        "DT_RELR",
    ),
    "DT_RELR on a musl with it": (
        "alpine:3.18",
        msgspec.structs.replace(MUSL, packed=(Packed("app", said=False, from_libc=False),)),
        True,
        None,
    ),
    "a symbol of a later musl": (
        "alpine:3.19",
        msgspec.structs.replace(MUSL, symbols=frozenset({"statx", "qsort_r", "puts"})),
        False,
        "statx",
    ),
    "a symbol that musl has by then": (
        "alpine:3.20",
        msgspec.structs.replace(MUSL, symbols=frozenset({"statx", "qsort_r", "puts"})),
        True,
        None,
    ),
    "libstdc++ is not on Alpine": (
        "alpine:3.20",
        msgspec.structs.replace(MUSL, needs=(*MUSL.needs, Need("libstdc++.so.6", ("app",)))),
        False,
        "libstdc++.so.6",
    ),
    "a processor above the baseline": ("rhel:9", msgspec.structs.replace(PLAIN, cpu_level=3), None, "x86-64-v3"),
    "a processor of the baseline": ("rhel:10", msgspec.structs.replace(PLAIN, cpu_level=3), True, None),
    "a static program": (
        "alpine:3.14",
        msgspec.structs.replace(PLAIN, interpreter=None, loaded=False, needs=()),
        True,
        None,
    ),
}


# Whether a program with that interpreter starts there, which the layout of the system decides.
LOADERS = (
    ("debian:10", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", True),
    ("debian:12", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", True),
    ("debian:12", "/lib/ld-linux-x86-64.so.2", False),
    ("ubuntu:18.04", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", True),
    ("ubuntu:18.04", "/usr/lib64/ld-linux-x86-64.so.2", False),
    ("ubuntu:20.04", "/usr/lib64/ld-linux-x86-64.so.2", True),
    ("ubuntu:24.04", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", True),
    ("ubuntu:24.04", "/nix/store/0c0ffee-glibc-2.39/lib/ld-linux-x86-64.so.2", False),
    ("fedora:41", "/usr/lib64/ld-linux-x86-64.so.2", True),
    ("rhel:7", "/usr/lib64/ld-linux-x86-64.so.2", True),
    ("rhel:9", "/usr/lib64/ld-linux-x86-64.so.2", True),
    ("rhel:9", "/lib/ld-linux-x86-64.so.2", None),
    ("rhel:9", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", False),
    ("rocky:8", "/usr/lib64/ld-linux-x86-64.so.2", True),
    ("amazonlinux:2", "/usr/lib64/ld-linux-x86-64.so.2", None),
    ("sles:15.2", "/usr/lib64/ld-linux-x86-64.so.2", False),
    ("alpine:3.22", "/usr/lib/ld-musl-x86_64.so.1", False),
    ("alpine:3.23", "/usr/lib/ld-musl-x86_64.so.1", True),
)


@pytest.mark.parametrize(("name", "interpreter", "starts"), LOADERS)
def test_a_loader_is_known_by_all_the_names_that_lead_to_it(name: str, interpreter: str, starts: bool | None) -> None:
    plain = MUSL if name.startswith("alpine:") else PLAIN
    said = verdict(target(name), msgspec.structs.replace(plain, interpreter=interpreter))
    assert (said.starts, said.because) == (starts, None if starts else interpreter), said


def test_a_system_of_which_it_is_said_has_the_names_of_its_loader_below_usr() -> None:
    for one in targets():
        for machine in one.machines if one.layout is not None else ():
            names = {machine.interpreter, *machine.also}
            plain = {name for name in names if name and not name.startswith("/usr/")}
            below = {f"/usr{name}" for name in plain}
            assert names - plain in (below, set()), one.name
            assert not below & {*machine.perhaps}, one.name


@pytest.mark.parametrize("case", VERDICTS)
def test_a_verdict_says_whether_and_because_of_what(case: str) -> None:
    name, requirements, starts, because = VERDICTS[case]
    said = verdict(target(name), requirements)
    assert (said.starts, said.because) == (starts, because), said
    assert all(reason.message for reason in (*said.reasons, *said.notes))


def test_what_is_only_warned_about_stands_among_the_notes() -> None:
    weak = msgspec.structs.replace(PLAIN, versions=(wanted("GLIBC_2.34", (2, 34), weak=True),))
    assert [note.subject for note in verdict(target("debian:11"), weak).notes] == ["GLIBC_2.34"]
    static = msgspec.structs.replace(PLAIN, loaded=False, needs=(), loads_at_run_time=True)
    assert [note.code for note in verdict(target("debian:11"), static).notes] == ["library"]


def test_the_symbols_of_a_version_are_named_with_it(fixture_file: Callable[[str], Path]) -> None:
    [file] = document([str(fixture_file("hello/hello-dynamic-pie"))], ["debian:10", "debian:12"]).files
    old = file.verdicts[0]
    assert isinstance(old, TargetVerdict)
    assert (old.starts, file.oldest) == (False, {"debian": "12"})
    assert any(line.startswith("__libc_start_main (from ") for line in old.reasons[0].evidence)
