"""What LinkScope says of the symbols and versions of one file, beside what the real loader answers about them."""

import os

import msgspec

from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.loader.binding import Binding, bind
from linkscope.loader.environment import Environment
from linkscope.loader.program import Program
from linkscope.loader.root import Root
from linkscope.loader.start import start
from linkscope.loader.system import System
from linkscope.loader.versioncheck import check_versions
from linkscope.model.document import text
from linkscope.model.inspect import Problem
from tests.oracle.answers import Trace

# What glibc says when it meets what it holds to be impossible (elf/dl-version.c, dl-lookup.c).
_ASSERTION = "Assertion"


class Bound(msgspec.Struct, frozen=True):
    """The versions and the symbols of one start, in the loader's order."""

    versions: list[Problem]
    binding: Binding

    @property
    def fatal(self) -> bool:
        """Whether the program would not start."""
        return any(problem.fatal for problem in self.versions + self.binding.problems)

    @property
    def assertions(self) -> list[Problem]:
        """Where glibc ends with a failed assertion, at the start or later."""
        return [problem for problem in self.versions if "assertion" in problem.message]


def bound(path: str | os.PathLike[str], system: System | None = None, loader: str | None = None) -> Bound:
    """The prediction for a file, by its path as seen from inside the root of SYSTEM (default: the machine's own).

    loader: another one than the file asks for. SYSTEM, used again, remembers what it has read.
    """
    system = system or System(Root("/"))
    name = os.fspath(path)
    location = system.root.locate(name)
    with open_reader(location, name) as reader:
        image = read_image(reader)
    if loader is not None:
        image = msgspec.structs.replace(image, interpreter=loader)
    program = Program(image, name, name, location)
    started = start(system, program, Environment(cwd="/"))
    return Bound(check_versions(system, started, program), bind(system, started, program))


def disagreement(predicted: Bound, relocated: Trace, unused: Trace) -> str | None:
    """What differs from the answers of `ldd -r` and `ldd -u` (LD_BIND_NOW is set for both); None where nothing does.

    Where a library is missing, trace mode does not know the versions that were to come from it, and calls it unused.
    """
    complaints = _complaints(predicted)
    answered = [
        (text(one.version or one.file), text(one.required_by), one.weak) for one in dict.fromkeys(relocated.versions)
    ]
    ended = relocated.fatal is not None and _ASSERTION in relocated.fatal
    if ended != bool(predicted.assertions):
        return f"assertions: predicted {[one.message for one in predicted.assertions]}, answered {relocated.fatal}"
    if complaints != answered:
        return f"versions: predicted {complaints}, answered {answered}"
    if ended:
        return None
    symbols = {(one.symbol, one.version, one.needed_by) for one in predicted.binding.unresolved}
    undefined = {
        (text(one.name), one.version and text(one.version), text(one.required_by)) for one in relocated.undefined
    }
    if relocated.missing:
        symbols = {(name, None if (name, None, by) in undefined else version, by) for name, version, by in symbols}
    if symbols != undefined:
        return f"symbols: only predicted {symbols - undefined}, only answered {undefined - symbols}"
    idle = [text(path) for path in unused.unused if path not in relocated.missing]
    if predicted.binding.unused != idle:
        return f"unused: predicted {predicted.binding.unused}, answered {idle}"
    return None


def _complaints(predicted: Bound) -> list[tuple[str, str | None, bool]]:
    """The version problems that the loader puts into words; those that it has a failed assertion for are none."""
    silent = [one for one in predicted.assertions if one.code == "missing-version"]
    before = predicted.versions[: predicted.versions.index(silent[0])] if silent else predicted.versions
    return [(one.subject, one.needed_by, one.code == "weak-version") for one in before]
