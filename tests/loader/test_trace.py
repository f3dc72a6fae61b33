"""The steps of a search are the loader's own: LD_DEBUG=libs tells of every file that it tries, in its order.

The loader also tries files in folders that do not exist, until it has noticed that; LinkScope leaves those out.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from linkscope.analysis.circumstances import environment_for, place, system_for
from linkscope.analysis.request import Assumptions
from linkscope.elf.image import read_image
from linkscope.loader.linkmap import Loaded
from linkscope.loader.program import Program, Start
from linkscope.loader.requests import Request, requests
from linkscope.loader.start import start
from linkscope.loader.system import System
from linkscope.loader.trace import shortest_chains, steps
from linkscope.model.document import text
from linkscope.model.why import SearchStep
from tests.oracle import roots, trace
from tests.oracle import start as oracle
from tests.oracle.elfwriter import executable, shared_object
from tests.oracle.files import below
from tests.oracle.forest import Forest
from tests.oracle.forest_strategies import forests
from tests.oracle.trace import Question

FixtureFile = Callable[[str], Path]
Search = tuple[str, list[str]]  # the name, and the files tried for it

CHAINS = (
    "breadth-first by-luck diamond exe-rpath-serves-grandchild exe-runpath-does-not-serve-grandchild "
    "lib-rpath-does-not-bring-exe-runpath lib-rpath-serves-own-needs lib-runpath-cancels-ancestors-rpath "
    "lib-runpath-serves-own-needs middle-rpath-serves-below no-search-path out-of-luck rpath-serves "
    "origin-of-a-library-is-where-it-was-found runpath-braces runpath-dots-are-not-normalised runpath-empty-element "
    "runpath-first-element-wins runpath-lib-token runpath-relative with-both-tags-rpath-is-dead"
).split()
CANDIDATES = "dangling-link good gnu-osabi other-class other-machine other-endian text empty folder object pie".split()
FIXTURES = [
    *(f"chain/{case}/app" for case in CHAINS),
    *(f"candidates/{case}/app" for case in CANDIDATES),
    *(f"filters/{case}/app" for case in ("auxiliary", "auxiliary-absent", "filter", "filter-absent")),
    *(f"needed/{case}" for case in ("missing-library", "origin-in-needed", "same-file-two-names", "soname-differs")),
    *(f"platform/{case}" for case in ("hwcaps", "legacy-hwcaps", "nodeflib-program", "nodeflib-library")),
]


class Traced:
    """A start, with all that is asked for on its way."""

    def __init__(self, path: str, assumptions: Assumptions) -> None:
        self.system: System = system_for(assumptions)
        environment = environment_for(assumptions, self.system, {})
        where = place(path, self.system)
        with self.system.open(where.inside, where.shown) as reader:
            image = read_image(reader)
            self.system.remember(image, reader.head)
        program = Program(image, where.inside, where.shown, self.system.root.locate(where.inside))
        self.start: Start = start(self.system, program, environment)
        self.requests: list[Request] = requests(self.start, self.system, environment)

    def searches(self) -> Iterator[tuple[Request, list[SearchStep]]]:
        """The requests on which the loader searches its lists, with their steps, up to the one at which it gives up."""
        rules = self.start.rules
        assert rules is not None
        for request in self.requests:
            name = rules.expand_name(request.name, request.tag, request.asker)
            if request.kind == "interpreter" or not request.searched or not isinstance(name, str) or "/" in name:
                continue
            made = [step for step in steps(request, self.start) if step.source != "loaded"]
            yield request, made
            if made[-1].outcome == "refused" and request.kind not in ("preload", "auxiliary"):
                return

    def tried(self) -> list[Search]:
        """The files tried for each name. An entry of the cache is tried even where it then does not count."""
        rules = self.start.rules
        assert rules is not None
        names = [str(rules.expand_name(request.name, request.tag, request.asker)) for request, _ in self.searches()]
        in_folders = [
            [step.candidate for step in made if step.candidate is not None and step.reason != "no such folder"]
            for _, made in self.searches()
        ]
        return [(text(name), _not_in_root(files)) for name, files in zip(names, in_folders, strict=True)]


def _really_tried(file: str, question: Question) -> list[Search]:
    """The same as the loader tells it."""
    return [
        (
            text(search.name),
            _not_in_root(
                [
                    text(candidate)
                    for attempt in search.attempts
                    for candidate in attempt.candidates
                    if attempt.source == "ld.so.cache" or _folder_exists(candidate, question)
                ]
            ),
        )
        for search in oracle.searches(file, question)
    ]


def _folder_exists(candidate: str, question: Question) -> bool:
    folder = os.path.dirname(candidate)
    return not candidate.startswith("/") or os.path.isdir(below(question.root, folder) if question.root else folder)


def _not_in_root(files: list[str]) -> list[str]:
    """Without those in / itself, where the loader looks only once: it tests "" for being a folder then."""
    return [file for file in files if os.path.dirname(file) != "/"]


def _assumptions(variables: Mapping[str, str], cwd: str | None = None, root: str = "/") -> Assumptions:
    library_path, preload = variables.get("LD_LIBRARY_PATH", ""), variables.get("LD_PRELOAD", "")
    return Assumptions(root=root, cwd=cwd, library_path=library_path, preload=preload, clean_env=True, secure="no")


@pytest.mark.parametrize("variables", [{}, {"LD_LIBRARY_PATH": "/usr/lib:/nowhere;lib"}], ids=["plain", "variable"])
@pytest.mark.parametrize("name", FIXTURES)
def test_the_files_tried_are_the_loaders(fixture_file: FixtureFile, name: str, variables: dict[str, str]) -> None:
    file = os.fspath(fixture_file(name))
    folder = os.path.dirname(file)
    expected = _really_tried(file, Question(env=variables, cwd=folder))
    assert Traced(file, _assumptions(variables, folder)).tried() == expected


def _programs() -> list[str]:
    """Every eighth program of this machine that its glibc loader can be asked about."""
    names = [entry.path for entry in sorted(os.scandir("/usr/bin"), key=lambda entry: entry.name) if entry.is_file()]
    return [path for path in names[::8] if trace.refusal(path) is None]


def test_the_files_tried_for_the_programs_of_this_machine_are_the_loaders() -> None:
    programs = _programs()
    assert len(programs) > 20
    different = [path for path in programs if Traced(path, _assumptions({})).tried() != _really_tried(path, Question())]
    assert different == []


# Releases of Debian, and how many of their programs are passed over for each that is asked about.
ROOTS = {"debian:11": 10, "debian:12": 10, "debian:13": 10, "debian:12/arm64": 60}


@pytest.mark.parametrize("name", ROOTS)
def test_the_files_tried_in_other_releases_are_their_loaders(name: str) -> None:
    """glibc 2.31, 2.36 and 2.41, each in its own root, and for another machine."""
    root, question = os.fspath(roots.root(name)), roots.question(name)
    programs = [f"/usr/bin/{file}" for file in sorted(os.listdir(f"{root}/usr/bin"))[:: ROOTS[name]]]
    asked = [path for path in programs if _is_file(root, path) and trace.refusal(path, question) is None]
    assert len(asked) > 3
    assumptions = _assumptions({}, "/", root)
    assert [path for path in asked if Traced(path, assumptions).tried() != _really_tried(path, question)] == []


def _is_file(root: str, path: str) -> bool:
    return os.path.isfile(below(root, path))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False, database=None)
@given(forests())
def test_the_files_tried_in_any_forest_are_the_loaders(forest: Forest) -> None:
    """Folders, RPATH, RUNPATH, links, sonames, hwcaps, filters, preloads, LD_LIBRARY_PATH."""
    with forest.planted() as planted:
        with planted.as_asked():
            tried = Traced(planted.program, _assumptions(planted.environment, planted.cwd)).tried()
        expected = _really_tried(planted.program, planted.question)
        if planted.trace().fatal is not None:
            tried = tried[: len(expected)]
    assert tried == expected, str(forest)


def test_an_rpath_that_is_given_up_does_not_end_those_of_the_objects_above(tmp_path: Path) -> None:
    """Before 2.39 a relative folder that is none ends its list: the library's own, and the program's is searched."""
    shared_object(tmp_path / "libmid.so", needed=("libx.so",), rpath=f"no-folder:{tmp_path}/never")
    (tmp_path / "no-folder").write_bytes(b"")
    (tmp_path / "never").mkdir()
    for folder in ("never", "."):
        shared_object(tmp_path / folder / "libx.so")
    program = os.fspath(executable(tmp_path / "app", needed=("libmid.so",), rpath=str(tmp_path)))
    tried = Traced(program, _assumptions({}, str(tmp_path))).tried()
    assert tried == _really_tried(program, Question(cwd=str(tmp_path)))


# fixture: the list that does not count for libleaf.so, whose it is, and why; the loader does not search it
SWITCHED_OFF = {
    "lib-runpath-cancels-ancestors-rpath": ("rpath", "app", "the caller has RUNPATH, so no RPATH is used"),
    "with-both-tags-rpath-is-dead": ("rpath", "app", "app has a RUNPATH too, so its RPATH is ignored"),
    "exe-runpath-does-not-serve-grandchild": ("runpath", "app", "the RUNPATH of app is not inherited"),
    "lib-rpath-does-not-bring-exe-runpath": ("runpath", "app", "the RUNPATH of app is not inherited"),
}


@pytest.mark.parametrize("case", SWITCHED_OFF)
def test_what_does_not_count_says_why(fixture_file: FixtureFile, case: str) -> None:
    app = os.fspath(fixture_file(f"chain/{case}/app"))
    source, owner, reason = SWITCHED_OFF[case]
    made = _steps_for("libleaf.so", Traced(app, _assumptions({})))
    left_out = [(step.source, step.of, step.reason) for step in made if step.outcome == "not-applicable"]
    folder = os.path.dirname(app)
    assert (source, f"{folder}/{owner}", reason.replace(owner, f"{folder}/{owner}")) in left_out
    (search,) = (search for search in oracle.searches(app) if search.name == "libleaf.so")
    assert app not in [attempt.of for attempt in search.attempts]


def _steps_for(name: str, traced: Traced) -> list[SearchStep]:
    return [step for request in traced.requests if request.name == name for step in steps(request, traced.start)]


def test_secure_execution_switches_off_the_variable(fixture_file: FixtureFile) -> None:
    app = os.fspath(fixture_file("chain/no-search-path/app"))
    traced = Traced(app, Assumptions(library_path="/opt:$ORIGIN/leaf", secure="yes"))
    (left_out,) = (step for step in _steps_for("libleaf.so", traced) if step.outcome == "not-applicable")
    assert (left_out.source, left_out.element) == ("LD_LIBRARY_PATH", "/opt:$ORIGIN/leaf")
    assert left_out.reason == "LD_LIBRARY_PATH does not count in secure execution"


def test_an_element_whose_token_is_not_trusted_is_named(fixture_file: FixtureFile) -> None:
    app = os.fspath(fixture_file("chain/runpath-braces/app"))
    made = _steps_for("libleaf.so", Traced(app, Assumptions(secure="yes", clean_env=True)))
    assert [(step.element, step.reason) for step in made if step.source == "runpath"] == [
        ("${ORIGIN}/leaf", "secure execution does not trust its $ORIGIN")
    ]


def test_who_asks_later_is_served_by_what_is_loaded_already(fixture_file: FixtureFile) -> None:
    """The loader searches once for both; what the second would find alone is said, and that it is not done."""
    app = os.fspath(fixture_file("chain/by-luck/app"))
    assert [search.name for search in oracle.searches(app)].count("libleaf.so") == 1
    able, unable = (request for request in Traced(app, _assumptions({})).requests if request.name == "libleaf.so")
    traced = Traced(app, _assumptions({}))
    assert able.searched
    assert not unable.searched
    first, *alone = [
        step for step in _steps_for("libleaf.so", traced) if (step.asked_by or "").endswith("libunable.so")
    ]
    assert (first.source, first.outcome, first.made) == ("loaded", "found", True)
    assert (first.reason or "").endswith("lib/libable.so")
    assert alone
    assert not any(step.made for step in alone)
    assert "found" not in [step.outcome for step in alone]


def test_a_file_under_a_second_name_is_found_and_recognised(fixture_file: FixtureFile) -> None:
    app = os.fspath(fixture_file("needed/same-file-two-names"))
    made = _steps_for("libsame-b.so", Traced(app, _assumptions({})))
    assert [(step.source, os.path.basename(step.candidate or ""), step.outcome) for step in made] == [
        ("runpath", "libsame-b.so", "found"),
        ("loaded", "libsame-a.so", "found"),
    ]


def test_a_list_is_given_up_at_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first/libloop.so").symlink_to("libloop.so")
    app = os.fspath(executable(tmp_path / "app", needed=("libloop.so",), runpath="$ORIGIN/first:$ORIGIN/second"))
    (made,) = (step for step in _steps_for("libloop.so", Traced(app, _assumptions({}))) if step.source == "runpath")
    assert made.reason == "too many levels of symbolic links; after that the loader gives up this list"
    (search,) = oracle.searches(app)
    assert not [file for attempt in search.attempts for file in attempt.candidates if "second" in file]


# fixture: the shortest chain to each library
SHORTEST = {
    "chain/breadth-first/app": [
        *(["app", "liba.so"], ["app", "libb.so"], ["app", "libc.so.6"]),
        *(["app", "liba.so", "libdeep.so"], ["app", "libb.so", "libleaf.so"]),
        ["app", "libc.so.6", "ld-linux-x86-64.so.2"],
    ],
    "filters/auxiliary/app": [
        *(["app", "libfilter.so"], ["app", "libc.so.6"], ["app", "libfilter.so", "libfiltee.so"]),
        ["app", "libc.so.6", "ld-linux-x86-64.so.2"],
    ],
}


@pytest.mark.parametrize("name", SHORTEST)
def test_shortest_chains(fixture_file: FixtureFile, name: str) -> None:
    app = os.fspath(fixture_file(name))
    chains = shortest_chains(Traced(app, _assumptions({})).start.link_map)
    found = [[os.path.basename(part) for part in chain] for chain in chains.values() if len(chain) > 1]
    assert sorted(found) == sorted(SHORTEST[name])


def test_no_chain_is_longer_than_the_way_that_the_loader_goes() -> None:
    """On real programs: every chain is a way over NEEDED entries, and as long as the depth of the object."""
    for path in _programs()[::4]:
        link_map = Traced(path, _assumptions({})).start.link_map
        for loaded, chain in shortest_chains(link_map).items():
            assert len(chain) == loaded.depth + 1
            at: Loaded = link_map.main
            for name in chain[1:]:
                assert at.image is not None
                assert name in at.image.needed
                at = next(found for _, asked, found in link_map.dependencies[at] if asked == name)
            assert at is loaded
