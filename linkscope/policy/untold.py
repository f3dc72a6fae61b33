"""What rules on how a file was made have in common: which files they are about, and what a file cannot show."""

from __future__ import annotations

from linkscope.model.inspect import File, Kind
from linkscope.policy.rule import Fault

_MAPPED: frozenset[Kind] = frozenset(("executable", "shared-library", "interpreter"))


def is_mapped(file: File) -> bool:
    """Whether kernel or loader map the file, so that it can be protected: no object file, module, core, debug file."""
    return file.kind in _MAPPED


def without_c(file: File) -> bool:
    """Whether nothing in the file was made by a C compiler: Go without cgo."""
    language = file.toolchain.language if file.toolchain else None
    return language == "Go" and file.libc.family == "none"


def language_without_canaries(file: File) -> str | None:
    """The language of the file where its compiler protects no function itself, and leaves that to the language.

    rustc has `-Z stack-protector` on its unstable channel alone; Go grows its stacks itself.
    """
    language = file.toolchain.language if file.toolchain else None
    return language if language in ("Go", "Rust") else None


def packer_of(file: File) -> str | None:
    """What packed the file, so that all that is seen is a stub; None where it is not packed."""
    return next((problem.subject for problem in file.problems if problem.code == "packed"), None)


def untold(what: str, because: str, evidence: tuple[str, ...] = ()) -> Fault:
    """That something cannot be told: a note, whatever the level of the rule."""
    return Fault("", f"{what} cannot be told: {because}", evidence, level="note")


def untold_of_packed(what: str, packer: str) -> Fault:
    """The same of a packed file."""
    return untold(what, f"the file is packed by {packer}, and only the stub that unpacks it is seen")
