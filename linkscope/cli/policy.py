"""`linkscope policy`: makes a policy's file out of files as they are now, and says whether one is right."""

from __future__ import annotations

import os

import click
import msgspec

from linkscope.analysis.initial import observe_each
from linkscope.analysis.request import Assumptions
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.completion import files
from linkscope.cli.help import Command, examples
from linkscope.cli.names import not_empty
from linkscope.cli.options import assumptions
from linkscope.cli.output import Output, complain
from linkscope.cli.overwriting import refuse_losses
from linkscope.errors import FileUnreadable, LinkScopeError
from linkscope.model.document import AnalysisError
from linkscope.policy import config, initial
from linkscope.policy.baseline import folder_of, portable
from linkscope.report.escape import exact, quoted


class PolicyStands(LinkScopeError):
    """The file to write is there already, or cannot be written."""


class _Group(Command, click.Group):
    """Subcommands under one name."""


_EXAMPLES = examples("linkscope policy init dist/", "linkscope policy check")
_INIT_EXAMPLES = examples(
    "linkscope policy init dist/ && linkscope check dist/", "linkscope policy init --file - dist/app"
)
_CHECK_EXAMPLES = examples("linkscope policy check", "linkscope policy check ci/linkscope.toml")
_NAME = click.argument("file", required=False, default=config.NAME, shell_complete=files)


@click.group(cls=_Group, epilog=_EXAMPLES)
def command() -> None:
    """Make a policy's file for `linkscope check`, or check one.

    \b
    [[files]]                       # of all files, or of `paths = ["dist/*"]`
    linkage = "dynamic"
    floors = { GLIBC = "2.28" }
    target = ["debian:11"]
    allow = ["libc.so.6", "libm.so.6"]
    build-paths = false
    [files.rules]
    no-relro = "error"              # error, warning, note, off
    [[waivers]]
    rule = "missing-library"
    path = "dist/app"
    subject = "libcuda.so.1"        # may be left out
    reason = "the driver brings it"
    until = 2030-12-31              # may be left out

    Later sections refine earlier ones. `linkscope explain` tells of all rules and their settings.
    """


@command.command("init", cls=Command, short_help="Write a policy out of files as they are now.", epilog=_INIT_EXAMPLES)
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=files)
@click.option(
    "--file",
    "name",
    metavar="FILE",
    default=config.NAME,
    show_default=True,
    callback=not_empty,
    help="The file to write; -: standard output.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@assumptions
@interrupts.tidied_up()
def init(paths: tuple[str, ...], name: str, force: bool, assumptions: Assumptions) -> int:
    """Write a policy out of what each PATH (a file, a folder, a package) is now; without PATH an empty one.

    It asks for the linkage that each file has and for no more libraries than all that are linked alike, for symbol
    versions no higher than theirs, and makes an error of every rule that all of them obey. `linkscope check` then
    passes, until a file is built that is worse. Members of packages are named so that the next release's are meant too.

    Exit code: 0, or 2 if a file could not be analysed (the policy is about the others), or the policy is there already.
    """
    if name != "-" and not force and os.path.lexists(name):
        raise PolicyStands(name, "is there already; --force writes over it")
    refuse_losses([name], paths, assumptions.root)
    code = exit_codes.FINE
    found: list[initial.Observed] = []
    for result in observe_each(paths, assumptions):
        if isinstance(result, AnalysisError):
            complain(f"{quoted(exact(result.path, result.path_bytes))}: {result.error}")
            code = exit_codes.FAILED
        else:
            found.append(_seen_from(result, name))
    if paths and not found:
        complain("there is no file to make a policy of")
        return exit_codes.FAILED
    _write(name, initial.written(found) if paths else initial.empty())
    return code


def _seen_from(file: initial.Observed, name: str) -> initial.Observed:
    """FILE with its path as globs in the policy have it, which is the same in every checkout."""
    return msgspec.structs.replace(file, path=portable(file.path, folder_of(name)))


def _write(name: str, text: str) -> None:
    if name == "-":
        Output().finish(text)
        return
    try:
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise PolicyStands(name, FileUnreadable.from_os_error(name, error).reason) from error


@command.command("check", cls=Command, short_help="Say what is wrong with a policy's file.", epilog=_CHECK_EXAMPLES)
@_NAME
def check(file: str) -> int:
    """Say what is wrong with the policy FILE: each mistake with its line, and what may have been meant.

    Exit code: 0 if nothing is wrong with it, 2 otherwise.
    """
    try:
        policy = config.read(file)
    except config.PolicyInvalid as invalid:
        for line in invalid.lines:
            complain(line)
        return invalid.exit_code
    ended = [waiver for waiver in policy.waivers if waiver.until is not None and waiver.until < policy.today]
    for waiver in ended:
        complain(f"{file}:{waiver.line}: the waiver of {waiver.rule} for {waiver.path} ended on {waiver.until}")
    return exit_codes.FINE
