"""`linkscope sigs`: which static libraries are recognised inside files, by fingerprints of their code."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from linkscope.cli import exit_codes, interrupts
from linkscope.cli.completion import files, folders
from linkscope.cli.help import Command, examples
from linkscope.cli.options import formats
from linkscope.cli.output import Output, complain
from linkscope.cli.progress import waited_for
from linkscope.report.escape import exact, quoted
from linkscope.report.sigs import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linkscope.model.sigs import SigsDocument
    from linkscope.report.page import Page

_MOST_WORKERS = 8


class _Group(Command, click.Group):
    """Subcommands under one name."""


_EXAMPLES = examples(
    "linkscope sigs add libfoo-dev_1.2-1_amd64.deb",
    "linkscope sigs add --installed",
    "linkscope sigs list zlib openssl",
)
_ADD = examples(
    "linkscope sigs add build/libfoo.a --library foo --library-version 1.2",
    "linkscope sigs add packages/*.apk --distribution 'alpine 3.20'",
    "linkscope sigs add --installed --root ./rootfs",
)
_LIST = examples("linkscope sigs list", "linkscope sigs list 'lib*-dev' zlib=1.2.13 --format json")
_store = click.option(
    "--store",
    metavar="FILE",
    shell_complete=files,
    help="The store to use, instead of the user's own.",
)


@click.group(cls=_Group, epilog=_EXAMPLES)
def command() -> None:
    """The static libraries that `linkscope inspect --contents` recognises inside files, by their machine code.

    LinkScope brings along what it takes to recognise the most linked libraries of Debian. Others are learnt from
    archives (.a) and packages, and kept in a store of the user's own: no code, only digests of it.

    The store is the file that --store names, or the variable LINKSCOPE_STORE, or else linkscope/signatures.db below
    XDG_DATA_HOME (~/.local/share).
    """


@command.command("add", cls=Command, short_help="Learn archives, also those in packages.", epilog=_ADD)
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=files)
@click.option("--installed", is_flag=True, help="Learn every archive of this machine, or of the one below --root.")
@click.option(
    "--root", metavar="DIR", shell_complete=folders, help="With --installed: another machine's files, seen as /."
)
@click.option("--library", metavar="NAME", help="What the library is called, instead of what its package says.")
@click.option("--library-version", "version", metavar="VERSION", help="Which version of it this is.")
@click.option("--distribution", metavar="NAME", help="Whose package it is, such as 'debian 12' or 'alpine 3.20'.")
@formats("text", "json")
@_store
@interrupts.tidied_up()
def add(
    paths: tuple[str, ...],
    installed: bool,
    root: str | None,
    library: str | None,
    version: str | None,
    distribution: str | None,
    form: str,
    store: str | None,
) -> int:
    """Learn the archives (.a) that each PATH is or holds: an archive, a folder, a .deb, .apk or .rpm package.

    All of them are in the store afterwards or, where it is interrupted, none. What is there already is not added again.

    Exit code: 0, or 2 if something could not be read, or a PATH has nothing that can be recognised.
    """
    from linkscope.analysis import sigs
    from linkscope.contents.learning import Labels

    if not paths and not installed:
        raise click.UsageError("Name at least one archive, package or folder, or give --installed.")
    if root is not None and not installed:
        raise click.UsageError("--root goes with --installed.")
    labels = Labels(library=library, version=version, distribution=distribution)
    workers = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
    lessons = sigs.lessons(paths, labels, (root or "/") if installed else None, workers)
    document = sigs.add(_path(store), waited_for(lessons, "archives and packages"))
    return _answer(document, form, _added)


@command.command("list", cls=Command, short_help="The archives that are known.", epilog=_LIST)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--no-shipped", "own", is_flag=True, help="Only what is in the store, without what LinkScope brings along."
)
@formats("text", "json")
@_store
def list_(names: tuple[str, ...], own: bool, form: str, store: str | None) -> int:
    """The archives that are known, by their packages.

    NAME is a library, a package or an archive (* and ? as in a shell), or the beginning of an id, and may go on with
    =VERSION.

    Exit code: 0, or 2 if a NAME is not known.
    """
    from linkscope.analysis import sigs
    from linkscope.report.sigs import render_list

    return _answer(sigs.listed(_path(store), names, not own), form, render_list)


@command.command("show", cls=Command, short_help="All that is known of archives.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--no-shipped", "own", is_flag=True, help="Only what is in the store, without what LinkScope brings along."
)
@formats("text", "json")
@_store
def show(names: tuple[str, ...], own: bool, form: str, store: str | None) -> int:
    """All that is known of the archives that answer to NAME (as for `list`): where from, and how much of their code.

    Exit code: 0, or 2 if a NAME is not known.
    """
    from linkscope.analysis import sigs
    from linkscope.report.sigs import render_details

    return _answer(sigs.listed(_path(store), names, not own), form, render_details)


@command.command("remove", cls=Command, short_help="Forget archives.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@formats("text", "json")
@_store
def remove(names: tuple[str, ...], form: str, store: str | None) -> int:
    """Forget the archives in the store that answer to NAME (as for `list`).

    What LinkScope brings along stays; --no-shipped of other commands leaves it out of account.

    Exit code: 0, or 2 if a NAME is not known.
    """
    from linkscope.analysis import sigs

    return _answer(sigs.remove(_path(store), names), form, _told("forgotten"))


@command.command("export", cls=Command, short_help="Write signatures into one file, for another machine.")
@click.argument("file", metavar="FILE", shell_complete=files)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@formats("text", "json")
@_store
def export(file: str, names: tuple[str, ...], form: str, store: str | None) -> int:
    """Write the archives in the store that answer to NAME (as for `list`), or all of them, into FILE.

    It is compressed by zstd; `linkscope sigs import` reads it.

    Exit code: 0, or 2 if a NAME is not known or FILE cannot be written.
    """
    from linkscope.analysis import sigs

    return _answer(sigs.export(_path(store), file, names), form, _told(f"written to {file}"))


@command.command("import", cls=Command, short_help="Take signatures over that were exported.")
@click.argument("exported", metavar="FILE...", nargs=-1, required=True, shell_complete=files)
@formats("text", "json")
@_store
def import_(exported: tuple[str, ...], form: str, store: str | None) -> int:
    """Put what `linkscope sigs export` wrote into each FILE into the store: all of it, or nothing.

    Exit code: 0, or 2 if a FILE cannot be read.
    """
    from linkscope.analysis import sigs

    return _answer(sigs.bring_in(_path(store), exported), form, _added)


def _path(store: str | None) -> str:
    """The store that is named, or the user's own."""
    from linkscope.contents.packs import default_store

    return store or default_store(os.environ)


def _answer(document: SigsDocument, form: str, render: Callable[[SigsDocument, Page], Iterator[str]]) -> int:
    output = Output()
    if form == "json":
        from linkscope.report.json import visible, whole

        output.write(visible(whole(document)) if output.terminal else whole(document))
    else:
        for one in document.left_out:
            if one.weight == "warning":
                complain(f"{quoted(one.path)}: {one.reason}")
        for error in document.errors:
            complain(f"{quoted(exact(error.path, error.path_bytes))}: {error.error}")
        for piece in render(document, output.page()):
            output.write(piece)
    output.flush()
    return exit_codes.FAILED if document.errors else exit_codes.FINE


def _added(document: SigsDocument, _page: Page) -> Iterator[str]:
    """`3 archives added to PATH, 2 were there already, 4 without code left out`."""
    parts = [f"{counted(len(document.archives))} added to {quoted(document.store)}"]
    if document.known:
        parts.append(f"{document.known} were there already")
    empty = sum(one.weight == "note" for one in document.left_out)
    if empty:
        parts.append(f"{empty} without code that could be recognised left out")
    yield ", ".join(parts) + "\n"


def _told(what: str) -> Callable[[SigsDocument, Page], Iterator[str]]:
    def told(document: SigsDocument, _page: Page) -> Iterator[str]:
        yield f"{counted(len(document.archives))} {what}\n"

    return told
