"""`linkscope inspect`: what files are, and what their loader would map for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import click
import msgspec

from linkscope.analysis.inspect import inspect_each
from linkscope.analysis.request import Assumptions, Depth
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.completion import files
from linkscope.cli.help import Command, examples
from linkscope.cli.names import listed_in
from linkscope.cli.options import as_given, assumptions, formats, names_from
from linkscope.cli.output import Output, complain
from linkscope.cli.progress import shown
from linkscope.model.document import AnalysisError
from linkscope.model.inspect import File
from linkscope.report.escape import exact, quoted

_MOST_WORKERS = 8  # each keeps its own tables of what it has read: 40 MiB
_LONGEST_EPOCH = 11  # digits: the year 5138
_EXAMPLES = examples(
    "linkscope inspect ./app",
    "linkscope inspect --root ./image /usr/bin/app",
    "linkscope inspect --format paths -0 ./app | cpio -0 -o -H newc > app.cpio",
    "linkscope inspect --format cyclonedx ./app > app.cdx.json",
    "find . -type f -print0 | linkscope inspect -0 --files-from - --format jsonl",
)


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("paths", metavar="PATH...", nargs=-1, shell_complete=files)
@formats("text", "json", "jsonl", "paths", "cyclonedx")
@names_from
@click.option("--symbols", is_flag=True, help="Bind every undefined symbol, as `ldd -r` and `ldd -u` would.")
@click.option("--contents", is_flag=True, help="Say what was linked into each file itself: libraries, Go modules.")
@click.option("--unpack", is_flag=True, help="With --contents: say it of what was packed, for a file packed by UPX.")
@click.option(
    "--store",
    metavar="FILE",
    shell_complete=files,
    help="With --contents: the signatures to use, instead of the user's own store (see `linkscope sigs`).",
)
@click.option("--no-shipped", "own", is_flag=True, help="With --contents: without the signatures brought along.")
@click.option("--cross-check", is_flag=True, help="Read each file with three readers and report where they disagree.")
@click.option("--follow-scripts", is_flag=True, help="For a script, inspect the interpreter that its #! line names.")
@assumptions
def command(
    paths: tuple[str, ...],
    form: str,
    files_from: str | None,
    null: bool,
    symbols: bool,
    contents: bool,
    unpack: bool,
    store: str | None,
    own: bool,
    cross_check: bool,
    follow_scripts: bool,
    assumptions: Assumptions,
) -> int:
    """What each PATH is, and exactly which files the dynamic loader would map for it, in its own order.

    Nothing is executed. A library is answered for as if it was started as the main program.

    Formats: text for people; json, one document; jsonl, one line for each file; paths, the bare list of the files
    themselves and all that the loader would open for them. On a narrow terminal a library's path is only its folder
    where the file is called what was asked for. cyclonedx, an SBOM (CycloneDX 1.6, JSON) with --contents, what proves
    them, and the libraries; the same files give the same bytes, and its time is SOURCE_DATE_EPOCH, if that is set.

    Exit code: 0 if nothing is wrong, 1 if a file would not start or a symbol stays unresolved, 2 if something could
    not be analysed.
    """
    interrupts.raise_an_exception()
    chosen = [*paths, *(listed_in(files_from, b"\0" if null else b"\n") if files_from is not None else ())]
    if not paths and files_from is None:
        raise click.UsageError("Name at least one file, or give a list of them with --files-from.")
    inside = contents or form == "cyclonedx"
    if not inside and (store is not None or own or unpack):
        raise click.UsageError("--store, --no-shipped and --unpack go with --contents.")
    if store is not None:
        from linkscope.analysis.signatures import packs  # which `inspect` does not need

        packs(store)  # that it is not there is no matter of each file
    depth = Depth(
        symbols=symbols,
        contents=inside,
        unpack=unpack,
        cross_check=cross_check,
        follow_scripts=follow_scripts,
        store=store,
        shipped=not own,
    )
    output = Output()
    outcome = _Outcome(form, output)
    workers = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
    results = shown(inspect_each(chosen, assumptions, depth, workers), len(chosen), output)
    watched = outcome.watching(results)
    if form == "cyclonedx":
        pieces: Iterable[bytes | str] = _sbom(watched, assumptions)
    else:
        pieces = _pieces(watched, form, output, as_given(assumptions), b"\0" if null else b"\n")
    for piece in pieces:
        output.write(piece)
    output.flush()
    return outcome.exit_code


def _pieces(
    results: Iterable[File | AnalysisError], form: str, output: Output, given: tuple[str, ...], end: bytes
) -> Iterable[bytes | str]:
    """RESULTS in the format FORM, whose module is imported only now; on a terminal nothing in it is acted on.

    given: the options under which they hold, for the commands that the text shows.
    """
    if form == "text":
        from linkscope.report import text

        return text.render(results, msgspec.structs.replace(output.page(), given=given))
    if form == "paths":
        from linkscope.report import paths

        listed = paths.render(results, end)
        return map(paths.visible, listed) if output.terminal else listed
    from linkscope.report import json

    encoded = json.streamed(results) if form == "json" else json.lines(results)
    return map(json.visible, encoded) if output.terminal else encoded


def _sbom(results: Iterable[File | AnalysisError], assumptions: Assumptions) -> Iterator[str]:
    """RESULTS as a CycloneDX document, by a library that is only there if it was asked for."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch and not (epoch.isascii() and epoch.isdecimal() and len(epoch) <= _LONGEST_EPOCH):
        raise click.UsageError(f"SOURCE_DATE_EPOCH is no number of seconds: {epoch!r}")
    try:
        from linkscope.report import cyclonedx
    except ModuleNotFoundError as absent:
        raise click.UsageError(
            f"--format cyclonedx needs {absent.name}, which is not installed: pip install 'linkscope[sbom]'"
        ) from absent
    from linkscope import __version__
    from linkscope.analysis.digests import Digests

    digests = Digests(assumptions)
    files = (result for result in results if isinstance(result, File))
    known = cyclonedx.Known(digests.of, digests.real, digests.owners)
    yield cyclonedx.render(files, known, __version__, int(epoch) if epoch else None)
    for problem in digests.problems:
        complain(f"{problem}; the files of its packages are shown without them")


class _Outcome:
    """The exit code of all results so far; what no other place of the format shows goes to standard error."""

    def __init__(self, form: str, output: Output) -> None:
        self.exit_code = exit_codes.FINE
        self._form = form
        self._output = output
        self._scripts_explained = False

    def watching(self, results: Iterable[File | AnalysisError]) -> Iterator[File | AnalysisError]:
        """RESULTS, each looked at on its way."""
        for result in results:
            self.exit_code = max(self.exit_code, exit_codes.of_result(result))
            for line in self._complaints(result):
                self._output.flush()
                complain(line)
            yield result

    def _complaints(self, result: File | AnalysisError) -> Iterator[str]:
        name = quoted(exact(result.path, result.path_bytes))
        if isinstance(result, AnalysisError):
            if self._form != "json":
                yield f"{name}: {result.error}{self._advice(result)}"
        elif self._form == "paths":
            yield from (f"{name}: {problem.message}" for problem in result.problems if problem.fatal)

    def _advice(self, error: AnalysisError) -> str:
        """What can be done about a script, said of the first one only: there are hundreds in /usr/bin."""
        if error.script is None or self._scripts_explained:
            return ""
        self._scripts_explained = True
        return "; --follow-scripts inspects what it is for"
