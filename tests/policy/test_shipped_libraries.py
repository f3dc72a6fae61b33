"""A library that is missing, and lies somewhere else in what is checked as a whole; the real loader is asked."""

import tarfile
from pathlib import Path

from linkscope.analysis.check import check
from linkscope.model.check import Finding
from linkscope.policy.terms import Policy
from tests.oracle.elfwriter import executable, shared_object
from tests.oracle.start import start
from tests.oracle.trace import Question

LIBRARIES = "usr/lib/of-its-own/far"


def installation(folder: Path) -> Path:
    """What `make install DESTDIR=FOLDER` leaves; its program, by the whole path."""
    (folder / LIBRARIES).mkdir(parents=True)
    (folder / "usr/bin").mkdir(parents=True)
    shared_object(folder / LIBRARIES / "libleaf.so.1")
    return executable(folder / "usr/bin/app", needed=("libleaf.so.1",))


def missing(path: Path) -> Finding:
    (finding,) = (one for one in check([str(path)], Policy()).findings if one.rule == "missing-library")
    return finding


def test_a_library_that_is_shipped_where_nobody_looks_is_named(tmp_path: Path) -> None:
    program = installation(tmp_path)
    found = missing(tmp_path)
    assert found.level == "error"
    assert f"{LIBRARIES}/libleaf.so.1 is shipped with it, and no search path leads there" in found.evidence[-1]
    assert "--root" in found.evidence[-1]
    assert not any("install what provides it" in line for line in found.evidence)
    assert start(str(program), Question()).answer.fatal
    there = Question(env={"LD_LIBRARY_PATH": str(tmp_path / LIBRARIES)})
    assert not start(str(program), there).answer.fatal


def test_so_it_is_in_an_archive(tmp_path: Path) -> None:
    installation(tmp_path / "dest")
    with tarfile.open(tmp_path / "dest.tar", "w") as archive:
        archive.add(tmp_path / "dest", ".")
    assert f"{LIBRARIES}/libleaf.so.1 is shipped with it" in missing(tmp_path / "dest.tar").evidence[-1]


def test_what_is_near_is_named_once(tmp_path: Path) -> None:
    """By the hint that says how it is reached."""
    (tmp_path / "lib").mkdir()
    shared_object(tmp_path / "lib/libleaf.so.1")
    executable(tmp_path / "app", needed=("libleaf.so.1",))
    (hint,) = (line for line in missing(tmp_path).evidence if not line.startswith("needed by"))
    assert hint.startswith(f"{tmp_path}/lib holds libleaf.so.1, ")


def test_what_a_library_lacks_and_its_program_may_find_is_not_to_be_installed(tmp_path: Path) -> None:
    installation(tmp_path)
    (tmp_path / "usr/bin/app").unlink()
    (tmp_path / "usr/plugins").mkdir()
    shared_object(tmp_path / "usr/plugins/plugin.so", needed=("libleaf.so.1",))
    found = missing(tmp_path)
    assert found.level == "warning"
    assert not any("install what provides it" in line for line in found.evidence)


def test_a_program_that_is_checked_alone_is_told_to_install_it(tmp_path: Path) -> None:
    assert "install what provides it" in missing(installation(tmp_path)).evidence[-1]


def test_a_hint_about_what_is_in_an_archive_names_it_as_the_reports_do(tmp_path: Path) -> None:
    (tmp_path / "dest/lib").mkdir(parents=True)
    shared_object(tmp_path / "dest/lib/libleaf.so.1")
    executable(tmp_path / "dest/app", needed=("libleaf.so.1",))
    with tarfile.open(tmp_path / "dest.tar", "w") as archive:
        archive.add(tmp_path / "dest", ".")
    found = missing(tmp_path / "dest.tar")
    assert found.path.endswith("/dest.tar!/app")
    assert found.evidence[-1].startswith("dest.tar!/lib holds libleaf.so.1, ")
