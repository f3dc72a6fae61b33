"""The start of a program by musl's loader: from the program and its interpreter to the walk and back.

Source: musl ldso/dynlink.c, __dls3, load_preload, load_deps.
"""

from __future__ import annotations

from linkscope.elf import constants as c
from linkscope.elf.machines import machine_name
from linkscope.loader import preload, problems
from linkscope.loader.environment import Environment, has_file_privileges
from linkscope.loader.linkmap import Finding, LinkMap, Loaded, take_in, walk
from linkscope.loader.musl import Musl, origin_of
from linkscope.loader.musl_ldso import MuslFacts
from linkscope.loader.program import Program, Start
from linkscope.loader.safety import unsafe_search_paths
from linkscope.loader.system import Candidate, System
from linkscope.model.inspect import Problem

# What the loader does with an object before the program runs: relocations, all of them at once, and constructors.
_DONE_AT_START = (c.DT_REL, c.DT_RELA, c.DT_JMPREL, c.DT_INIT, c.DT_INIT_ARRAY)


def start_with_musl(
    system: System,
    program: Program,
    environment: Environment,
    link_map: LinkMap,
    loader: Candidate,
    facts: MuslFacts,
    secure: bool,
) -> Start:
    """The start of PROGRAM by a musl loader, found by the path that PT_INTERP names, or started explicitly."""
    interpreter, main = loader.path, link_map.main
    main.origin = _origin(system, program, environment)
    called = interpreter if environment.explicit is None else environment.explicit.name
    ldso = Loaded(called, interpreter, loader.image, "interpreter", finding=Finding(loader, "interpreter"))
    link_map.give_name(ldso, called)
    library_path = environment.searched_first(secure)
    rules = Musl(
        system, facts, program.image, main, ldso, cwd=environment.cwd, secure=secure, library_path=library_path
    )
    rules.admit(main, link_map)
    preloads = _preload(rules, link_map, environment)
    walk(link_map, preloads, rules)
    _put_in_order_of_asking(link_map, preloads)
    link_map.problems += _for_other_machines(link_map, program.image.machine)
    privileged = secure or has_file_privileges(program.image, program.location)
    link_map.problems += unsafe_search_paths(link_map, rules, privileged)
    return Start(link_map, rules, interpreter, secure, privileged)


def _origin(system: System, program: Program, environment: Environment) -> str | None:
    """The program's $ORIGIN: the folder of the file that /proc/self/exe leads to; None where its name is too long.

    What is started through the loader, as every library is, gets the folder of the path that was given.
    """
    explicit, cwd = environment.explicit, environment.cwd
    if explicit is not None:
        folder, slash, _ = explicit.program.rpartition("/")
        return folder if slash else "."
    if program.image.interpreter is not None:
        return origin_of(system, program.path, cwd)
    given = program.shown if f"{cwd.rstrip('/')}/{program.shown}" == program.path else program.path
    folder, slash, _ = given.rpartition("/")
    return folder if slash else "."


def _preload(rules: Musl, link_map: LinkMap, environment: Environment) -> list[Loaded]:
    """Map what is to be preloaded, in order. No object asks for it, so that no RPATH counts, not even the program's."""
    loaded: list[Loaded] = []
    for name, source in preload.asked_for_by_musl(environment, rules.secure):
        one = rules.loaded_as(name, link_map) or _preload_one(name, source, rules, link_map)
        if one is not None and one not in loaded:
            loaded.append(one)
    return loaded


def _preload_one(name: str, source: str, rules: Musl, link_map: LinkMap) -> Loaded | None:
    finding = rules.search(name, None)
    candidate = finding.candidate
    if candidate is None:
        link_map.problems.append(problems.bad_preload(name, source, finding))
        return None
    one = Loaded(name, candidate.path, candidate.image, "preload", finding=finding)
    return take_in(one, candidate, link_map, rules)


def _for_other_machines(link_map: LinkMap, machine: int) -> list[Problem]:
    """A problem for each object of another machine, which is mapped and relocated all the same.

    The start fails at relocations that mean nothing here, or in a constructor; a file without either is only in wait.
    """
    return [
        problems.taken_as_is(
            loaded.path or loaded.requested,
            loaded.requested,
            loaded.needed_by[0].path if loaded.needed_by else None,
            machine_name(loaded.image.machine),
            any(loaded.image.value(tag) is not None for tag in _DONE_AT_START),
        )
        for loaded in link_map.mapped()
        if loaded.image is not None and loaded.image.machine != machine
    ]


def _put_in_order_of_asking(link_map: LinkMap, preloads: list[Loaded]) -> None:
    """Give the loader the place in which it was first asked for; where nothing asks for it, it is in no list."""
    asked_for = (found for entries in link_map.dependencies.values() for _, _, found in entries)
    link_map.objects[:] = dict.fromkeys((link_map.main, *preloads, *asked_for))
