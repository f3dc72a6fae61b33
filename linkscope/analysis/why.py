"""`linkscope why`: who asks for a library, and where the loader would look for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from linkscope.analysis.circumstances import environment_for, place, reason_for, system_for
from linkscope.analysis.request import Assumptions
from linkscope.elf import linkage, notes
from linkscope.elf.image import read_image
from linkscope.errors import LinkScopeError
from linkscope.loader import trace
from linkscope.loader.linkmap import Loaded
from linkscope.loader.luck import is_lucky
from linkscope.loader.program import Program, Start
from linkscope.loader.remedies.hints import hints_for, hints_for_missing
from linkscope.loader.remedies.near_names import near_names
from linkscope.loader.remedies.wanted import called
from linkscope.loader.requests import Request, requests
from linkscope.loader.start import start
from linkscope.loader.system import System
from linkscope.model.document import AnalysisError, exact_bytes, text
from linkscope.model.why import SearchStep, WhyDocument

# What is no program that a loader starts, nor a library that one loads.
_AS_THE_CALLER = Assumptions()
_ALONE = {
    "interpreter": "a dynamic loader",
    "relocatable": "an object file",
    "kernel-module": "a kernel module",
    "core": "a core dump",
    "debug": "a separate debug file",
    "executable": "a static program",
}


def why(path: str, library: str, assumptions: Assumptions = _AS_THE_CALLER) -> WhyDocument:
    """Who asks for LIBRARY when PATH is started, and the search for it.

    LIBRARY: a name as files ask for it, a SONAME, a path, or a file's plain name. What cannot be analysed stands
    under `errors`. Raises RootUnusable and BadAssumption.
    """
    system = system_for(assumptions)
    environment = environment_for(assumptions, system, os.environ)
    where = place(path, system)
    try:
        with system.open(where.inside, where.shown) as reader:
            image = read_image(reader)
            system.remember(image, reader.head)
            kind = linkage.kind(reader, image)
        program = Program(image, where.inside, where.shown, system.root.locate(where.inside))
        if kind != "shared-library" and linkage.linkage(image) != "dynamic":
            alone = f"{where.shown} is {_ALONE[kind]}: no library is loaded for it"
            return _document(where.shown, library, [], [], [alone])
        started = start(system, program, environment)
    except LinkScopeError as error:
        failed = AnalysisError(
            path=text(path), error=text(reason_for(error, path, system)), path_bytes=exact_bytes(path)
        )
        return _document(where.shown, library, [], [], [], errors=[failed])
    everything = requests(started, system, environment)
    asked = _requests_for(library, everything, system, environment.cwd)
    hints = _hints(asked, started) if asked else _hints_for_unasked(library, everything, started, system)
    return _document(where.shown, library, asked, _steps(asked, started), hints, _chains(library, asked, started))


def _document(
    path: str,
    library: str,
    asked: list[Request],
    search: list[SearchStep],
    hints: Iterable[str],
    chains: list[list[str]] | None = None,
    errors: list[AnalysisError] | None = None,
) -> WhyDocument:
    found = next((request.answer.path for request in asked if request.answer and request.answer.image), None)
    return WhyDocument(
        path=text(path),
        library=text(library),
        chains=[[text(name) for name in chain] for chain in chains or ()],
        search=search,
        path_found=None if found is None else text(found),
        hints=[text(hint) for hint in dict.fromkeys(hints)],
        errors=errors or [],
    )


def _requests_for(library: str, everything: list[Request], system: System, cwd: str) -> list[Request]:
    """The requests that LIBRARY means: by a name that its object has, else by its path, else by its file's name."""
    named = [request for request in everything if request.name == library or library in _names(request)]
    if not named and "/" in library:
        identity = system.candidate(place(library, system).inside, cwd).identity
        named = [one for one in everything if one.found and identity == _image_identity(one)]
    if not named:
        named = [request for request in everything if library in _file_names(request, system, cwd)]
    answers = {request.answer for request in named if request.found}
    meant = [request for request in everything if request in named or request.answer in answers]
    # An object may have one entry twice.
    return list({(one.asker, one.kind, one.name): one for one in reversed(meant)}.values())[::-1]


def _names(request: Request) -> set[str]:
    """Every name of what the request led to."""
    answer = request.answer
    if answer is None:
        return set()
    soname = answer.image.soname if answer.image is not None else None
    return {name for name in (*answer.names, answer.path, answer.requested, soname) if name is not None}


def _file_names(request: Request, system: System, cwd: str) -> set[str]:
    """The last parts of the paths by which a file is reached: the one that the loader opens, and the real one."""
    path = request.answer.path if request.answer is not None else request.name
    paths = (path, system.realpath(path, cwd)) if path is not None else ()
    return {path.rpartition("/")[2] for path in paths if path is not None}


def _image_identity(request: Request) -> tuple[int, int] | None:
    answer = request.answer
    return answer.image.identity if answer is not None and answer.image is not None else None


def _chains(library: str, asked: list[Request], started: Start) -> list[list[str]]:
    """One shortest chain for each object that asks; nothing but the environment asks for a preload.

    An object that asks by several names is shown with the one that was given, if that is among them.
    """
    chains = trace.shortest_chains(started.link_map)
    names: dict[Loaded, str] = {}
    for request in asked:
        if request.kind != "preload" and (request.name == library or request.asker not in names):
            names[request.asker] = request.name
    return [[*chains[asker], name] for asker, name in names.items()]


def _steps(asked: list[Request], started: Start) -> list[SearchStep]:
    return [step for request in asked for step in trace.steps(request, started)]


def _hints(asked: list[Request], started: Start) -> Iterator[str]:
    """What would mend the requests that fail, or that succeed by luck alone."""
    for request in asked:
        answer = request.answer
        if request.kind == "preload":
            state = (
                "names it to be preloaded"
                if request.found
                else "names it to be preloaded, and the start goes on without"
            )
            yield f"{request.source} {state}"
        elif request.kind == "auxiliary" and answer is None:
            yield f"{request.name} is an auxiliary filtee, without which {called(request.asker)} serves by itself"
        elif started.rules is None:
            yield from (problem.message for problem in started.link_map.problems)
        elif answer is not None and answer.role == "library" and answer.image is None:
            yield from hints_for_missing(started, answer)
        elif answer is not None and is_lucky(request.name, request.tag, request.asker, answer, started.rules):
            name = started.rules.expand_name(request.name, request.tag, request.asker)
            yield f"{called(request.asker)} would not find {request.name} by itself"
            yield from hints_for(str(name), request.asker, started)


def _hints_for_unasked(library: str, everything: list[Request], started: Start, system: System) -> Iterator[str]:
    """What may have been meant by a name that nobody asks for, and who says that it opens such a library itself."""
    for loaded in started.link_map.objects:
        yield from _declared(library, loaded, started, system)
    if started.rules is None:
        yield from (problem.message for problem in started.link_map.problems)
    for name in dict.fromkeys(one.requested for one in started.link_map.objects if _is_missing(one)):
        yield f"{name} is not found, so that what it needs in its turn is unknown"
    known = [name for request in everything for name in (request.name, *sorted(_names(request)))]
    near = near_names(library, known)
    if near:
        yield f"did you mean {' or '.join(near)}?"


def _is_missing(loaded: Loaded) -> bool:
    return loaded.image is None and loaded.role == "library"


def _declared(library: str, loaded: Loaded, started: Start, system: System) -> Iterator[str]:
    """Whether an object declares that it opens LIBRARY while it runs (`.note.dlopen`), and what it would get."""
    if loaded.image is None or started.rules is None:
        return
    with system.open(loaded.image.path, loaded.path) as reader:
        entries = notes.dlopen_entries(reader, loaded.image)
    for entry in entries:
        if library in entry.soname:
            candidate = started.rules.search(library, loaded).candidate
            would = f"it would get {candidate.path}" if candidate is not None else "it would not find it"
            purpose = ", ".join(word for word in (entry.feature, entry.priority) if word)
            opens = f"{called(loaded)} declares that it opens {library} itself while it runs"
            yield f"{opens} ({purpose}): {would}" if purpose else f"{opens}: {would}"
