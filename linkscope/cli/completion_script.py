"""`linkscope completion`: the script with which a shell completes the command line of linkscope."""

from __future__ import annotations

import os

import click

from linkscope.cli import exit_codes
from linkscope.cli.help import Command, examples
from linkscope.cli.output import Output

SHELLS = ("bash", "zsh", "fish")
_FOLDER = os.path.join(os.path.dirname(__file__), "shells")
_EXAMPLES = examples(
    "source <(linkscope completion bash)",
    "linkscope completion zsh > ~/.zfunc/_linkscope",
    "linkscope completion fish > ~/.config/fish/completions/linkscope.fish",
)


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print the script that makes SHELL complete commands, options, values and names of files.

    For one session, source what is printed. For all of them, save it where the shell looks: for bash as
    ~/.local/share/bash-completion/completions/linkscope (if bash-completion is installed; else source it in ~/.bashrc),
    for zsh as _linkscope in a folder that $fpath names, for fish as ~/.config/fish/completions/linkscope.fish.

    An installed package has the three in its share folder, where a shell finds them by itself if the package lies in
    /usr, /usr/local or ~/.local.
    """
    Output().finish(script_for(shell))
    return exit_codes.FINE


def script_for(shell: str) -> str:
    """The script for SHELL, one of SHELLS."""
    with open(os.path.join(_FOLDER, f"linkscope.{shell}"), encoding="utf-8") as script:
        return script.read()
