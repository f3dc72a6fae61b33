"""The reports of one run: one on standard output, and as many in files as are asked for."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any

import click
import msgspec

from linkscope import __version__
from linkscope.cli.completion import format_and_file
from linkscope.cli.output import Output
from linkscope.errors import FileUnreadable, LinkScopeError
from linkscope.model.check import CheckDocument
from linkscope.report import formats

_JSON = ("json", "sarif", "gitlab")


class ReportUnwritable(LinkScopeError):
    """A report's file cannot be written."""


class Reports(msgspec.Struct, frozen=True, kw_only=True):
    """shown: the format of standard output. written: format and file of the others, in the order of the options."""

    shown: str
    written: tuple[tuple[str, str], ...] = ()

    def refuse_what_cannot_be_written(self) -> None:
        """Raises ReportUnwritable where a report's folder is not there, before the work is done in vain."""
        for _, name in self.written:
            if os.path.isdir(name):
                raise ReportUnwritable(name, os.strerror(errno.EISDIR).lower())
            if not os.path.isdir(os.path.dirname(name) or "."):
                raise ReportUnwritable(name, os.strerror(errno.ENOENT).lower())

    def write(self, document: CheckDocument, output: Output) -> None:
        """Every report of DOCUMENT, those in files first. Raises ReportUnwritable."""
        from linkscope.report.page import Page

        for form, name in self.written:
            _write(name, formats.pieces(form, document, Page(), __version__))
        for piece in formats.pieces(self.shown, document, output.page(), __version__):
            output.write(_visible(piece) if output.terminal and self.shown in _JSON else piece)
        output.flush()


def reports(command: Callable[..., int]) -> Callable[..., int]:
    """Adds --format and --output; COMMAND gets them as `reports`."""

    def gathering(*, form: str | None, outputs: tuple[str, ...], **given: Any) -> int:
        return command(reports=_chosen(form, outputs), **given)

    decorated: Callable[..., int] = update_wrapper(gathering, command)
    decorated = click.option(
        "--output",
        "outputs",
        metavar="FORMAT=FILE",
        multiple=True,
        shell_complete=format_and_file(*formats.names()),
        help="Write another report into FILE (-: standard output, instead of the text); several times.",
    )(decorated)
    return click.option(
        "--format",
        "form",
        type=click.Choice(formats.names()),
        help=f"How to answer on standard output; {formats.DEFAULT} where nothing is said.",
    )(decorated)


def _chosen(form: str | None, outputs: tuple[str, ...]) -> Reports:
    pairs = [_pair(given) for given in outputs]
    shown = [*([form] if form else []), *(format_ for format_, name in pairs if name == "-")]
    if len(shown) > 1:
        raise click.UsageError("Standard output takes one report: --format, or one --output FORMAT=-.")
    named = [name for _, name in pairs if name != "-"]
    if len({os.path.abspath(name) for name in named}) < len(named):
        raise click.UsageError("--output: one file cannot take two reports.")
    written = tuple((format_, name) for format_, name in pairs if name != "-")
    return Reports(shown=shown[0] if shown else formats.DEFAULT, written=written)


def _pair(given: str) -> tuple[str, str]:
    form, found, name = given.partition("=")
    if not found or not name:
        raise click.UsageError(f"--output: {given} is not FORMAT=FILE, as in sarif=report.sarif.")
    if form not in formats.names():
        raise click.UsageError(f"--output: there is no format {form}; the formats are {', '.join(formats.names())}.")
    return form, name


def _write(name: str, pieces: Iterable[str]) -> None:
    try:
        with open(name, "wb") as file:
            file.writelines(piece.encode("utf-8", "backslashreplace") for piece in pieces)
    except OSError as error:
        raise ReportUnwritable(name, FileUnreadable.from_os_error(name, error).reason) from error


def _visible(piece: str) -> bytes:
    from linkscope.report.json import visible

    return visible(piece.encode("utf-8"))
