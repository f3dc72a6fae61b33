"""`linkscope compare`: one program linked in several ways, side by side, from the files and by measurement."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from linkscope.analysis.compare import compare
from linkscope.analysis.request import Assumptions, Running
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.answers import answered
from linkscope.cli.completion import files
from linkscope.cli.help import Command, examples
from linkscope.cli.names import not_empty
from linkscope.cli.options import assumptions, formats
from linkscope.cli.output import complain, tell
from linkscope.cli.overwriting import refuse_losses
from linkscope.cli.progress import doing
from linkscope.errors import FileUnreadable
from linkscope.report.escape import quoted

if TYPE_CHECKING:
    from linkscope.model.compare import CompareDocument
    from linkscope.report.page import Page

_EXAMPLES = examples(
    "linkscope compare ./app-static ./app-dynamic",
    "linkscope compare --run ./app-static ./app-dynamic -- --version",
    "linkscope compare --run --input data.json ./jq-static ./jq-dynamic -- .",
    "linkscope compare --run --serve auto ./server-a ./server-b -- -p {port}",
    "linkscope compare --run --plot app.svg --format markdown ./app-*",
)
_AS_RUN = Running()
_MOST_COPIES = 1024
_MOST_PORT = 65535
_MOST_CODE = 255  # wait(2)
_PLOTTER = "matplotlib"
_PICTURES = (".svg", ".png", ".pdf")
_LONGEST = 86400  # seconds: a day
_FOR_RUN, _FOR_SERVE = ("--run", "which starts the programs"), ("--serve", "which says where the programs serve")
# What has no meaning without another option, and what has none with it.
_NEEDED = {
    "--runs": _FOR_RUN,
    "--copies": _FOR_RUN,
    "--timeout": _FOR_RUN,
    "--input": _FOR_RUN,
    "--accept": _FOR_RUN,
    "--output": _FOR_RUN,
    "--connections": _FOR_SERVE,
    "--serve": _FOR_RUN,
    "ARGS": _FOR_RUN,
}
_NOT_WITH = {
    "--input": ("--serve", "a server reads from its connections"),
    "--accept": ("--serve", "a server does not end by itself"),
    "--output": ("--serve", "a server writes to its connections"),
}


class _Comparing(Command):
    """A command whose words after `--` are the arguments of the programs that it runs: the parameter `arguments`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with what stands before the first `--`."""
        end = args.index("--") if "--" in args else len(args)
        ctx.params["arguments"] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """As click does, with those arguments."""
        return [*super().collect_usage_pieces(ctx), "[-- ARGS...]"]


def _numbers(_context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """The numbers of `1,4,16`, in their order, each once."""
    return _whole(value, range(1, _MOST_COPIES + 1), "1,4,16", parameter)


def _codes(_context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """The exit codes of `0,1`, as above."""
    return _whole(value, range(_MOST_CODE + 1), "0,1", parameter)


def _whole(value: str, bounds: range, example: str, parameter: click.Parameter) -> tuple[int, ...]:
    words = value.split(",")
    if not all(word.isascii() and word.isdecimal() and int(word) in bounds for word in words):
        raise click.BadParameter(
            f"{value!r} is no list of whole numbers from {bounds[0]} to {bounds[-1]}, as {example} is.", param=parameter
        )
    return tuple(sorted({int(word) for word in words}))


def _port(_context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """The number of a port; 0 for `auto`."""
    if value is None or value == "auto":
        return None if value is None else 0
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= _MOST_PORT):
        raise click.BadParameter(f"{value!r} is no port from 1 to {_MOST_PORT}, and not auto.", param=parameter)
    return int(value)


def _seconds(_context: click.Context, parameter: click.Parameter, value: float) -> float:
    """A time for which can be waited."""
    if not 0 < value <= _LONGEST:
        raise click.BadParameter(f"{value:g} is no number of seconds above 0 and up to {_LONGEST}.", param=parameter)
    return value


def _picture(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The name of a picture of a kind that can be drawn."""
    path = not_empty(context, parameter, value)
    if path is not None and not path.lower().endswith(_PICTURES):
        raise click.BadParameter(f"{path!r} ends neither in .svg nor in .png or .pdf.", param=parameter)
    return path


def _list(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


@click.command(cls=_Comparing, epilog=_EXAMPLES)
@click.argument("paths", metavar="A B...", nargs=-1, shell_complete=files)
@formats("text", "json", "markdown")
@click.option("--run", is_flag=True, help="Start the programs, many times (see --runs), and measure them.")
@click.option(
    "--runs",
    metavar="N",
    type=click.IntRange(min=1),
    help="With --run: so many rounds, in each of which every program runs once; by default 11 at least, and as many as "
    "make the medians certain. A first run, warm-ups, counters and copies come on top: as it is, a slow program is "
    "started about 60 times, and a quick one up to 1200 times. How often is told beforehand.",
)
@click.option(
    "--copies",
    metavar="N,N",
    callback=_numbers,
    default=_list(_AS_RUN.copies),
    show_default=True,
    help="With --run: how many copies are there at once when memory is looked at.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    callback=_seconds,
    default=_AS_RUN.timeout,
    show_default=True,
    help="With --run: a program that takes longer is ended, and is an error.",
)
@click.option(
    "--input",
    "source",
    metavar="FILE",
    callback=not_empty,
    shell_complete=files,
    help="With --run: what each run reads from its standard input, from the start of FILE. Otherwise that is empty.",
)
@click.option(
    "--accept",
    "accepted",
    metavar="CODES",
    callback=_codes,
    default=_list(_AS_RUN.accepted),
    show_default=True,
    help="With --run: the exit codes that are a good end, such as 0,1 of grep and diff.",
)
@click.option(
    "--output",
    type=click.Choice(["null", "pipe", "file"]),
    default=_AS_RUN.output,
    show_default=True,
    help="With --run: where standard output goes while it is measured: to /dev/null, for which some programs do less "
    "work, to a pipe that is read, or to a temporary file.",
)
@click.option(
    "--serve",
    metavar="PORT",
    callback=_port,
    help="With --run: the programs are servers on this port of the loopback interface; auto chooses a free one. "
    "{port} in ARGS stands for it.",
)
@click.option(
    "--connections",
    metavar="N,N",
    callback=_numbers,
    default=_list(_AS_RUN.connections),
    show_default=True,
    help="With --serve: how many connections are open at once when memory is looked at.",
)
@click.option(
    "--plot",
    metavar="FILE",
    callback=_picture,
    shell_complete=files,
    help="Draw the figures into FILE, whose name ends in .svg, .png or .pdf.",
)
@click.option(
    "--store",
    metavar="FILE",
    callback=not_empty,
    shell_complete=files,
    help="The signatures by which libraries are found inside, instead of the user's own (see `linkscope sigs`).",
)
@click.option("--no-shipped", "own", is_flag=True, help="Without the signatures that LinkScope brings along.")
@assumptions
@interrupts.tidied_up()
def command(
    paths: tuple[str, ...],
    form: str,
    run: bool,
    runs: int | None,
    copies: tuple[int, ...],
    timeout: float,
    source: str | None,
    accepted: tuple[int, ...],
    output: Literal["null", "pipe", "file"],
    serve: int | None,
    connections: tuple[int, ...],
    plot: str | None,
    store: str | None,
    own: bool,
    arguments: tuple[str, ...],
    assumptions: Assumptions,
) -> int:
    """The same program linked in several ways, laid side by side: what is better by which criterion, and by how much.

    Without --run nothing is started, and the figures are those of the files: sizes and what they consist of, what would
    be mapped, relocations, what an update of a library means, on which systems it starts. With --run each program is
    started, with ARGS: time, page faults, memory of one copy and of many. A difference that is within the noise is
    called a tie. No process of a run is left behind; but what a program does to files, it does as often as it is
    started.

    Exit code: 0, or 2 if something could not be analysed, or a program failed, hung or left processes behind.
    """
    if len(paths) < 2:
        raise click.UsageError("Name two programs at least, to be compared.")
    _refuse_misfits(_given(arguments))
    if run:
        _refuse_other_places(assumptions)
    if source is not None:
        _refuse_unreadable(source)
    if serve == 0:
        _refuse_untold(arguments)
    if plot is not None:
        refuse_losses([plot], [*paths, *([] if source is None else [source])])
        _refuse_vain_work(plot)
    running = None
    if run:
        running = Running(
            arguments=arguments,
            input=source,
            accepted=accepted,
            output=output,
            rounds=runs,
            copies=copies,
            timeout=timeout,
            serve=serve,
            connections=connections,
            estimated=lambda estimate: tell(f"{estimate}\n"),
        )
        tell(f"linkscope runs {', '.join(quoted(path) for path in paths)}, many times\n")
    with _measuring() if run else doing() as told:
        document = compare(paths, assumptions, running, store=store, shipped=not own, told=told)
    _answer(document, form)
    if plot is not None:
        _draw(document, plot)
    return exit_codes.FAILED if document.errors else exit_codes.FINE


@contextmanager
def _measuring() -> Iterator[Callable[[str], None]]:
    """As `doing`; and who ends it by a signal is told how far it had come, and that nothing of it is left."""
    work = ""

    def kept(said: str) -> None:
        nonlocal work
        work = said
        told(said)

    try:
        with doing() as told:
            yield kept
    except interrupts.Ended as ended:
        how = "interrupted" if ended.number == signal.SIGINT else f"ended by {signal.Signals(ended.number).name}"
        how_far = f" ({work}); nothing was left running" if work else " before anything was run"
        with suppress(BrokenPipeError):  # the exit code is that of the signal
            complain(how + how_far)
        raise


def _given(arguments: tuple[str, ...]) -> set[str]:
    """The options of the command line, by their names there, and ARGS."""
    context = click.get_current_context()
    options = {
        parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    }
    return options | {"ARGS"} if arguments else options


def _refuse_misfits(given: Collection[str]) -> None:
    """Options that would have no effect are a mistake."""
    for option, (needed, why) in _NEEDED.items():
        if option in given and needed not in given:
            raise click.UsageError(f"{option} is for {needed}, {why}.")
    for option, (other, why) in _NOT_WITH.items():
        if option in given and other in given:
            raise click.UsageError(f"{option} does not go with {other}: {why}.")


def _refuse_unreadable(source: str) -> None:
    """What could not be read by the programs either. Raises FileUnreadable."""
    from linkscope.measure.feeding import opened  # without --run nothing of measuring is needed

    os.close(opened(source))


def _refuse_untold(arguments: tuple[str, ...]) -> None:
    """Nobody could say to the programs which port is free."""
    from linkscope.measure.ports import PLACE  # as above

    if not any(PLACE in word for word in arguments):
        raise click.UsageError(f"--serve auto chooses a port, which {PLACE} stands for: write that among ARGS.")


def _refuse_other_places(assumptions: Assumptions) -> None:
    """What is started runs here, on this processor, with the caller's rights and in the caller's folder."""
    for name in ("root", "cwd", "secure", "cpu"):
        if getattr(assumptions, name) != getattr(Assumptions(), name):
            raise click.UsageError(f"--run starts the programs as they are, here: --{name} does not go with it.")


def _refuse_vain_work(plot: str) -> None:
    """What would be found wrong with the picture when everything has been measured. Raises FileUnreadable."""
    from importlib.util import find_spec

    if find_spec(_PLOTTER) is None:
        raise _absent(_PLOTTER)
    folder = os.path.dirname(plot) or os.curdir
    error = 0
    if os.path.isdir(plot):
        error = errno.EISDIR
    elif not os.path.isdir(folder):
        error = errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT
    elif not os.access(plot if os.path.exists(plot) else folder, os.W_OK):
        error = errno.EACCES
    if error:
        raise FileUnreadable.from_os_error(plot, OSError(error, ""))


def _absent(library: str | None) -> click.UsageError:
    return click.UsageError(f"--plot needs {library}, which is not installed: pip install 'linkscope[plot]'")


def _answer(document: CompareDocument, form: str) -> None:
    answered(document, form, _markdown if form == "markdown" else _text)


def _text(document: CompareDocument, page: Page) -> Iterable[str]:
    from linkscope.report.compare.text import render  # another format does not need it

    return render(document, page)


def _markdown(document: CompareDocument, _page: Page) -> Iterable[str]:
    from linkscope.report.compare.markdown import render  # as above

    return render(document)


def _draw(document: CompareDocument, path: str) -> None:
    """The plot, by a library that is only there if it was asked for."""
    try:
        from linkscope.report.compare import plot
    except ModuleNotFoundError as absent:
        raise _absent(absent.name) from absent
    try:
        plot.draw(document, path)
    except OSError as error:
        raise FileUnreadable.from_os_error(path, error) from error
