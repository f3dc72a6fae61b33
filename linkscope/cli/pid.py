"""`linkscope pid`: what processes have mapped, against what they should have."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Iterator

import click

from linkscope.analysis.process import each_process
from linkscope.analysis.request import Looking
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.help import Command, examples
from linkscope.cli.options import formats
from linkscope.cli.output import Output, complain
from linkscope.cli.watching import SECONDS, rounds, watching
from linkscope.model.pid import FamilyTree, Process, ProcessError

_EXAMPLES = examples(
    "linkscope pid $(pgrep nginx)",
    "linkscope pid --tree 1234",
    "sudo linkscope pid --verify-text 1234",
    "linkscope pid 1234 --watch",
    "linkscope pid --format json 1234 | jq -r '.processes[].objects[].path'",
)
_LONGEST = 1000  # digits that are taken for a number (Python takes 4300; pid_max in proc(5) has seven)
Result = Process | FamilyTree | ProcessError


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("pids", metavar="PID...", nargs=-1)
@formats("text", "json", "jsonl")
@click.option("--tree", is_flag=True, help="Show the whole family, and the channels inside it.")
@click.option("--verify-text", is_flag=True, help="Compare the code in memory with the files that it was mapped from.")
@click.option("--contents", is_flag=True, help="Say what was linked into the program itself, also into a deleted one.")
@click.option("--unpack", is_flag=True, help="With --contents: say it of what was packed, for a file packed by UPX.")
@click.option("--scripts", is_flag=True, help="For an interpreter, tell whether its script was changed since.")
@watching
def command(
    pids: tuple[str, ...],
    form: str,
    tree: bool,
    verify_text: bool,
    contents: bool,
    unpack: bool,
    scripts: bool,
    every: float | None,
    count: int | None,
) -> int:
    """What each process PID runs, which libraries it has mapped and why, what they cost, and which are out of date.

    Nothing is attached, stopped or written: /proc is only read. What belongs to other users can be read by root only.

    Formats: text for people; json, one document; jsonl, one line for each process (and, with --tree, each family).

    Exit code: 0 if nothing is wrong, 1 if a process runs what is no longer on the disk, 2 if one could not be
    analysed, or only in part. With --watch it is that of the last look; an interrupt ends it with 130.
    """
    interrupts.raise_an_exception()
    if not pids and every is not None and every.is_integer():
        pids, every = (f"{every:.0f}",), SECONDS  # the number behind --watch is the only one: it must be the process
    chosen = list(dict.fromkeys(map(_number, pids)))
    if not chosen:
        raise click.UsageError("Name at least one process by its number. `linkscope ps` lists them.")
    if unpack and not contents:
        raise click.UsageError("--unpack goes with --contents.")
    looking = Looking(tree=tree, verify_text=verify_text, scripts=scripts, contents=contents, unpack=unpack)
    live = rounds(every, count, form)
    output = Output()
    if live is not None:
        from linkscope.cli.watch import Named, watch

        return watch(Named(chosen, looking), live, output)
    outcome = _Outcome(form, output)
    for piece in _pieces(outcome.watching(each_process(chosen, looking)), form, tree, output):
        output.write(piece)
    output.flush()
    return outcome.exit_code


def _number(word: str) -> int:
    """The process that WORD numbers. Raises click.UsageError, which says how a name leads to a number."""
    if word.isascii() and word.isdecimal() and len(word) <= _LONGEST and int(word):
        return int(word)
    if os.path.isfile(word):
        name = shlex.quote(word)
        advice = f"`linkscope inspect {name}` analyses the file; `linkscope ps --uses {name}` lists who has mapped it"
        raise click.UsageError(f"{word} is a file, not the number of a process. {advice}.")
    if any(character.isalpha() for character in word):
        advice = f"`linkscope ps` lists the processes; `linkscope pid $(pgrep {word})` takes those of that name"
        raise click.UsageError(f"{word} is not the number of a process. {advice}.")
    raise click.UsageError(f"{word!r} is not the number of a process. `linkscope ps` lists them.")


def _pieces(results: Iterable[Result], form: str, tree: bool, output: Output) -> Iterable[bytes | str]:
    """RESULTS in the format FORM, whose module is imported only now; on a terminal nothing in it is acted on."""
    if form == "text":
        from linkscope.report.moment import Moment
        from linkscope.report.process import render

        return render(results, output.page(), Moment(time.time()))
    from linkscope.report import json
    from linkscope.report.processforms import FAMILIES, PROCESSES

    if form == "json":
        encoded = json.streamed(results, FAMILIES if tree else PROCESSES)
    else:
        encoded = json.lines(results, (Process, FamilyTree))
    return map(json.visible, encoded) if output.terminal else encoded


class _Outcome:
    """The exit code of all results so far; errors that the format does not show go to standard error."""

    def __init__(self, form: str, output: Output) -> None:
        self.exit_code = exit_codes.FINE
        self._form = form
        self._output = output

    def watching(self, results: Iterable[Result]) -> Iterator[Result]:
        """RESULTS, each looked at on its way."""
        for result in results:
            if isinstance(result, ProcessError):
                self.exit_code = exit_codes.FAILED
                if self._form != "json":
                    self._output.flush()
                    complain(f"process {result.pid}: {result.error}")
            elif isinstance(result, Process):
                self.exit_code = max(self.exit_code, exit_codes.of_process(result))
            yield result
