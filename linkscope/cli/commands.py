"""The commands by name. A command's module is imported when it is called, so that none pays for another's imports."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

import click
import msgspec

from linkscope import __version__
from linkscope.cli.help import Command, examples
from linkscope.cli.output import Output
from linkscope.report.escape import escape

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Entry(msgspec.Struct, frozen=True):
    """A command: the module that holds it (as `command`), its help in one line, and the type of its document."""

    module: str
    summary: str
    document: str | None = None


COMMANDS = {
    "inspect": Entry(
        "linkscope.cli.inspect",
        "What a program is, and which files its loader would map.",
        "linkscope.model.inspect:InspectDocument",
    ),
    "why": Entry(
        "linkscope.cli.why",
        "Who asks for a library, and where the loader looks for it.",
        "linkscope.model.why:WhyDocument",
    ),
    "pid": Entry(
        "linkscope.cli.pid",
        "What processes have mapped, and what of it is out of date.",
        "linkscope.model.pid:PidDocument",
    ),
    "ps": Entry(
        "linkscope.cli.ps",
        "All processes, and which of them must be restarted.",
        "linkscope.model.pid:PidDocument",
    ),
    "who": Entry(
        "linkscope.cli.who",
        "What holds a library, as a shared one or inside: files and processes.",
        "linkscope.model.who:WhoDocument",
    ),
    "check": Entry(
        "linkscope.cli.check",
        "Whether files are as a release has to be.",
        "linkscope.model.check:CheckDocument",
    ),
    "explain": Entry(
        "linkscope.cli.explain",
        "What a rule of check finds, why it matters, and what mends it.",
        "linkscope.model.explain:ExplainDocument",
    ),
    "policy": Entry("linkscope.cli.policy", "A policy's file for check: make one of files as they are, or check it."),
    "diff": Entry(
        "linkscope.cli.diff",
        "What changed from one release to the next.",
        "linkscope.model.diff:DiffDocument",
    ),
    "targets": Entry(
        "linkscope.cli.targets",
        "The systems that are known, and the oldest of each on which a file starts.",
        "linkscope.model.targets:TargetsDocument",
    ),
    "compare": Entry(
        "linkscope.cli.compare",
        "One program linked in several ways: what is better, by how much, from the files and by running them.",
        "linkscope.model.compare:CompareDocument",
    ),
    "sigs": Entry(
        "linkscope.cli.sigs",
        "The static libraries that are recognised inside files by their code: learn, list and exchange them.",
        "linkscope.model.sigs:SigsDocument",
    ),
    "schema": Entry("linkscope.cli.schema", "The JSON Schema of a command's output."),
    "completion": Entry("linkscope.cli.completion_script", "The script that makes a shell complete command lines."),
    "man": Entry("linkscope.cli.manpage", "The manual page of all commands."),
}

_HELP = (
    "How Linux programs are linked, and exactly which files their loader would map, without running them; "
    "and what running processes have mapped."
)
_COLOUR = "Colour is used on a terminal only, and never when NO_COLOR is set; FORCE_COLOR asks for it elsewhere."


class Commands(Command, click.Group):
    """`linkscope` itself: lists the commands from their table, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (as above)
        """The command called CMD_NAME; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name].module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a file in the place of the command's name is answered with what was probably meant."""
        if args[0] not in COMMANDS and os.path.exists(args[0]):
            name = escape(args[0])
            ctx.fail(f"{name} is a file, not a command. Did you mean `linkscope inspect {name}`?")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The commands and options that begin with INCOMPLETE; click would import every command for its help."""
        from linkscope.cli.completion import offered

        known = offered(((name, entry.summary) for name, entry in COMMANDS.items()), incomplete)
        return [*known, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (as above)
        """The table of the commands, made without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


def _show_version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        Output().finish(f"linkscope {__version__}\n")
        context.exit()


commands = Commands(
    name="linkscope",
    help=_HELP,
    epilog=examples("linkscope inspect /usr/bin/gdb", "sudo linkscope ps --stale", note=_COLOUR),
    context_settings={"max_content_width": 100},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show the version and exit.",
            callback=_show_version,
        )
    ],
)
