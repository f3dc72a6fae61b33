"""The options that several commands take, each written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar

import click
import msgspec

from linkscope.analysis.request import Assumptions
from linkscope.cli.completion import files, folders
from linkscope.cli.names import not_empty

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_ASSUMPTIONS = (
    click.option(
        "--root",
        metavar="DIR",
        default="/",
        shell_complete=folders,
        help="Look at DIR as if it were /: a container's or another machine's files. Nothing outside it is read.",
    ),
    click.option(
        "--cwd",
        metavar="DIR",
        callback=not_empty,
        shell_complete=folders,
        help="The working directory to assume, for relative search paths.",
    ),
    click.option(
        "--secure",
        type=click.Choice(["auto", "yes", "no"]),
        default="auto",
        help="Whether to assume secure execution, as for setuid files. auto: what starting the file would give.",
    ),
    click.option(
        "--library-path",
        metavar="P1:P2",
        help="The LD_LIBRARY_PATH to assume; without it `inspect` and `why` take the caller's own, others none.",
    ),
    click.option("--preload", metavar="A:B", help="The LD_PRELOAD to assume; as --library-path."),
    click.option("--clean-env", is_flag=True, help="Assume that no variable of the environment is set."),
    click.option(
        "--cpu",
        metavar="LEVEL",
        help="The processor to assume, as glibc-hwcaps calls it (x86-64-v2), or baseline; this machine's by default.",
    ),
)


def assumptions(command: Callable[..., int]) -> Callable[..., int]:
    """Adds the options that say in which circumstances a start is predicted; COMMAND gets them as `assumptions`."""

    def gathering(**given: Any) -> int:
        circumstances = {name: given.pop(name) for name in Assumptions.__struct_fields__}
        return command(assumptions=Assumptions(**circumstances), **given)

    decorated = update_wrapper(gathering, command)
    for option in reversed(_ASSUMPTIONS):
        decorated = option(decorated)
    return decorated


def as_given(assumptions: Assumptions) -> tuple[str, ...]:
    """The options that lead to ASSUMPTIONS, as words of a command line; those that say what holds anyway are left out.

    Source of the names: each field of Assumptions is an option of `_ASSUMPTIONS`.
    """
    words: list[str] = []
    for field in msgspec.structs.fields(assumptions):
        value = getattr(assumptions, field.name)
        if value != field.default:
            words += [f"--{field.name.replace('_', '-')}", *(() if value is True else (value,))]
    return tuple(words)


def formats(*names: str) -> Callable[[Decorated], Decorated]:
    """Adds --format with NAMES, the first of them the default; the command gets it as `form`."""
    choice = click.Choice(names)
    return click.option("--format", "form", type=choice, default=names[0], show_default=True, help="How to answer.")


def names_from(command: Decorated) -> Decorated:
    """Adds --files-from and --null; the command gets them as `files_from` (None: not given) and `null`."""
    listed = click.option(
        "--files-from",
        metavar="LIST",
        callback=not_empty,
        shell_complete=files,
        help="Read more names from the file LIST (-: standard input), one on each line.",
    )
    null = click.option(
        "--null", "-0", is_flag=True, help="A NUL byte instead of a newline ends each name, read or printed."
    )
    return listed(null(command))
