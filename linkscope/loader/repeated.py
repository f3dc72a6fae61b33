"""Starts that were made before in the same run: programs that ask for the same in the same circumstances share one.

Most of a system's programs ask for libc.so.6 alone, and most of its processes differ in their working directory alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.loader.environment import Environment
from linkscope.loader.linkmap import Loaded, Rules
from linkscope.loader.program import Program, Start
from linkscope.loader.system import System

_ORIGIN = ("$ORIGIN", "${ORIGIN}")  # whose value is absolute


class Repeated:
    """The starts that were made in one root, and how to find one of them again.

    privileges: whether it is a start in secure execution, and whether the file makes it one for others.
    """

    def __init__(
        self, system: System, program: Program, environment: Environment, privileges: tuple[bool, bool]
    ) -> None:
        self._starts = system.memory.setdefault("starts", {})
        self._program = program
        self._environment = environment
        self._key = _same_start(program.image, environment, privileges)

    def known(self) -> Start | None:
        """The start of this program, where one that differs in nothing but the program's name was made before."""
        if self._key is None:
            return None
        cwd = self._environment.cwd
        made = self._starts.get(self._key) or self._starts.get((self._key, cwd))
        if not isinstance(made, Start):
            return None
        main = Loaded(self._program.shown, self._program.shown, self._program.image, "main")
        main.names = made.link_map.main.names
        rules = None if made.rules is None else _twin(made.rules)
        if rules is not None:
            rules.main, rules.cwd = main, cwd
            main.origin = rules.origin_of(self._program.path)
        return msgspec.structs.replace(made, link_map=made.link_map.copy_for(main), rules=rules)

    def remember(self, made: Start) -> None:
        """Keep a start that has just been made, unless it has problems: they may name the program."""
        if self._key is None or made.rules is None or made.link_map.problems:
            return
        free = all(text.startswith("/") for text in _places(made, self._environment))
        self._starts[self._key if free else (self._key, self._environment.cwd)] = made


def _twin(rules: Rules) -> Rules:
    """A copy of RULES that shares what they have learnt. The module copy would cost each start a millisecond."""
    twin = type(rules).__new__(type(rules))
    twin.__dict__.update(rules.__dict__)
    return twin


def _same_start(image: Image, environment: Environment, privileges: tuple[bool, bool]) -> object | None:
    """Equal for programs whose start differs in nothing but their own name; None where $ORIGIN or the like matters.

    The working directory is left out: only the start itself shows whether it counts.
    """
    if environment.explicit is not None:
        return None
    if image.interpreter is None or image.rpath is not None or image.runpath is not None or image.audit:
        return None
    names = [*[name for _, name in image.dependencies], environment.library_path or "", environment.preload or ""]
    if image.depaudit or "$" in "".join(names):
        return None
    nodeflib = image.dt_flags_1 & c.DF_1_NODEFLIB
    kind = (id(image.layout), image.machine, image.type, image.flags, image.interpreter, image.soname, nodeflib)
    anywhere = msgspec.structs.replace(environment, cwd="")
    return (kind, image.x86_isa_needed, image.dependencies, anywhere, privileges)


def _places(made: Start, environment: Environment) -> Iterator[str]:
    """All that a start may have opened without a search, or searched in: what is relative depends on where it is made.

    $ORIGIN stands for an absolute path. An empty element is the working directory.
    """
    for value in (environment.preload, environment.audit):
        yield from (name for name in (value or "").replace(":", " ").split() if "/" in name)
    yield from _elements(environment.library_path)
    for loaded in made.link_map.objects:
        image = loaded.image
        if image is not None:
            yield from (name for _, name in image.dependencies if "/" in name and not name.startswith(_ORIGIN))
            yield from _elements(image.rpath)
            yield from _elements(image.runpath)
            yield image.interpreter or "/"


def _elements(text: str | None) -> Iterator[str]:
    for element in (text or "/").replace(";", ":").replace("\n", ":").split(":"):
        if not element.startswith(_ORIGIN):
            yield element
