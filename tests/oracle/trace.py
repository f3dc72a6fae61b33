"""Asking the loaders themselves what they map for a file, without starting it: trace mode, and musl's --list.

glibc answers to LD_TRACE_LOADED_OBJECTS=1 (man ld.so) instead of passing control to the program. A file without a
glibc PT_INTERP would simply be *run* with it, so such a file is only ever given to a loader as its argument.
"""

import os
from collections.abc import Mapping, Sequence

import msgspec

from tests.oracle import files, runner
from tests.oracle.answers import Trace, parse
from tests.oracle.availability import Unavailable
from tests.oracle.runner import Request

_TRACE = {"LD_TRACE_LOADED_OBJECTS": "1"}
_RELOCATE = {"LD_WARN": "yes", "LD_BIND_NOW": "yes"}


class NotTraceable(ValueError):
    """The file is not one that can be asked about without running it."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """How to ask about files: everything that decides the answer, save the file.

    loader: the loader to hand the file to, as seen inside the root; None asks an executable directly, as a start does,
    and a library through its machine's loader. qemu: the emulator, as seen inside the root. env: all that the loader
    sees of an environment. timeout: seconds.
    """

    loader: str | None = None
    root: str | None = None
    qemu: str | None = None
    env: Mapping[str, str] = {}
    cwd: str | None = None
    user: int | None = None
    timeout: float = 20.0


_PLAIN = Question()
_MUSL = Question(loader="/lib/ld-musl-x86_64.so.1")


def trace(file: str | os.PathLike[str], question: Question = _PLAIN) -> Trace:
    """What glibc's loader would map for a file: `ldd`, but as a real start where the file is an executable.

    Raises NotTraceable for a file that is no dynamic ELF file or has another loader, Unavailable without a loader.
    """
    return trace_all([file], question)[0]


def trace_all(paths: Sequence[str | os.PathLike[str]], question: Question = _PLAIN) -> list[Trace]:
    """`trace` of many files, in their order, two at a time."""
    return _ask(paths, question, _TRACE)


def relocations(paths: Sequence[str | os.PathLike[str]], question: Question = _PLAIN) -> list[Trace]:
    """`ldd -r` of many files: traces with what no object in scope defines. IFUNC resolvers of the files are run."""
    return _ask(paths, question, _TRACE | _RELOCATE)


def unused(paths: Sequence[str | os.PathLike[str]], question: Question = _PLAIN) -> list[Trace]:
    """`ldd -u` of many files: traces that hold only `unused`, the direct dependencies that provide nothing."""
    return _ask(paths, question, _TRACE | {"LD_DEBUG": "unused"})


def musl_list(file: str | os.PathLike[str], question: Question = _MUSL) -> Trace:
    """What musl's loader would map for a file, by its --list; what it does not find stands under entries too, last."""
    assert question.loader is not None
    if not os.path.exists(files.below(question.root, question.loader)):
        raise Unavailable(f"musl's loader {question.loader} is not here")
    request = command((question.loader, "--list", os.fspath(file)), question, question.env)
    return parse(runner.run(request), os.fspath(file))


def refusal(path: str | os.PathLike[str], question: Question = _PLAIN) -> NotTraceable | Unavailable | None:
    """What `trace` of this file would raise; None where it can be asked about."""
    try:
        argv(os.fspath(path), question)
    except (NotTraceable, Unavailable) as error:
        return error
    return None


def _ask(paths: Sequence[str | os.PathLike[str]], question: Question, variables: Mapping[str, str]) -> list[Trace]:
    """The answers about many files, with variables that choose the kind of answer."""
    if question.qemu is not None and not os.path.exists(files.below(question.root, question.qemu)):
        raise Unavailable(f"the emulator {question.qemu} is not here")
    names = [name if "/" in name else f"./{name}" for name in (os.fspath(path) for path in paths)]
    requests = [command(argv(name, question), question, {**question.env, **variables}) for name in names]
    return [parse(outcome, name) for name, outcome in zip(names, runner.run_all(requests), strict=True)]


def command(argv: tuple[str, ...], question: Question, env: Mapping[str, str]) -> Request:
    """The request to run a command as a question says; an emulator hands the environment on, and has none itself."""
    if question.qemu is not None:
        settings = [part for name, value in env.items() for part in ("-E", f"{name}={value}")]
        argv, env = (question.qemu, *settings, *argv), {}
    return Request(
        argv=argv,
        env=env,
        cwd=question.cwd,
        root=question.root,
        user=question.user,
        timeout=question.timeout,
    )


def argv(path: str, question: Question) -> tuple[str, ...]:
    """The command that asks about one file, once it is sure that the file itself will not run."""
    real = real_path(path, question)
    found = files.facts(real)
    if found is None or not found.dynamic:
        raise NotTraceable(f"{path} is no dynamic ELF file")
    startable = os.access(real, os.X_OK) and not files.gains_privileges(real)
    if question.loader is None and found.interp is not None and startable:
        _checked(found.interp, question)
        return (path,)
    loader = question.loader or found.interp or files.GLIBC_LOADERS.get((found.elf_class, found.machine))
    return _checked(loader, question), path


def real_path(path: str, question: Question) -> str:
    """Where a file that the question is about lies on this machine."""
    start = question.cwd or ("/" if question.root else os.getcwd())
    return files.below(question.root, os.path.join(start, path))


def _checked(loader: str | None, question: Question) -> str:
    """The loader, once it is known to be glibc's and there."""
    if loader is None:
        raise NotTraceable("no glibc loader is known for the machine of this file")
    real = real_path(loader, question)
    if not os.path.exists(real):
        raise Unavailable(f"the loader {loader} is not here")
    if not files.is_glibc_loader(real):
        raise NotTraceable(f"{loader} is no glibc loader, and would run the program")
    return loader
