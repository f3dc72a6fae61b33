"""Units and containers by control group: a real group in systemd's hierarchy, and the runtimes' documented names."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkscope.process.surroundings.units import (
    ContainerName,
    Placement,
    _containers,
    _Table,
    placement,
    placement_of,
)
from linkscope.process.tables import read_table
from tests.oracle.availability import Unavailable
from tests.process.started import as_user, started

ROWS = read_table("surroundings/containers.toml", _Table).container
_ID = "0123456789abcdef" * 4


def _systemd_hierarchy() -> Path:
    """Where the groups in which systemd keeps its units are mounted; raises Unavailable where there are none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, kind, options = line.split()[4], *line.partition(" - ")[2].split()[::2]
        if (kind == "cgroup" and "name=systemd" in options) or (kind == "cgroup2" and place == "/sys/fs/cgroup"):
            return Path(place)
    raise Unavailable("no hierarchy of control groups for systemd is mounted")


@contextlib.contextmanager
def _group(path: str) -> Iterator[Path]:
    """A control group of this name, removed with all above it that was made for it; nothing may be left in it."""
    made: list[Path] = []
    place = _systemd_hierarchy()
    try:
        for part in path.split("/"):
            place /= part
            if not place.exists():
                try:
                    place.mkdir()
                except OSError as error:
                    raise Unavailable(f"no control group can be made: {error.strerror}") from error
                made.append(place)
        yield place
    finally:
        for folder in reversed(made):
            folder.rmdir()


@contextlib.contextmanager
def _sleeper_in(path: str) -> Iterator[int]:
    with _group(path) as group, started(["sleep", "600"]) as sleeper:
        (group / "cgroup.procs").write_text(str(sleeper.pid))
        yield sleeper.pid


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("linkscope.slice/linkscope-test.service", "linkscope-test.service"),
        ("linkscope.slice/disk@dev-a\\x2db.service/inner", "disk@dev-a\\x2db.service"),
        ("linkscope.slice/user@1.service/app.slice/app-x.scope", "user@1.service/app-x.scope"),
    ],
)
def test_a_process_in_a_group_of_systemds_hierarchy_is_in_that_unit(path: str, unit: str) -> None:
    with _sleeper_in(path) as pid:
        assert placement_of(pid) == Placement(unit, None)


def test_a_process_in_a_group_that_a_runtime_named_is_in_that_container() -> None:
    with _sleeper_in(f"linkscope.slice/docker-{_ID}.scope") as pid:
        assert placement_of(pid) == Placement(f"docker-{_ID}.scope", "docker 0123456789ab")


def test_the_groups_of_somebody_elses_process_can_be_read_and_those_of_no_process_are_none() -> None:
    with as_user(["sleep", "600"]) as sleeper:
        assert isinstance(placement_of(sleeper.pid), Placement)
    assert placement_of(1 << 30) == Placement(None, None)


# What systemd documents: systemd.unit(5), systemd.slice(5), user@.service(5), CONTROL_GROUP_INTERFACE.
UNITS = {
    "/": None,
    "/init.scope": "init.scope",
    "/system.slice/nginx.service": "nginx.service",
    "/system.slice/system-getty.slice/getty@tty1.service": "getty@tty1.service",
    "/system.slice/systemd-fsck@dev-disk-by\\x2duuid-0a.service": "systemd-fsck@dev-disk-by\\x2duuid-0a.service",
    "/system.slice/ssh.socket": "ssh.socket",
    "/system.slice/run-user-0.mount": "run-user-0.mount",
    "/system.slice/docker.service/a/b": "docker.service",
    "/system.slice/_tasks.service": "tasks.service",
    "/user.slice/user-1000.slice/session-3.scope": "session-3.scope",
    "/user.slice/user-1000.slice/user@1000.service/init.scope": "user@1000.service",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome\\x2dterminal-7.scope": (
        "user@1000.service/app-gnome\\x2dterminal-7.scope"
    ),
    "/user.slice/user-1000.slice/user@1000.service": "user@1000.service",
    "/user.slice/user-1000.slice": None,
    "/../../system.slice/cron.service": "cron.service",
    "/system.slice/gone.service (deleted)": "gone.service",
    "/nginx.service.d/x": None,
    "/system.slice/.service": None,
    "/sshd": None,
}


@pytest.mark.parametrize("path", UNITS)
@pytest.mark.parametrize("line", ["0::{}", "9:name=systemd:{}\n8:pids:/elsewhere"])
def test_the_unit_is_where_the_slices_end(path: str, line: str) -> None:
    assert placement(line.format(path) + "\n") == Placement(UNITS[path], None)


def test_systemds_own_hierarchy_speaks_before_the_controllers_and_the_unified_one() -> None:
    text = "12:pids:/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n0::/system.slice/c.service\n"
    assert placement(text).unit == "b.service"
    assert placement("1:name=systemd:/\n0::/system.slice/c.service\n").unit == "c.service"
    assert placement("4:memory:/init.scope\n1:name=systemd:/\n0::/\n").unit is None


def test_a_runtime_that_knows_no_systemd_is_seen_in_the_controllers() -> None:
    text = f"3:memory:/docker/{_ID}\n1:name=systemd:/system.slice/containerd.service\n"
    assert placement(text).container == "docker 0123456789ab"


def test_inside_a_container_the_unit_is_that_of_the_containers_own_systemd() -> None:
    assert placement(f"0::/system.slice/docker-{_ID}.scope/system.slice/cron.service\n") == Placement(
        "cron.service", "docker 0123456789ab"
    )
    assert placement("0::/lxc.payload.web/system.slice/cron.service\n") == Placement("cron.service", "lxc web")


def test_of_containers_within_one_another_the_inner_one_is_told() -> None:
    outer, inner = _ID, _ID[::-1]
    assert placement(f"0::/docker/{outer}/docker/{inner}/x\n").container == f"docker {inner[:12]}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.part)
def test_every_row_is_found_in_its_examples_and_not_in_what_it_refuses(row: ContainerName) -> None:
    assert row.examples
    assert row.refuses
    assert len(row.source) > 10
    for path, container in row.examples.items():
        assert re.search(f"/{row.part}", path), "another row found it"
        assert placement(f"0::{path}\n").container == container
    for path in row.refuses:
        assert placement(f"0::{path}\n").container is None


def test_every_row_names_its_identifier() -> None:
    assert all("id" in pattern.groupindex for _, pattern in _containers())


@pytest.mark.parametrize("text", ["", "nonsense\n", "::\n", "0:\n", "0::\n"])
def test_a_text_that_is_no_list_of_groups_places_nothing(text: str) -> None:
    assert placement(text) == Placement(None, None)


def test_a_name_that_is_no_utf_8_is_fit_for_a_document() -> None:
    groups = os.fsdecode(b"0::/lxc.payload.\xff/x\n")
    assert placement(groups).container == "lxc \N{REPLACEMENT CHARACTER}"
