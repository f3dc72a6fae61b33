"""`linkscope ps`: all processes, and which of them must be restarted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

import click
import msgspec

from linkscope.analysis.process import each_process
from linkscope.analysis.request import Looking
from linkscope.analysis.selection import ORDERS, Selection, ordered, paths_of, user_called
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.help import Command, examples
from linkscope.cli.options import formats
from linkscope.cli.output import Output, complain
from linkscope.cli.progress import waited_for
from linkscope.cli.watching import rounds, watching
from linkscope.model.pid import Process, ProcessError
from linkscope.report.processfacts import is_kernel_thread

_EXAMPLES = examples(
    "linkscope ps --sort pss",
    "linkscope ps --uses libssl.so.3 --user www-data",
    "sudo linkscope ps --stale || echo to be restarted",
    "linkscope ps --stale --format json | jq -r '.processes[].unit'",
    "linkscope ps --watch 5",
)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for, beyond how to show it."""

    selection: Selection
    looking: Looking
    objects: bool
    stale: bool
    kernel_threads: bool
    order: str
    reverse: bool


@click.command(cls=Command, epilog=_EXAMPLES)
@formats("text", "json", "jsonl")
@click.option("--static", is_flag=True, help="Only processes that run a static program.")
@click.option("--dynamic", is_flag=True, help="Only processes that run a dynamic program.")
@click.option("--stale", is_flag=True, help="Only processes that must be restarted, and how that is done.")
@click.option("--uses", metavar="LIBRARY", help="Only processes that have mapped LIBRARY: its soname or a path.")
@click.option("--user", metavar="NAME", help="Only processes of this user (a name or a number).")
@click.option("--sort", "order", type=click.Choice(ORDERS), default=ORDERS[0], show_default=True, help="The order.")
@click.option("--reverse", is_flag=True, help="The reverse order. Sizes and counts otherwise begin with the largest.")
@click.option(
    "--objects",
    is_flag=True,
    help="List the mapped objects of each process too; the JSON of --stale then says what became of each file.",
)
@click.option("--kernel-threads", is_flag=True, help="List kernel threads in the text too; JSON always has them.")
@click.option("--scripts", is_flag=True, help="Tell interpreters whose script was changed since they started.")
@click.option("--kernel", is_flag=True, help="Tell whether a newer kernel is installed than the one that runs.")
@watching
def command(
    form: str,
    static: bool,
    dynamic: bool,
    stale: bool,
    uses: str | None,
    user: str | None,
    order: str,
    reverse: bool,
    objects: bool,
    kernel_threads: bool,
    scripts: bool,
    kernel: bool,
    every: float | None,
    count: int | None,
) -> int:
    """All processes in a table: what they run, how it is linked, what it costs, and what is wrong with it.

    With --stale only those that run what is no longer on the disk, with every such file, and at the end which units
    and containers must be restarted.

    Formats: text for people; json, one document; jsonl, one line for each process. JSON is written as the processes
    are read, unless they are to be sorted. What belongs to other users can be read by root only.

    Exit code: 0; with --stale 1 if something must be restarted. What may not be looked into is told, but does
    not change it. With --watch it is 0; an interrupt ends it with 130.
    """
    interrupts.raise_an_exception()
    if static and dynamic:
        raise click.UsageError("--static and --dynamic leave nothing together.")
    whose = None if user is None else user_called(user)
    live = rounds(every, count, form)
    if live is not None and stale:
        raise click.UsageError("--stale is one answer; --watch goes without it, and shows what gets out of date.")
    asked = Asked(
        selection=Selection(
            linkage="static" if static else "dynamic" if dynamic else None,
            uses=uses,
            also=frozenset() if uses is None else paths_of(uses),
            user=whose,
        ),
        looking=Looking(
            # What --stale shows of an object, --uses looks at, and --watch compares.
            objects=objects or uses is not None or live is not None or (stale and form == "text"),
            memory=not stale,
            stale_only=stale,
            scripts=scripts,
            kernel=kernel,
            user=whose,
        ),
        objects=objects,
        stale=stale,
        kernel_threads=kernel_threads,
        order=order,
        reverse=reverse,
    )
    output = Output()
    if live is not None:
        from linkscope.cli.watch import All, watch

        return watch(All(asked.selection, asked.looking, order, reverse, objects), live, output)
    run = _Run(asked, form)
    for piece in _pieces(run, output):
        output.write(piece)
    output.flush()
    return run.exit_code


def _pieces(run: _Run, output: Output) -> Iterable[bytes | str]:
    """The answer in its format, whose module is imported only now; on a terminal nothing in it is acted on."""
    if run.form == "text" and run.asked.stale:
        from linkscope.report.restarts import render

        return render(waited_for(run.results(), "processes"), output.page(), root=not os.geteuid())
    if run.form == "text":
        return _table(run, output)
    from linkscope.report import json
    from linkscope.report.processforms import PROCESSES

    if run.asked.order != ORDERS[0] or run.asked.reverse:
        results: Iterable[Process | ProcessError] = _sorted(run)
    else:
        results = run.results() if output.terminal else waited_for(run.results(), "processes")
    encoded = json.streamed(results, PROCESSES) if run.form == "json" else json.lines(results, (Process,))
    return map(json.visible, encoded) if output.terminal else encoded


def _sorted(run: _Run) -> Iterator[Process | ProcessError]:
    """All processes in the order that was asked for, behind all errors."""
    processes: list[Process] = []
    for result in waited_for(run.results(), "processes"):
        if isinstance(result, ProcessError):
            yield result
        else:
            processes.append(result)
    yield from ordered(processes, run.asked.order, run.asked.reverse)


def _table(run: _Run, output: Output) -> Iterator[str]:
    from linkscope.report.moment import Moment
    from linkscope.report.processes import Left, render

    listed: list[Process] = []
    closed: set[int] = set()
    for result in _sorted(run):
        if isinstance(result, ProcessError):
            closed.add(result.pid)
        else:
            listed.append(result)
    left = Left(kernel_threads=run.kernel_threads, closed=len(closed), root=not os.geteuid())
    yield from render(listed, left, output.page(), Moment(time.time()))


class _Run:
    """One pass over all processes: those that are meant, what is left out of the text, and the exit code so far."""

    def __init__(self, asked: Asked, form: str) -> None:
        self.asked = asked
        self.form = form
        self.exit_code = exit_codes.FINE
        self.kernel_threads = 0

    def results(self) -> Iterator[Process | ProcessError]:
        """The processes that are meant, as little of each as is shown; and the errors that the format shows itself."""
        for result in each_process(None, self.asked.looking):
            if isinstance(result, ProcessError):
                if self._is_told(result):
                    yield result
            elif isinstance(result, Process) and self._takes(result):
                if self.asked.stale:
                    self.exit_code = max(self.exit_code, exit_codes.of_process(result))
                yield result if self._with_objects else msgspec.structs.replace(result, objects=None)

    @property
    def _with_objects(self) -> bool:
        return self.asked.objects or (self.asked.stale and self.form == "text")

    def _is_told(self, error: ProcessError) -> bool:
        """Whether the answer itself tells of ERROR: text by the number, for most are but for root to look into."""
        if self.form == "json":
            return True
        if self.form != "text" or not os.geteuid():
            complain(f"process {error.pid}: {error.error}")
        return self.form == "text"

    def _takes(self, process: Process) -> bool:
        if self.asked.stale and not exit_codes.of_process(process):
            return False
        if not self.asked.selection.takes(process):
            return False
        if self.form == "text" and not self.asked.kernel_threads and is_kernel_thread(process):
            self.kernel_threads += 1
            return False
        return True
