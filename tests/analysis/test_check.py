"""`linkscope.check` and its outcome for a caller in Python: what is accepted, and what of that has no effect."""

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope import Policy, check
from linkscope.analysis.check import Acceptance, outcome
from linkscope.policy import baseline, config

FixtureFile = Callable[[str], Path]

NOTHING = Acceptance()

POLICY = """
[[files]]
paths = ["dist/*.exe"]

[[waivers]]
rule = "missing-library"
path = "nosuch/*"
reason = "later"
"""


@pytest.fixture
def release(tmp_path: Path, fixture_file: FixtureFile, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder around a release of one program that lacks a library; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dist").mkdir()
    shutil.copy(fixture_file("chain/no-search-path/app"), tmp_path / "dist/app")
    return tmp_path


def _missing(acceptance: Acceptance = NOTHING) -> set[str]:
    found = check(["dist"], acceptance=acceptance).findings
    return {finding.status for finding in found if finding.rule == "missing-library"}


def test_a_baseline_counts_in_python_too(release: Path) -> None:
    assert _missing() == {"new"}
    baseline.write("accepted.json", baseline.written(check(["dist"]).findings, "."))
    assert _missing(Acceptance(baseline=baseline.read("accepted.json"))) == {"baseline"}
    found = check([str(release / "dist")], acceptance=Acceptance(folder=str(release)))
    assert [one.fingerprint for one in found.findings] == [one.fingerprint for one in check(["dist"]).findings]


@pytest.mark.usefixtures("release")
def test_what_has_no_effect_is_told_in_python_too() -> None:
    accepted = baseline.Accepted(findings=(baseline.Entry(path="gone", rule="packed", subject="", fingerprint="0"),))
    policy = config.parse(POLICY.encode(), today=dt.date(2026, 6, 1))
    told = outcome(["dist"], policy, acceptance=Acceptance(baseline=accepted))
    assert [line for line, _ in told.idle] == [2, 5]
    assert [entry.path for entry in told.gone] == ["gone"]
    assert told.document == check(["dist"], policy)


@pytest.mark.usefixtures("release")
def test_without_a_policy_or_a_baseline_nothing_is_told() -> None:
    told = outcome(["dist"], Policy())
    assert (told.idle, told.gone) == ([], [])
