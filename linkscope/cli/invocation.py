"""One command line, from its arguments to the exit code: nothing that a user can do ends in a traceback."""

from __future__ import annotations

import os
from io import StringIO

import click

from linkscope.cli import exit_codes
from linkscope.cli.commands import commands
from linkscope.cli.output import complain, discard_output, tell
from linkscope.errors import LinkScopeError
from linkscope.report.escape import escape


def run(arguments: list[str]) -> int:
    """The exit code of the command line ARGUMENTS, whose output has been written when this returns."""
    try:
        return _invoke(arguments)
    except LinkScopeError as error:
        complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        discard_output()
        return exit_codes.READER_GONE


def _invoke(arguments: list[str]) -> int:
    if "_LINKSCOPE_COMPLETE" in os.environ:
        from linkscope.cli.completion_answer import answer

        return answer(commands, os.environ["_LINKSCOPE_COMPLETE"])
    try:
        with commands.make_context("linkscope", arguments) as context:
            code: int = commands.invoke(context)
            return code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as wrong:
        _explain(wrong)
        return exit_codes.FAILED


def _explain(wrong: click.ClickException) -> None:
    """Shows what is wrong with the command line. It may name files, so it is escaped like everything else.

    A tab is click's own: it sets the choices for an argument in from the left. Others it shows escaped already.
    """
    explanation = StringIO()
    wrong.show(explanation)
    lines = explanation.getvalue().rstrip("\n").expandtabs(4).split("\n")
    tell("".join([f"{escape(line)}\n" for line in lines]))
