"""What of a policy has no effect is told, unless this run could not know."""

import datetime as dt
from pathlib import Path

import pytest

from linkscope.model.check import Checked, Finding
from linkscope.policy.idle import Watch
from linkscope.policy.terms import Group, Policy, Waiver

TODAY = dt.date(2026, 6, 1)


def _remarks(
    waiver: Waiver, *checked: Checked, rules: tuple[str, ...] = ("packed",), whole: tuple[str, ...] = ()
) -> list[str]:
    watch = Watch(Policy(waivers=(waiver,), today=TODAY))
    for one in checked:
        watch.see(one)
    return [remark for _, remark in watch.remarks(rules, whole)]


def _checked(path: str, *subjects: str) -> Checked:
    findings = [
        Finding(
            rule="packed", level="note", path=path, subject=subject, status="new", message="…", evidence=[],
            fingerprint="0",
        )
        for subject in subjects
    ]  # fmt: skip
    return Checked(path=path, findings=findings)


def _waiver(path: str = "dist/*", **changes: object) -> Waiver:
    return Waiver(**{"rule": "packed", "path": path, "reason": "so it is", **changes})  # type: ignore[arg-type]


def test_a_waiver_that_accepts_something_is_not_told() -> None:
    assert _remarks(_waiver(), _checked("dist/other"), _checked("dist/app", "UPX")) == []
    assert _remarks(_waiver(subject="UPX"), _checked("dist/app", "UPX")) == []
    assert _remarks(_waiver(until=TODAY), _checked("dist/app", "UPX")) == []


@pytest.mark.parametrize("findings", [(), ("other",)])
def test_a_waiver_of_what_was_not_found_is_told(findings: tuple[str, ...]) -> None:
    (remark,) = _remarks(_waiver(subject="UPX"), _checked("dist/app", *findings))
    assert "accepts nothing that was found" in remark


def test_a_waiver_that_has_ended_is_told_though_its_finding_is_there() -> None:
    (remark,) = _remarks(_waiver(until=dt.date(2026, 5, 31)), _checked("dist/app", "UPX"))
    assert remark == "the waiver of packed for dist/* ended on 2026-05-31"


def test_what_this_run_did_not_look_at_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dist").mkdir()
    assert _remarks(_waiver(), _checked("other/app")) == []
    assert _remarks(_waiver(), _checked("dist/app"), rules=("malformed",)) == []


def test_a_waiver_for_a_file_that_does_not_exist_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (remark,) = _remarks(_waiver("dist/app"), _checked("other"))
    assert "does not exist" in remark
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/app").touch()
    assert _remarks(_waiver("dist/app"), _checked("other")) == []
    assert _remarks(_waiver("app"), _checked("other")) == []  # in whichever folder


@pytest.mark.parametrize(
    ("path", "whole"),
    [("nosuch/*", ("dist/app",)), ("dist/no*", ("dist",)), ("dist/a.whl!/no*", ("dist/a.whl",)), ("*.exe", ("dist",))],
)
def test_a_waiver_whose_path_no_file_matches_is_told_where_that_can_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, whole: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/a.whl").touch()
    (remark,) = _remarks(_waiver(path), _checked("dist/app"), whole=whole)
    assert remark == f"the waiver of packed for {path} is about no file that was checked"


@pytest.mark.parametrize("path", ["dist/no*", "dist/sub/*", "*.exe", "dist/a.whl!/no*"])
def test_a_waiver_of_files_that_may_be_elsewhere_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dist/sub").mkdir(parents=True)
    (tmp_path / "dist/a.whl").touch()
    assert _remarks(_waiver(path), _checked("dist/app"), whole=("dist/app",)) == []


def _of_sections(*paths: str, checked: list[str], whole: tuple[str, ...] = ()) -> list[int]:
    groups = tuple(Group(paths=(path,), line=line) for line, path in enumerate(paths, 1))
    watch = Watch(Policy(groups=groups, today=TODAY))
    for path in checked:
        watch.see(Checked(path=path, findings=[]))
    return [line for line, _ in watch.remarks(["packed"], whole)]


def test_a_section_whose_folder_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dist").mkdir()
    sections = ["**", "dits/*", "dist/*", "dist/absent", "*.so", "/absent/**"]
    assert _of_sections(*sections, checked=["other"]) == [2, 4, 6]
    assert _of_sections(*sections, checked=["dist/absent", "dits/x", "/absent/x"]) == []


def test_a_section_that_no_file_is_in_is_told_where_whole_folders_were_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dist").mkdir()
    assert _of_sections("**", "dist/*.exe", "*.so", checked=["dist/app"]) == []
    assert _of_sections("**", "dist/*.exe", "*.so", checked=["dist/app"], whole=("dist",)) == [2, 3]
    assert _of_sections("**", "dist/*.exe", checked=["dist/sub/app"], whole=("dist/sub",)) == []
    assert _of_sections("**", "dist/*.exe", "*.so", checked=["dist/app.exe", "x.so"], whole=("dist",)) == []
