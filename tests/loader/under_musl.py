"""Programs of a glibc system given to musl's loader, which lists their files as well.

It answers for their C library itself, and only binding their symbols, which comes after the list, would fail.
"""

import os
from collections.abc import Iterator

import msgspec

from linkscope.loader.environment import Environment
from linkscope.loader.linkmap import LinkMap, Loaded
from linkscope.loader.musl_ldso import musl_facts
from linkscope.loader.musl_start import start_with_musl
from linkscope.loader.program import Program
from linkscope.loader.root import Root
from linkscope.loader.system import System
from tests.oracle import files, roots, trace
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.trace import Question

_TRIPLETS = {62: "x86_64-linux-gnu", 183: "aarch64-linux-gnu"}

# The files that are found, in order, and the names that are not.
Listed = tuple[list[str], list[str]]


def found_and_missing(link_map: LinkMap) -> Listed:
    """What LinkScope predicts, in the form of musl's list."""
    objects = link_map.objects[1:]
    return [o.path for o in objects if o.path is not None], [o.requested for o in objects if o.path is None]


def listed(path: str, question: Question) -> Listed:
    """The files that --list names, each once, behind the line in which it names itself; and the missing names."""
    entries = trace.musl_list(path, question).entries
    assert entries, path
    found = dict.fromkeys(entry.path for entry in entries[1:] if entry.path is not None)
    return list(found), [entry.name for entry in entries if entry.path is None]


def programs_of_the_machine(library_path: str | None) -> Iterator[tuple[str, Listed, Listed]]:
    """Each program in /usr/bin with what is predicted for it and what the loader lists, with this LD_LIBRARY_PATH."""
    env = {} if library_path is None else {"LD_LIBRARY_PATH": library_path}
    question = Question(loader=MUSL_X86_64, cwd="/", env=env)
    programs = [path for path, facts in files.dynamic_files("/", ["/usr/bin"]) if facts.machine == 62]
    return _compared(programs, System(Root("/")), question)


def programs_of_a_root(release: str) -> Iterator[tuple[str, Listed, Listed]]:
    """The same in a root (a key of `roots.RELEASES`), by its own musl; LD_LIBRARY_PATH finds nearly all."""
    root, asked = roots.root(release), roots.question(release)
    below = list(files.dynamic_files(root, ["/usr/bin"]))
    triplet = _TRIPLETS[below[0][1].machine]
    loader, env = f"/lib/ld-musl-{triplet.partition('-')[0]}.so.1", {"LD_LIBRARY_PATH": f"/usr/lib/{triplet}"}
    question = msgspec.structs.replace(asked, loader=loader, cwd="/", env=env)
    return _compared([path for path, _ in below], System(Root(os.fspath(root))), question)


def _compared(programs: list[str], system: System, question: Question) -> Iterator[tuple[str, Listed, Listed]]:
    environment = Environment(cwd="/", library_path=question.env.get("LD_LIBRARY_PATH"))
    assert question.loader is not None
    for path in programs:
        yield path, _predicted(path, system, question.loader, environment), listed(path, question)


def _predicted(path: str, system: System, loader: str, environment: Environment) -> Listed:
    """What musl's loader, standing where the program's own one should, would map for a program of another C library."""
    place = system.candidate(path, "/")
    assert place.image is not None
    ldso = system.candidate(loader, "/")
    facts = musl_facts(system, ldso)
    assert facts is not None
    program = Program(place.image, path, path, place.location)
    link_map = LinkMap(Loaded(path, path, place.image, "main"))
    named = msgspec.structs.replace(ldso, path=place.image.interpreter or loader)
    return found_and_missing(start_with_musl(system, program, environment, link_map, named, facts, False).link_map)
