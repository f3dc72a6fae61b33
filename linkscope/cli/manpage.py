"""`linkscope man`: the manual page, made from the help of all commands."""

from __future__ import annotations

import inspect
import os
import re
import time
from collections import Counter
from collections.abc import Iterator

import click
import msgspec

from linkscope import __version__
from linkscope.cli import exit_codes, roff
from linkscope.cli.help import Command, examples
from linkscope.cli.output import Output

_EXAMPLES = examples("linkscope man | man -l -", "linkscope man > ~/.local/share/man/man1/linkscope.1")
_EXIT_CODES = {
    exit_codes.FINE: "All was analysed, and nothing is wrong.",
    exit_codes.WRONG: "All was analysed, and something is wrong with it. Each command says what counts as wrong.",
    exit_codes.FAILED: "The command line is wrong, or something named on it could not be analysed. "
    "What could be analysed is still printed.",
    exit_codes.INTERRUPTED: "Interrupted with Ctrl-C.",
    exit_codes.READER_GONE: "The reader of the output went away, as `head` does.",
}
_ENVIRONMENT = {
    "LD_LIBRARY_PATH, LD_PRELOAD, LD_AUDIT, LD_BIND_NOW, GLIBC_TUNABLES": "What the loader would make of them is "
    "taken into account by `inspect` and `why`, as if the file was started from the same shell, unless --clean-env or "
    "--root is given. Of a running process its own count.",
    "NO_COLOR": "Where it is set and not empty, nothing is coloured.",
    "FORCE_COLOR": "Where it is set and not empty, text is coloured although it goes to no terminal.",
    "COLUMNS": "The width to lay text out for, instead of the terminal's.",
    "TERM": "A `dumb` terminal gets no colour.",
    "LC_ALL, LC_CTYPE, LANG": "Lines are drawn with ASCII characters where the locale is C or POSIX, or has no others.",
    "TMPDIR": "The folder below which packages are unpacked, one at a time, into a folder that is removed.",
    "LINKSCOPE_STORE": "The file in which `linkscope sigs` keeps what it has learnt, where --store names no other.",
    "SOURCE_DATE_EPOCH": "The date of the page that `linkscope man` prints, in seconds since 1970; without it the page "
    "has none.",
}
_FILES = {
    "linkscope.toml": "The policy of `linkscope check`, where it lies in the working directory and no other is named.",
    "$XDG_DATA_HOME/linkscope/signatures.db": "What `linkscope sigs` has learnt; in ~/.local/share where the variable "
    "is not set.",
    "/etc/ld.so.cache": "Where glibc's loader finds most libraries. It is read in every format that there is.",
    "/etc/ld.so.conf": "The folders that ldconfig puts into the cache; read for advice only.",
    "/etc/ld.so.preload": "Libraries that glibc's loader maps into every program.",
    "/etc/ld-musl-ARCH.path": "The folders in which musl's loader looks.",
    "/proc/PID": "What is known of running processes. It is only read.",
}
_SEE_ALSO = ("ldd(1)", "readelf(1)", "objdump(1)", "pldd(1)", "elf(5)", "proc(5)", "ld.so(8)", "ldconfig(8)")


class _Page(msgspec.Struct, frozen=True):
    """A command on the page. path: as it is typed; options: its own and shared ones, each declared and explained."""

    path: str
    command: click.Command
    usage: list[str]
    options: list[tuple[str, str]]


@click.command(cls=Command, epilog=_EXAMPLES)
def command() -> int:
    """Print the manual page of linkscope and all its commands, in the language of man(7).

    An installed package has it in its share folder, where `man linkscope` finds it if the package lies in /usr,
    /usr/local, ~/.local or anywhere else whose bin folder is on the PATH.
    """
    from linkscope.cli.commands import commands

    Output().finish(manual(commands))
    return exit_codes.FINE


def manual(commands: click.Command) -> str:
    """The manual page of COMMANDS, a program with its subcommands; the same for the same sources."""
    top, *below = _pages(commands, click.Context(commands, info_name="linkscope"))
    pages = [_without(top.options, page) for page in below]
    shared = _shared(pages)
    lines = [
        _title(),
        ".nh",  # a name broken at the end of a line is none that can be copied
        ".nr HY 0",  # groff man(7) sets hyphenation anew at each paragraph, by this register
        ".ad l",
        *_section("NAME", roff.wrapped(rf"linkscope \- {roff.escaped(_as_phrase(commands.help or ''))}")),
        *_section("SYNOPSIS", _synopsis([top, *pages])),
        *_section("DESCRIPTION", [*_help(commands), *_note(commands)]),
        *_section("OPTIONS", [*roff.paragraph("Every command takes --help too."), *_listed(top.options)]),
        *_section("COMMANDS", [line for page in pages for line in _of_command(page, shared)]),
        *_section("COMMON OPTIONS", ["These mean the same for every command that takes them.", *_listed(shared)]),
        *_section("EXIT STATUS", _terms({str(code): text for code, text in _EXIT_CODES.items()})),
        *_section("ENVIRONMENT", _terms(_ENVIRONMENT)),
        *_section("FILES", _terms(_FILES)),
        *_section("EXAMPLES", roff.verbatim([line for page in [top, *pages] for line in _examples(page.command)])),
        *_section("SEE ALSO", [", ".join(rf"\fB{name}\fR({number}" for name, number in map(_split_name, _SEE_ALSO))]),
    ]
    return "\n".join(lines) + "\n"


def _pages(command: click.Command, context: click.Context) -> Iterator[_Page]:
    """COMMAND and all below it, in the order of their lists; what is hidden is left out."""
    records = (option.get_help_record(context) for option in command.get_params(context))
    options = [record for record in records if record is not None and record[1]]
    yield _Page(context.command_path, command, command.collect_usage_pieces(context), options)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _pages(below, click.Context(below, info_name=name, parent=context))


def _without(options: list[tuple[str, str]], page: _Page) -> _Page:
    return msgspec.structs.replace(page, options=[option for option in page.options if option not in options])


def _shared(pages: list[_Page]) -> list[tuple[str, str]]:
    """The options that several commands take, and that all who have one of this name take alike."""
    taken = Counter(option for page in pages for option in page.options)
    kinds = Counter(_first_name(option) for option in taken)
    return [option for option, count in taken.items() if count > 1 and kinds[_first_name(option)] == 1]


def _title() -> str:
    """The heading, dated by SOURCE_DATE_EPOCH alone (reproducible-builds.org), so that a rebuild gives the same."""
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    date = time.strftime("%Y-%m-%d", time.gmtime(int(said))) if said.isdecimal() else ""
    return f'.TH LINKSCOPE 1 "{date}" "linkscope {__version__}" "User Commands"'


def _section(title: str, lines: list[str]) -> list[str]:
    return [f".SH {title}", *lines]


def _as_phrase(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _split_name(reference: str) -> tuple[str, str]:
    name, _, number = reference.partition("(")
    return name, number


def _synopsis(pages: list[_Page]) -> list[str]:
    """One line for each command that does something by itself."""
    used = [page for page in pages if not isinstance(page.command, click.Group)]
    lines = [rf"{roff.bold(page.path)} {' '.join(map(roff.declared, page.usage))}".rstrip() for page in used]
    return [line for shown in lines for line in (shown, ".br")][:-1]


def _of_command(page: _Page, shared: list[tuple[str, str]]) -> list[str]:
    own = [option for option in page.options if option not in shared]
    others = [_first_name(option) for option in page.options if option in shared]
    lines = [f'.SS "{roff.escaped(page.path)}"', *_help(page.command), *_listed(own)]
    if others:
        lines += [".PP", *roff.paragraph(f"{'Also' if own else 'Takes'} {', '.join(others)}: see COMMON OPTIONS.")]
    return lines


def _help(command: click.Command) -> list[str]:
    """The paragraphs of its help; one that begins with \\b keeps its lines, as in click."""
    lines: list[str] = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "").partition("\f")[0].rstrip()):
        shown = roff.verbatim(part.splitlines()[1:]) if part.startswith("\b") else roff.paragraph(part)
        lines += [".PP", *shown] if lines else shown
    return lines


def _note(command: click.Command) -> list[str]:
    """What its epilog says beside the examples."""
    parts = [part for part in (command.epilog or "").split("\n\n") if part and not part.startswith("\b")]
    return [line for part in parts for line in (".PP", *roff.paragraph(part))]


def _examples(command: click.Command) -> list[str]:
    """The lines that its epilog shows as they would be typed."""
    return [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  ")]


def _first_name(option: tuple[str, str]) -> str:
    return next(word for word in option[0].replace(",", " ").split() if word.startswith("--"))


def _listed(options: list[tuple[str, str]]) -> list[str]:
    return [line for name, text in options for line in roff.term(roff.declared(name), roff.paragraph(text))]


def _terms(entries: dict[str, str]) -> list[str]:
    return [line for name, text in entries.items() for line in roff.term(roff.bold(name), roff.paragraph(text))]
