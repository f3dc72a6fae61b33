"""The start of a program by glibc's loader: from the program and its interpreter to the walk and back.

Source: glibc elf/rtld.c, dl_main.
"""

from __future__ import annotations

import msgspec

from linkscope.elf import constants as c
from linkscope.loader import preload, problems
from linkscope.loader.environment import Environment, has_file_privileges, tunable
from linkscope.loader.glibc import Glibc, folder_of, origin_of
from linkscope.loader.isa import check_isa_levels
from linkscope.loader.ldso import LoaderFacts
from linkscope.loader.linkmap import Finding, LinkMap, Loaded, take_in, walk
from linkscope.loader.program import Program, Start
from linkscope.loader.safety import unsafe_search_paths
from linkscope.loader.system import Candidate, System

_VDSO_NAMES = {c.EM_386: "linux-gate.so.1", c.EM_PPC64: "linux-vdso64.so.1", c.EM_S390: "linux-vdso64.so.1"}
_USUAL_VDSO_NAME = "linux-vdso.so.1"


def start_with_glibc(
    system: System,
    program: Program,
    environment: Environment,
    link_map: LinkMap,
    facts: LoaderFacts,
    loader: Candidate,
    secure: bool,
) -> Start:
    """The rest of a start, from a LINK_MAP that holds the program alone; loader: glibc's, FACTS what it says."""
    interpreter = loader.path
    if not facts.before(2, 40) and tunable(environment.tunables, "glibc.rtld.enable_secure") == "1":
        secure = True
    main, explicit = link_map.main, environment.explicit
    main.origin = _origin(system, program, environment, facts.before(2, 42))
    cpu = system.cpu(program.image.machine, environment.cpu_level, environment.tunables)
    if explicit is not None:
        cpu = msgspec.structs.replace(cpu, hwcaps=explicit.hwcaps(cpu.hwcaps))
    rules = Glibc(
        system,
        facts,
        cpu,
        main,
        program.image,
        cwd=environment.cwd,
        secure=secure,
        environment=environment,
    )
    called = interpreter if explicit is None else explicit.name
    ldso = Loaded(called, interpreter, loader.image, "interpreter", finding=Finding(loader, "interpreter"))
    vdso = _VDSO_NAMES.get(program.image.machine, _USUAL_VDSO_NAME)
    link_map.give_name(Loaded(vdso, vdso, None, "vdso"), vdso)
    link_map.give_name(main, "")  # its l_name; the name by which it was given is not kept (2.31 to 2.41, observed)
    rules.admit(main, link_map)
    link_map.objects.append(ldso)
    if program.image.interpreter is not None:
        link_map.give_name(ldso, program.image.interpreter)  # rtld_setup_main_map
    rules.admit(ldso, link_map)
    _note_audits(rules, link_map, environment)
    preloads = _preload(system, rules, link_map, environment)
    walk(link_map, preloads, rules)
    _place_interpreter(link_map, ldso, always=not facts.before(2, 41))
    privileged = secure or has_file_privileges(program.image, program.location)
    link_map.problems += check_isa_levels(link_map, facts, cpu)
    link_map.problems += unsafe_search_paths(link_map, rules, privileged)
    return Start(link_map, rules, interpreter, secure, privileged)


def _origin(system: System, program: Program, environment: Environment, explicit_keeps_links: bool) -> str | None:
    """The program's $ORIGIN: of the file that /proc/self/exe leads to.

    What is started through the loader, as every library is, gets the folder of the path that was given, before 2.42
    (glibc bug 25263). A program given without a slash was found in the cache.
    """
    explicit = environment.explicit
    if explicit_keeps_links and explicit is not None and "/" in explicit.program:
        return folder_of(explicit.program, environment.cwd)
    if explicit_keeps_links and (explicit is not None or program.image.interpreter is None):
        return folder_of(program.path, environment.cwd)
    return origin_of(system, program.path, environment.cwd)


def _place_interpreter(link_map: LinkMap, ldso: Loaded, always: bool) -> None:
    """Where the loader lists itself: behind the object before it in the scope, at the end where nothing refers to it.

    always: also in that case, as from 2.41 on. Source: glibc elf/rtld.c, dl_main, behind the load of the dependencies.
    """
    link_map.objects.remove(ldso)
    referred = ldso in link_map.scope[1:]
    if referred or always:
        before = link_map.scope[link_map.scope.index(ldso, 1) - 1 if referred else -1]
        at = link_map.objects.index(before) + 1 if before in link_map.objects else 1
        link_map.objects.insert(at, ldso)


def _preload(system: System, rules: Glibc, link_map: LinkMap, environment: Environment) -> list[Loaded]:
    """Map what is to be preloaded, with the program as the object that asks; in order."""
    loaded: list[Loaded] = []
    for name, source in preload.asked_for(system, environment, rules.secure):
        one = _preload_one(name, source, rules, link_map)
        if one is not None and one not in loaded and one.role == "preload":
            loaded.append(one)
    return loaded


def _preload_one(name: str, source: str, rules: Glibc, link_map: LinkMap) -> Loaded | None:
    known = rules.loaded_as(name, link_map)
    if known is not None:
        return known
    finding = rules.search(name, link_map.main, suid_only=True)
    candidate = finding.candidate
    if candidate is None:
        link_map.problems.append(problems.bad_preload(name, source, finding))
        return None
    one = Loaded(name, candidate.path, candidate.image, "preload", link_map.main, finding)
    return take_in(one, candidate, link_map, rules)


def _note_audits(rules: Glibc, link_map: LinkMap, environment: Environment) -> None:
    """LD_AUDIT, --audit, DT_AUDIT and DT_DEPAUDIT: loaded first, each in a namespace of its own (rtld-audit(7))."""
    image = link_map.main.image
    sources = [("LD_AUDIT", None if rules.secure else environment.audit)]
    if environment.explicit is not None:
        sources += [("--audit", names) for names in environment.explicit.audit]
    if image is not None:
        sources += [("DT_AUDIT", image.audit), ("DT_DEPAUDIT", image.depaudit)]
    for source, names in sources:
        for name in (names or "").split(":"):
            if name:
                finding = rules.search(name, link_map.main)
                path = finding.candidate.path if finding.candidate else None
                link_map.problems.append(problems.audit(name, source, path))
