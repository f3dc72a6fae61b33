"""What a shell is told that asks how a command line could go on: click's choice, asked for in our scripts' own way.

click's own scripts pass on words that the shell has broken up already, so that `--format=js`, `--target debian:1` and
the name of a file behind an = sign are not completed, in one shell or the other.
"""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, shell_complete, split_arg_string

from linkscope.cli.completion_script import script_for

VARIABLE = "_LINKSCOPE_COMPLETE"
_END = "\x1f"  # stands at the cursor while the line is split: what it is part of is the last word, were it empty


class _Answer(ShellComplete):
    """One candidate a line: its kind, a comma, the word, and where the shell shows it, a tab and the help.

    Kinds: plain; open (a word that goes on, so that no space follows); file and dir (the shell knows the names).
    Asked by: COMP_WORDS, the command line up to the cursor as it was typed.
    """

    def source(self) -> str:
        return script_for(self.name)

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one."""
        *words, last = split_arg_string(os.environ.get("COMP_WORDS", "") + _END)
        self.word = last.removesuffix(_END)
        self.option = ""
        args = words[1:]
        name, equals, value = self.word.partition("=")
        if equals and name.startswith("--") and "--" not in args:
            self.option = name + equals
            return [*args, name], value
        return args, self.word

    def format_completion(self, item: CompletionItem[str]) -> str:
        if item.type in ("file", "dir"):
            return f"{item.type},{self.word.removesuffix(item.value)}"
        help_ = " ".join((item.help or "").split())
        return f"{item.type},{self.option}{item.value}\t{help_}"


class _Zsh(_Answer):
    name = "zsh"


class _Fish(_Answer):
    name = "fish"


class _Bash(_Answer):
    """Bash shows no help. COMP_TAIL: how much of the word it replaces; it breaks words at = and :."""

    name = "bash"

    def format_completion(self, item: CompletionItem[str]) -> str:
        if item.type in ("file", "dir"):
            return f"{item.type},{item.value}"
        tail = "".join(split_arg_string(os.environ.get("COMP_TAIL", self.word)))
        kept = len(self.word) - len(tail) if self.word.endswith(tail) else 0
        return f"{item.type},{(self.option + item.value)[kept:]}"


def answer(commands: click.Command, instruction: str) -> int:
    """Prints what INSTRUCTION (`bash_complete`, `zsh_source` …) asks for; the exit code.

    A line that cannot be right, such as a file in the place of the command, goes on in no way.
    """
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
    try:
        return shell_complete(commands, {}, "linkscope", VARIABLE, instruction)
    except click.ClickException:
        return 0
