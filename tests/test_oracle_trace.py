"""Asking the loader: what its answers mean, and that nothing is started that should only be asked about."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle import answers, files, runner, trace
from tests.oracle.answers import Entry, NotPreloaded, UndefinedSymbol, VersionComplaint
from tests.oracle.availability import Unavailable, outcome
from tests.oracle.elfwriter import executable, shared_object
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.runner import Outcome, Request
from tests.oracle.start import debugged_start, searches, start
from tests.oracle.trace import NotTraceable, Question


def said(stdout: bytes = b"", stderr: bytes = b"", status: int | None = 0) -> Outcome:
    return Outcome(status=status, errno=None, stdout=stdout, stderr=stderr, seconds=0.0)


ENTRIES = {
    "found": (b"\tliba.so => /x/liba.so (0x00007f12)\n", [Entry("liba.so", "/x/liba.so")]),
    "not found": (b"\tliba.so => not found\n", [Entry("liba.so", None)]),
    "one string": (b"\t/lib64/ld.so.2 (0x0f)\n", [Entry("/lib64/ld.so.2", "/lib64/ld.so.2")]),
    "vdso": (b"\tlinux-vdso.so.1 (0x00007ffc)\n", []),
    "vdso of i386": (b"\tlinux-gate.so.1 (0xf7f)\n", []),
    "space": (b"\tlib a.so => /s p/lib a.so (0x1)\n", [Entry("lib a.so", "/s p/lib a.so")]),
    "not UTF-8": (b"\tl\xff => /\xfe/l\xff (0x1)\n", [Entry("l\udcff", "/\udcfe/l\udcff")]),
    "newline": (b"\ta\nb => /x/a\nb (0x1)\n\tc => not found\n", [Entry("a\nb", "/x/a\nb"), Entry("c", None)]),
    "address in a name": (b"\ta (0x1) => /x/a (0x1) (0x2)\n", [Entry("a (0x1)", "/x/a (0x1)")]),
    "arrow in a name": (b"\ta => b => /x/a => b (0x1)\n", [Entry("a => b", "/x/a => b")]),
    "arrow in a missing name": (b"\ta => b => not found\n", [Entry("a => b", None)]),
    "static": (b"\tstatically linked\n", []),
    "order": (b"\tb => /b (0x1)\n\ta => not found\n", [Entry("b", "/b"), Entry("a", None)]),
}


@pytest.mark.parametrize(("listing", "expected"), ENTRIES.values(), ids=ENTRIES.keys())
def test_a_listing_means(listing: bytes, expected: list[Entry]) -> None:
    assert answers.entries(listing) == expected


def test_complaints_are_told_from_one_another() -> None:
    found = answers.parse(
        said(
            stderr=b"/app: /a.so: version `A_2' not found (required by /app)\n"
            b"/app: /a.so: weak version `A_3' not found (required by /b: c.so)\n"
            b"/app: /b.so: no version information available (required by /app)\n"
            b"ERROR: ld.so: object 'x.so' from LD_PRELOAD cannot be preloaded (file too short): ignored.\n"
            b"undefined symbol: f, version A_1\t(/app)\n"
            b"symbol g, version A_1 not defined in file a.so with link time reference\t(/app)\n"
            b"WARNING: of something else\n"
            b"/app: error while loading shared libraries: /t.so: file too short\n",
            status=127,
        ),
        "/app",
    )
    assert found.versions == (
        VersionComplaint("/a.so", "A_2", "/app"),
        VersionComplaint("/a.so", "A_3", "/b: c.so", weak=True),
        VersionComplaint("/b.so", None, "/app"),
    )
    assert found.not_preloaded == (NotPreloaded("x.so", "LD_PRELOAD", "file too short"),)
    assert found.undefined == (UndefinedSymbol("f", "A_1", "/app"), UndefinedSymbol("g", "A_1", "/app", "a.so"))
    assert found.other == ("WARNING: of something else",)
    assert found.fatal == "/t.so: file too short"


@pytest.mark.parametrize(("status", "word"), [(-11, "Segmentation fault"), (None, "out of time")])
def test_a_loader_that_crashes_or_does_not_end_is_a_refusal(status: int | None, word: str) -> None:
    assert answers.parse(said(status=status), "/app").fatal == f"/app: {word}"


def test_a_trace_of_a_real_program_is_what_ldd_prints(require_tool: Callable[[str], str]) -> None:
    printed = subprocess.run([require_tool("ldd"), "/bin/sh"], capture_output=True, check=True).stdout
    assert list(trace.trace("/bin/sh").entries) == answers.entries(printed)
    assert trace.trace("/bin/sh").entries


def test_a_trace_says_what_a_real_start_maps(fixture_file: Callable[[str], Path]) -> None:
    app = fixture_file("hello/hello-dynamic-pie")
    assert list(debugged_start(app).link_map) == trace.trace(app).paths


def test_a_library_is_asked_about_through_the_loader(tmp_path: Path) -> None:
    shared_object(tmp_path / "liba.so", needed=("libb.so",), runpath="$ORIGIN")
    shared_object(tmp_path / "libb.so")
    assert trace.trace(tmp_path / "liba.so").paths == [f"{tmp_path}/libb.so"]


def test_names_and_folders_may_be_relative_and_odd(tmp_path: Path) -> None:
    folder = tmp_path / "o\udcff d"
    folder.mkdir()
    shared_object(folder / "lib\nx.so")
    executable(folder / "app", needed=("lib\nx.so",), rpath=".")
    assert trace.trace("app", Question(cwd=os.fspath(folder))).entries == (Entry("lib\nx.so", "./lib\nx.so"),)


def not_elf(path: Path) -> Path:
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)
    return path


NOT_ASKED = {
    "static": lambda path: executable(path, None),
    "musl": lambda path: executable(path, MUSL_X86_64),
    "its own loader": lambda path: executable(path, "/bin/true"),
    "script": not_elf,
}


@pytest.mark.parametrize("make", NOT_ASKED.values(), ids=NOT_ASKED.keys())
def test_what_would_simply_run_is_not_asked(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "app")
    refusal = trace.refusal(path)
    if files.facts(path) is not None and files.facts(path).interp is None:  # type: ignore[union-attr]
        # A static program with a dynamic section goes to the loader, which says so and does not run it.
        assert trace.trace(path).static
    else:
        assert isinstance(refusal, (NotTraceable, Unavailable))


def test_a_loader_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    path = executable(tmp_path / "app", "/none/ld.so")
    with pytest.raises(Unavailable, match=r"/none/ld\.so"):
        trace.trace(path)


def test_a_setuid_program_is_asked_about_through_the_loader(tmp_path: Path) -> None:
    app = executable(tmp_path / "app", needed=("gone.so",))
    app.chmod(0o6755)
    assert trace.trace(app).missing == ["gone.so"]


def test_unused_libraries_are_the_direct_ones_that_nothing_is_taken_from(tmp_path: Path) -> None:
    for name in ("liba.so", "libb.so"):
        shared_object(tmp_path / name)
    app = executable(tmp_path / "app", needed=("liba.so", "libb.so"), rpath="$ORIGIN")
    assert trace.unused([app])[0].unused == (f"{tmp_path}/liba.so", f"{tmp_path}/libb.so")


def test_a_search_is_told_step_by_step(tmp_path: Path) -> None:
    for folder in "rul":
        (tmp_path / folder).mkdir()
    shared_object(tmp_path / "r" / "libx.so")
    app = executable(tmp_path / "app", needed=("libx.so", "libnone.so"), runpath=f"{tmp_path}/u:{tmp_path}/r")
    found = searches(app, Question(env={"LD_LIBRARY_PATH": f"{tmp_path}/l"}))
    assert [search.name for search in found] == ["libx.so", "libnone.so"]
    by_source = {attempt.source: attempt for attempt in found[0].attempts}
    assert list(by_source) == ["LD_LIBRARY_PATH", "runpath"]
    assert by_source["runpath"].of == os.fspath(app)
    assert by_source["runpath"].candidates[-1] == f"{tmp_path}/r/libx.so"
    last = found[1].attempts[-1]
    assert (last.source, last.of) == ("default", None)
    assert last.candidates[-1].endswith("/libnone.so")


def test_musl_is_asked_with_its_own_loader(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    loader = require_tool(MUSL_X86_64) if os.path.exists(MUSL_X86_64) else require_tool("musl-gcc")
    shared_object(tmp_path / "liba.so")
    app = executable(tmp_path / "app", loader, needed=("libgone.so", "liba.so", "libc.so"), rpath="$ORIGIN")
    found = trace.musl_list(app)
    assert found.paths == [loader, f"{tmp_path}/liba.so", loader]
    assert found.missing == ["libgone.so"]


def test_musls_own_start_maps_what_its_list_says(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    require_tool("musl-gcc")
    shared_object(tmp_path / "liba.so")
    app = executable(tmp_path / "app", MUSL_X86_64, needed=("liba.so", "libc.so"), rpath="$ORIGIN")
    assert start(app).link_map == (f"{tmp_path}/liba.so", MUSL_X86_64)


def test_a_command_gets_the_environment_the_folder_and_the_time_that_it_is_given(tmp_path: Path) -> None:
    shell = Request(argv=("/bin/sh", "-c", 'printf "%s|%s" "$X" "$(pwd)"'), env={"X": "1"}, cwd=os.fspath(tmp_path))
    late = Request(argv=("/bin/sleep", "5"), timeout=0.05)
    nowhere = Request(argv=("/none",))
    first, second, third = runner.run_all([shell, late, nowhere])
    assert (first.status, first.stdout) == (0, f"1|{tmp_path}".encode())
    assert (second.status, second.errno) == (None, None)
    assert third.errno == 2


def test_answers_stand_in_the_order_of_the_questions() -> None:
    numbers = [str(number) for number in range(25)]
    outcomes = runner.run_all([Request(argv=("/bin/echo", number)) for number in numbers])
    assert [answer.stdout.decode().strip() for answer in outcomes] == numbers


def test_a_path_inside_a_root_never_leads_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    links = {"absolute": "/d", "up": "../../../../d", "twice": "absolute", "loop": "loop"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    for name in ("absolute", "up", "twice"):
        assert files.below(os.fspath(tmp_path), f"/{name}/../{name}/x") == f"{tmp_path}/d/x"
    with pytest.raises(OSError, match="links"):
        files.below(os.fspath(tmp_path), "/loop/x")


@pytest.mark.parametrize(("environment", "expected"), [({"CI": "true"}, "fail"), ({"CI": ""}, "skip"), ({}, "skip")])
def test_a_missing_judge_fails_in_ci_and_skips_elsewhere(environment: dict[str, str], expected: str) -> None:
    assert outcome(environment) == expected
