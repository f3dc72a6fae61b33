"""`linkscope who`: which files and processes hold a library, mapped as a shared one or inside themselves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from linkscope.analysis.request import Assumptions
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.completion import files, libraries
from linkscope.cli.help import Command, examples
from linkscope.cli.names import listed_in, not_empty
from linkscope.cli.options import assumptions, formats, names_from
from linkscope.cli.output import Output, complain
from linkscope.cli.progress import shown, waited_for
from linkscope.model.document import AnalysisError
from linkscope.model.meant import asked
from linkscope.model.who import Match, WhoDocument
from linkscope.report.escape import exact, quoted

if TYPE_CHECKING:
    from linkscope.analysis.holding import Held
    from linkscope.analysis.inside import Search

_MOST_WORKERS = 8  # as for inspect
_EXAMPLES = examples(
    "linkscope who zlib /usr/bin /usr/lib",
    "linkscope who openssl --older-than 3.0.14 --processes /srv",
    "sudo linkscope who libcrypto.so.3",
    "linkscope who openssl --format paths -0 /srv | xargs -0 ls -l",
    "linkscope who golang.org/x/crypto --format jsonl dist/ | jq -r .path",
)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for. files: paths were named, though a list of them may be empty."""

    name: str
    older_than: str | None
    search: Search
    processes: bool
    files: bool


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("name", metavar="NAME", shell_complete=libraries)
@click.argument("paths", metavar="[PATH...]", nargs=-1, shell_complete=files)
@formats("text", "json", "jsonl", "paths")
@click.option("--processes", is_flag=True, help="Look at the running processes as well as at the PATHs.")
@click.option(
    "--older-than",
    metavar="VERSION",
    help="Only what is below VERSION, or does not tell: both are marked.",
)
@click.option(
    "--thorough",
    is_flag=True,
    help="Look for its machine code in dynamic files too, not for its texts and symbols alone. Slow.",
)
@click.option("--unpack", is_flag=True, help="Look into what was packed, too, for a file packed by UPX.")
@click.option(
    "--store",
    metavar="FILE",
    callback=not_empty,
    shell_complete=files,
    help="The signatures to use, instead of the user's own store (see `linkscope sigs`).",
)
@click.option("--no-shipped", "own", is_flag=True, help="Without the signatures brought along.")
@names_from
@assumptions
@interrupts.tidied_up()
def command(
    name: str,
    paths: tuple[str, ...],
    form: str,
    processes: bool,
    older_than: str | None,
    thorough: bool,
    unpack: bool,
    store: str | None,
    own: bool,
    files_from: str | None,
    null: bool,
    assumptions: Assumptions,
) -> int:
    """What holds the library NAME: needs it, opens it, or has it inside. The question after a CVE.

    NAME is a project (zlib, openssl), a soname (without a version, libssl.so, it is any one), or the path of a library;
    Go modules go by their path, a crate is cargo:NAME. A project is found by its sonames and inside of files; a soname
    finds its project inside of files, too; a path means that very file. PATHs are files, folders and packages; without
    any, all running processes but linkscope itself are asked, also for files that were deleted or replaced since they
    were mapped. Symlinks below a folder are followed to ELF files outside of it, each once; folders behind symlinks are
    not entered.

    A static program is searched for its texts, symbols and machine code; a dynamic file for its texts and symbols,
    and with --thorough for all of them. Of a packed file nothing can be seen; --unpack looks into what UPX packed. A
    version is what the code itself tells: a distribution may have mended it without a new one. Formats: text for
    people; json, one document; jsonl, one line for each match; paths, the bare list of the files that hold it, and of
    the programs of processes.

    Exit code: 0 if something holds it, 1 if nothing does, 2 if something could not be analysed. Processes that may not
    be looked into are named, and do not change it.
    """
    from linkscope.analysis.holding import Held
    from linkscope.analysis.inside import Search
    from linkscope.analysis.signatures import packs
    from linkscope.analysis.who import document

    chosen = [*paths, *(listed_in(files_from, b"\0" if null else b"\n") if files_from is not None else ())]
    named = bool(paths) or files_from is not None
    if assumptions.root != "/" and (processes or not named):
        raise click.UsageError("--root is about files: name some, and leave --processes out.")
    if not name.strip():
        raise click.UsageError("NAME is empty: no library is called so.")
    if store is not None:
        packs(store)  # that it is not there is no matter of each file
    output = Output()
    search = Search(thorough, store, shipped=not own, unpack=unpack)
    asked = Asked(name=name, older_than=older_than, search=search, processes=processes or not named, files=named)
    results: list[Held | AnalysisError] = []
    told: set[str] = set()
    streams = output.terminal and form in ("jsonl", "paths")  # what comes line by line there is a sign of its own
    for result in _results(asked, chosen, assumptions, None if streams else output):
        results.append(result)
        if form == "jsonl" and isinstance(result, Held):
            _tell(result.matches, output)
        if form == "paths" and isinstance(result, Held):
            _list(result.matches, told, output, b"\0" if null else b"\n")
    found = document(asked.name, results, asked.older_than, assumptions, asked.search)
    for piece in _pieces(found, form, output):
        output.write(piece)
    output.flush()
    if form != "json":
        for error in found.errors:
            complain(f"{quoted(exact(error.path, error.path_bytes))}: {error.error}")
    if not found.matches:
        _advise(name)
    return exit_codes.FAILED if found.errors else exit_codes.FINE if found.matches else exit_codes.WRONG


def _results(
    asked: Asked, paths: list[str], assumptions: Assumptions, output: Output | None
) -> Iterator[Held | AnalysisError]:
    """One answer for each file and process, made when asked for. OUTPUT: what shows it only in the end."""
    from linkscope.analysis.who import who_of, who_runs

    if asked.files:
        workers = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
        found = who_of(asked.name, paths, assumptions, asked.older_than, workers, search=asked.search)
        yield from found if output is None else _awaited(found, paths, output)
    if asked.processes:
        running = who_runs(asked.name, asked.older_than, asked.search)
        yield from running if output is None else waited_for(running, "processes")


def _awaited(found: Iterator[Held | AnalysisError], paths: list[str], output: Output) -> Iterable[Held | AnalysisError]:
    """FOUND with a sign of how far it is. Nobody knows how many files there will be in a folder or a package."""
    if len(paths) > 1 and all(map(_is_elf, paths)):
        return shown(found, len(paths), output)
    return waited_for(found, "files")


def _is_elf(path: str) -> bool:
    """Whether PATH is one file by itself, as seen from here; of another one only the sign of life looks different."""
    try:
        if not os.path.isfile(path):  # nobody may ever write to a pipe
            return False
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except (OSError, ValueError):
        return False


def _tell(matches: list[Match], output: Output) -> None:
    """Sends a line for each of MATCHES at once, whoever reads: the next file may take a while."""
    from linkscope.report import json

    for line in json.lines(matches, (Match,)):
        output.finish(json.visible(line) if output.terminal else line)


def _list(matches: list[Match], told: set[str], output: Output, end: bytes) -> None:
    """Sends the path of each of MATCHES at once, END after each, but none that was TOLD before."""
    from linkscope.report import paths

    for path in dict.fromkeys(exact(match.path, match.path_bytes) for match in matches):
        if path not in told:
            told.add(path)
            listed = os.fsencode(path) + end
            output.finish(paths.visible(listed) if output.terminal else listed)


def _pieces(found: WhoDocument, form: str, output: Output) -> Iterable[bytes | str]:
    """FOUND in the format FORM, as far as its lines were not sent; on a terminal nothing in it is acted on."""
    if form == "text":
        from linkscope.report.who import render

        return render(found, output.page())
    from linkscope.report import json

    encoded = [json.whole(found)] if form == "json" else []
    return map(json.visible, encoded) if output.terminal else encoded


def _advise(name: str) -> None:
    """What may have been meant by a NAME that nothing holds."""
    from linkscope.analysis.sought import near, soname_of_package

    others, soname = near(name), soname_of_package(name)
    if soname is not None:
        complain(f"{quoted(name)} is the name of a package, perhaps{asked([soname])}")
    elif others:
        complain(f"{quoted(name)} is no library that is known by its code{asked(others)}")
