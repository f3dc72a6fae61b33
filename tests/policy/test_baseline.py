"""What a baseline accepts, whatever the checkout, and what of it is not there any more."""

import json
import os
import resource
import signal
from pathlib import Path

import msgspec
import pytest

from linkscope.errors import FileUnreadable
from linkscope.model.check import Checked, Finding
from linkscope.policy.baseline import Accepted, BaselineInvalid, Settling, exists, portable, read, write, written


def _finding(path: str, rule: str = "packed", subject: str = "", **changes: object) -> Finding:
    plain = Finding(
        rule=rule, level="error", path=path, subject=subject, status="new", message="…", evidence=[], fingerprint="0"
    )
    return msgspec.structs.replace(plain, **changes)


def _accepted(folder: Path, *findings: Finding) -> Accepted:
    file = folder / "baseline.json"
    file.write_bytes(written(findings, str(folder)))
    return read(str(file))


def _statuses(settling: Settling, path: str, *findings: Finding) -> list[str]:
    return [finding.status for finding in settling.settled(Checked(path=path, findings=list(findings))).findings]


def test_what_was_there_is_accepted_and_what_is_new_counts(tmp_path: Path) -> None:
    app = str(tmp_path / "dist/app")
    settling = Settling(_accepted(tmp_path, _finding(app)), str(tmp_path))
    assert _statuses(settling, app, _finding(app), _finding(app, "malformed")) == ["baseline", "new"]
    assert _statuses(settling, app, _finding(app, subject="UPX"), _finding(app + "2")) == ["new", "new"]


def test_another_checkout_has_the_same_baseline(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "elsewhere/there"
    here.mkdir()
    there.mkdir(parents=True)
    accepted = _accepted(here, _finding(f"{here}/app", subject=f"{here}/lib/libx.so"))
    assert not any(str(tmp_path) in str(entry) for entry in accepted.findings)
    moved = _finding(f"{there}/app", subject=f"{there}/lib/libx.so")
    assert _statuses(Settling(accepted, str(there)), moved.path, moved) == ["baseline"]


def test_a_path_is_the_same_however_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dist").mkdir()
    monkeypatch.chdir(tmp_path / "dist")
    ways = ["app", "./app", "../dist//app", str(tmp_path / "dist/app")]
    assert {portable(way, str(tmp_path)) for way in ways} == {"dist/app"}
    assert portable("/usr/bin/app", str(tmp_path)) == "/usr/bin/app"


def test_what_is_waived_does_not_go_in(tmp_path: Path) -> None:
    findings = [_finding("a", status="waived"), _finding("b", status="baseline"), _finding("c")]
    assert [entry.path for entry in _accepted(tmp_path, *findings).findings] == [
        portable(name, str(tmp_path)) for name in "bc"
    ]


def test_the_file_is_sorted_json_with_a_line_for_each_finding(tmp_path: Path) -> None:
    rows = [("b", "?"), ("a", "b"), ("a", "a"), ("c", '"')]
    findings = [_finding(f"{tmp_path}/{name}", subject=subject) for name, subject in rows]
    content = written(findings, str(tmp_path))
    assert content == written([*reversed(findings), findings[0]], str(tmp_path))
    document = json.loads(content)
    assert [(entry["path"], entry["subject"]) for entry in document["findings"]] == sorted(rows)
    assert len(content.splitlines()) == len(findings) + 5
    assert json.loads(written([], str(tmp_path))) == {"schema": "linkscope/baseline/1", "findings": []}


def test_what_is_not_there_any_more_is_told(tmp_path: Path) -> None:
    for name in ("app", "other", "package.whl"):
        (tmp_path / name).touch()
    paths = [f"{tmp_path}/{name}" for name in ("app", "other", "gone", "package.whl!/lib/libx.so")]
    accepted = _accepted(tmp_path, *map(_finding, paths), _finding(paths[0], "malformed"))
    settling = Settling(accepted, str(tmp_path))
    settling.settled(Checked(path=paths[0], findings=[]))
    gone = [(entry.rule, entry.path) for entry in settling.gone(["packed"])]
    assert gone == [("packed", "app"), ("packed", "gone")]  # the others were not looked at


def test_a_file_exists_with_the_package_that_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "a.whl").touch()
    assert exists(f"{tmp_path}/a.whl!/member/libx.so")
    assert not exists(f"{tmp_path}/b.whl!/member/libx.so")
    assert not exists("no-such-folder/file")


def test_a_baseline_is_written_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """The old file, which another name still has, stays what it was: nobody sees a half of the new one."""
    file, link, other = tmp_path / "baseline.json", tmp_path / "link", tmp_path / "other"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(file)
    other.hardlink_to(file)
    write(str(link), b"new")
    assert (file.read_bytes(), other.read_bytes(), link.is_symlink()) == (b"new", b"old", True)
    assert file.stat().st_mode & 0o777 == 0o640
    assert len(list(tmp_path.iterdir())) == 3


def test_a_pipe_takes_a_baseline_as_it_comes() -> None:
    reading, writing = os.pipe()
    write(f"/dev/fd/{writing}", b"new")
    os.close(writing)
    assert os.read(reading, 100) == b"new"
    os.close(reading)
    with pytest.raises(FileUnreadable, match="is a directory"):
        write("/tmp", b"new")


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    file.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(FileUnreadable, match="file too large"):
            write(str(file), b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("baseline.json", b"old")]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}}", b"\xff", b"[" * 100_000, b'{"schema": "linkscope/check/1"}', b'{"findings": [{}]}',
        b'{"findings": [{"path": "a", "rule": "b", "subject": "", "fingerprint": 1}]}', b'{"found": []}',
    ],
    ids=lambda content: content[:30].decode("latin-1"),
)  # fmt: skip
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "baseline.json").write_bytes(content)
    with pytest.raises(BaselineInvalid, match="is no baseline"):
        read(str(tmp_path / "baseline.json"))


def test_a_baseline_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="no such file"):
        read(str(tmp_path / "baseline.json"))
