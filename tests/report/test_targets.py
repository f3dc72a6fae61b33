"""Targets as text: what is said of a distribution, by the verdicts over its releases."""

import pytest

from linkscope.model.targets import TargetFile, TargetReason, TargetRow, TargetsDocument, TargetVerdict
from linkscope.report.page import Page
from linkscope.report.targets import render


def row(distribution: str, release: str) -> TargetRow:
    return TargetRow(
        name=f"{distribution}:{release}",
        libc="glibc",
        version="2.1",
        source="a book",
        confidence="cited",
        distribution=distribution,
        release=release,
        names=[],
        kind="system",
        loader={},
        highest={},
    )


def verdict(target: str, starts: bool | None, package: str | None) -> TargetVerdict:
    reason = TargetReason(
        code="library",
        weight="fatal" if starts is False else "doubtful",
        subject="libx.so",
        message=f"needs libx.so on {target}",
        evidence=[],
        package=package,
    )
    return TargetVerdict(
        target=target, starts=starts, because=None if starts else "libx.so", reasons=[] if starts else [reason]
    )


def said(releases: dict[str, bool | None], *, named: bool = False, package: str | None = None) -> list[str]:
    """The lines about one distribution, whose releases are given with whether the file starts there."""
    rows = [row("toy", release) for release in releases]
    verdicts = [verdict(one.name, releases[one.release], package) for one in rows]
    oldest = next((release for release, starts in releases.items() if starts), None)
    file = TargetFile(path="app", oldest={"toy": oldest}, verdicts=verdicts)
    text = "".join(render(TargetsDocument(targets=rows, files=[file]), Page(), listed=False, named=named))
    title, *lines = text.splitlines()
    assert title == "app"
    return [line.strip() for line in lines]


CASES: dict[str, tuple[dict[str, bool | None], list[str]]] = {
    "the oldest, and why not the one before": (
        {"1": False, "2": True, "3": True},
        ["toy  2  not on 1: libx.so"],
    ),
    "all": ({"1": True, "2": True}, ["toy  1 and all that are known"]),
    "the only one": ({"1": True}, ["toy  1"]),
    "none: there may be newer ones": (
        {"1": False, "2": False},
        ["toy  none of those known (newest: 2): libx.so"],
    ),
    "perhaps": (
        {"1": False, "2": None, "3": None},
        ["toy  perhaps 2  not on 1: libx.so", "needs libx.so on toy:2"],
    ),
    "an older one, perhaps": (
        {"9": None, "10": True},
        ["toy  10, perhaps 9", "needs libx.so on toy:9"],
    ),
    "an older one, perhaps, and what is older still": (
        {"8": False, "9": None, "10": True},
        ["toy  10, perhaps 9  not on 8: libx.so", "needs libx.so on toy:9"],
    ),
    "perhaps on one before those that lack it": (
        {"8": None, "9": False, "10": True},
        ["toy  10, perhaps 8  not on 9: libx.so", "needs libx.so on toy:8"],
    ),
    "releases between that are not known": (
        {"34": False, "41": True},
        ["toy  41  not on 34 (35 to 40 are not known): libx.so"],
    ),
    "years are no count": ({"2": False, "2023": True}, ["toy  2023  not on 2: libx.so"]),
    "neither are points": ({"12.5": False, "15.2": True}, ["toy  15.2  not on 12.5: libx.so"]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_a_distribution(name: str) -> None:
    releases, expected = CASES[name]
    assert said(releases) == expected


def test_of_targets_that_were_named_no_others_are_thought() -> None:
    assert said({"12": False}, named=True) == ["toy  none  not on 12: libx.so"]


def test_the_package_that_brings_a_library_is_named() -> None:
    assert said({"12": False}, named=True, package="libx1") == [
        "toy  none  not on 12: libx.so (the package libx1 brings it)"
    ]
