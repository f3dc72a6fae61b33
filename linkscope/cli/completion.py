"""What a shell that completes a command line is told to offer: names of files, folders, rules, targets, libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Offering = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Let the shell complete the name of a file."""
    return _names("file", incomplete)


def folders(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Let the shell complete the name of a folder."""
    return _names("dir", incomplete)


def rules(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The rules of `check`, each with what it says in one line."""
    from linkscope.policy.catalogue import rules as catalogue

    return offered(((rule.id, rule.summary) for rule in catalogue().values()), incomplete)


def targets(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The systems that `linkscope targets` lists, by the names that it gives them."""
    from linkscope.policy.targets.catalogue import targets as catalogue

    return offered(((target.name, "") for target in catalogue()), incomplete)


def libraries(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The libraries that `linkscope who` knows by name; where none begins so, the name of a file, which may be one."""
    from linkscope.analysis.sought_names import known_names

    return offered(((name, "") for name in known_names()), incomplete) or files(context, parameter, incomplete)


def format_and_file(*formats: str) -> Offering:
    """One of FORMATS and an = sign, and behind that the name of a file."""

    def offer(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        _, equals, name = incomplete.partition("=")
        if equals:
            return _names("file", name)
        return offered(((f"{form}=", "") for form in formats), incomplete, "open")

    return offer


def rule_and_level(*levels: str) -> Offering:
    """A rule and an = sign, and behind that one of LEVELS."""

    def offer(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        rule, equals, _ = incomplete.partition("=")
        if equals:
            return offered(((f"{rule}={level}", "") for level in levels), incomplete)
        return [CompletionItem(f"{item.value}=", "open", item.help) for item in rules(context, parameter, incomplete)]

    return offer


def _names(kind: str, incomplete: str) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type=kind)]


def offered(pairs: Iterable[tuple[str, str]], incomplete: str, kind: str = "plain") -> list[CompletionItem[str]]:
    """Those of PAIRS, each a word and its help, that begin with INCOMPLETE."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(word, kind, help_ or None) for word, help_ in pairs if word.startswith(incomplete)]


def several(names: Iterable[str]) -> Offering:
    """The last of some NAMES that stand with commas between them."""

    def offer(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        before, comma, _ = incomplete.rpartition(",")
        return offered(((f"{before}{comma}{name}", "") for name in names), incomplete)

    return offer
