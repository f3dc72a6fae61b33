"""What the help of every command has in common: how it is asked for, and the examples at its end."""

from __future__ import annotations

from typing import Any

import click

from linkscope.cli.output import Output


class Command(click.Command):
    """A command whose help option is made without gettext: translating one sentence costs a millisecond of locale."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._asking = click.Option(
            ["-h", "--help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show this help and exit.",
            callback=_show,
        )

    def get_help_option(self, ctx: click.Context) -> click.Option | None:  # noqa: ARG002 (click's signature)
        """The same option for every look at it, since click compares options by identity."""
        return self._asking


def _show(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        Output().finish(f"{context.get_help()}\n")
        context.exit()


def examples(*lines: str, note: str = "") -> str:
    """The end of a help text: LINES as they would be typed, and a NOTE after them."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    # A paragraph that begins with \b is not filled anew by click.
    shown = "\n".join(["\b", title, *(f"  {line}" for line in lines)])
    return f"{shown}\n\n{note}" if note else shown
