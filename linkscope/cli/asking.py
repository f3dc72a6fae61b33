"""The options of `check` that ask for something, for the cases that need no policy file: each a setting of rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, cast, get_args

import click
import msgspec

from linkscope.cli import completion
from linkscope.policy.catalogue import rules, settings_type
from linkscope.policy.terms import Group, RuleLevel
from linkscope.policy.values import near, objections

_TYPES = {field.name: field.type for field in msgspec.structs.fields(settings_type())}
_LEVELS = get_args(RuleLevel)
_LINKAGES = [kind for kind in get_args(_TYPES["linkage"]) if kind]

_OPTIONS = (
    click.option("--static", is_flag=True, help="The same as --linkage static: no loader is needed."),
    click.option("--linkage", type=click.Choice(_LINKAGES), help="How each file has to be linked."),
    click.option("--glibc", metavar="VERSION", help="The oldest glibc that has to do: --floor GLIBC=VERSION."),
    click.option(
        "--floor",
        "floors",
        metavar="FAMILY=VERSION",
        multiple=True,
        help="The highest symbol version of a family that may be needed (GLIBCXX=3.4.25); several times.",
    ),
    click.option(
        "--target",
        metavar="SYSTEM",
        multiple=True,
        shell_complete=completion.targets,
        help="A system on which each file has to start (debian:11, manylinux_2_28); several times.",
    ),
    click.option("--allow", metavar="A,B", multiple=True, help="The libraries that may be needed (globs); no others."),
    click.option("--forbid", metavar="A,B", multiple=True, help="Libraries that may be neither needed nor inside."),
    click.option(
        "--no-build-paths",
        is_flag=True,
        help="No search path, needed name or interpreter may lead into a build or home folder.",
    ),
    click.option(
        "--rule",
        "levels",
        metavar="RULE=LEVEL",
        multiple=True,
        shell_complete=completion.rule_and_level(*_LEVELS),
        help=f"The level of a rule: {', '.join(_LEVELS)}; several times. `linkscope explain` lists the rules.",
    ),
)


def asking(command: Callable[..., int]) -> Callable[..., int]:
    """Adds the options that ask for something; COMMAND gets them as `asked`, a group of all paths, or None."""

    def gathering(
        *,
        static: bool,
        linkage: str | None,
        glibc: str | None,
        floors: tuple[str, ...],
        target: tuple[str, ...],
        allow: tuple[str, ...],
        forbid: tuple[str, ...],
        no_build_paths: bool,
        levels: tuple[str, ...],
        **given: Any,
    ) -> int:
        if static and linkage not in (None, "static"):
            raise click.UsageError(f"--static and --linkage {linkage} contradict each other.")
        values = {
            "linkage": "static" if static else linkage,
            "floors": _floors(glibc, floors),
            "target": list(target),
            "allow": _listed(allow),
            "forbid": _listed(forbid),
            "build_paths": False if no_build_paths else None,
        }
        settings = {key: _checked(key, value) for key, value in values.items() if value not in (None, [], {})}
        group = Group(paths=("**",), settings=settings, levels=dict(map(_level, levels)))
        return command(asked=group if settings or group.levels else None, **given)

    decorated = update_wrapper(gathering, command)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def _checked(key: str, value: object) -> object:
    if key not in _TYPES:
        raise click.UsageError(f"no rule obeys {key}.")
    wanted = _TYPES[key]
    wrong = next(objections(key, value, wanted), None)
    if wrong is not None:
        raise click.UsageError(f"{_OPTION_OF.get(key, f'--{key}')}: {wrong[1]}")
    return msgspec.convert(value, wanted)


_OPTION_OF = {"floors": "--glibc or --floor"}


def _floors(glibc: str | None, floors: tuple[str, ...]) -> dict[str, str]:
    pairs = [_pair("--floor", given, "FAMILY=VERSION, as in GLIBCXX=3.4.25") for given in floors]
    found = dict([*([("GLIBC", glibc)] if glibc is not None else []), *pairs])
    if len(found) < len(pairs) + (glibc is not None):
        raise click.UsageError("--glibc and --floor: one family is named twice.")
    return found


def _listed(given: tuple[str, ...]) -> list[str]:
    """The names in options such as `--allow a,b --allow c`; an empty one stays, and is complained of."""
    return [name.strip() for names in given for name in names.split(",")]


def _level(given: str) -> tuple[str, RuleLevel]:
    name, level = _pair("--rule", given, "RULE=LEVEL, as in no-relro=error")
    if name not in rules():
        guess = near(name, rules()) or "; `linkscope explain` lists them"
        raise click.UsageError(f"--rule: there is no rule {name}{guess}")
    if level not in _LEVELS:
        raise click.UsageError(
            f"--rule: {level} is no level; the levels are {', '.join(_LEVELS)}{near(level, _LEVELS)}"
        )
    return name, cast("RuleLevel", level)


def _pair(option: str, given: str, wanted: str) -> tuple[str, str]:
    name, found, value = given.partition("=")
    if not found or not name or not value:
        raise click.UsageError(f"{option}: {given} is not {wanted}.")
    return name, value
