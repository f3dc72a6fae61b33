"""A comparison as one picture: start time with its spread, memory against the number of copies, sizes broken down.

Importing it raises ModuleNotFoundError where matplotlib is not installed, which is an extra.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl  # noqa: TID253  # nobody imports this module who does not draw
import msgspec
from matplotlib.axes import Axes  # noqa: TID253
from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: TID253
from matplotlib.figure import Figure  # noqa: TID253
from matplotlib.ticker import FixedLocator  # noqa: TID253

from linkscope.model.compare import CompareDocument, Measurement, Program, Spread
from linkscope.model.quantities import duration, size
from linkscope.report.compare.names import called, narrowed
from linkscope.report.compare.parts import KINDS, kinds_of
from linkscope.report.escape import escape

# Colours that people with any kind of colour vision tell apart (Okabe and Ito, Color Universal Design, 2008), and for
# those who see none, and for more programs than colours, markers: as many, but one, so that pairs do not soon recur.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_INK, _FAINT, _GRID = "#222222", "#666666", "#e4e4e4"
_NAME = 28  # columns of a name
_WIDTHS = {"start": 4.4, "memory": 4.8, "size": 5.2}  # inches of a panel
_ROW, _MARGIN, _LOWEST = 0.42, 1.6, 2.2  # inches of a program, of what is not panel, of a panel at least
_LETTER = 0.026  # of the longest bar: room for a letter
_LEGEND: dict[str, Any] = {
    "frameon": False, "fontsize": 8, "handlelength": 1.1, "handleheight": 1.0, "columnspacing": 1.2, "borderaxespad": 0,
}  # fmt: skip
_TIE: dict[str, Any] = {
    "arrowstyle": "-", "alpha": 0.5, "linewidth": 0.7, "shrinkA": 2, "shrinkB": 4, "relpos": (0, 0.5),
}  # fmt: skip
_APART = 0.19  # inches from a name to the next: closer ones would be read as one
_BELOW, _FOOT = 0.5, 0.24  # inches from a panel to its legend, and for the caption
_UNITS = ((1024.0**3, "GiB"), (1024.0**2, "MiB"))
# What each format says of its origin; the day on which it was drawn is left out.
_FORMATS: dict[str, dict[str, str | None]] = {
    ".svg": {"Date": None, "Creator": "LinkScope"},
    ".png": {"Software": "LinkScope"},
    ".pdf": {"CreationDate": None, "Creator": "LinkScope"},
}
_LOOK: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and is drawn with the reader's fonts
    "pdf.fonttype": 42,  # TrueType: as above
    "savefig.dpi": 150,  # of a PNG
    "svg.hashsalt": "linkscope",  # what belongs together has the same names each time
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": 9.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "text.color": _INK,
    "grid.color": _GRID,
}


class _Subject(msgspec.Struct, frozen=True):
    """A program with what stands for it in every panel."""

    program: Program
    name: str
    colour: str
    marker: str


Panel = Callable[["Axes", Sequence[_Subject]], None]


def draw(document: CompareDocument, path: str) -> None:
    """Writes the picture to PATH, in the format of its suffix (_FORMATS), the same bytes for the same document.

    Without --run it is of sizes alone. Raises OSError where PATH cannot be written.
    """
    subjects = _subjects(document.programs)
    panels = [panel for panel in (_start, _memory, _size) if panel is _size or _has(document.programs, panel)]
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that the font lacks, with which the text is only measured
        mpl.rcdefaults()  # what a user has set for other plots is not meant for this one
        mpl.rcParams.update(_LOOK)
        widths = [_WIDTHS[panel.__name__.removeprefix("_")] for panel in panels]
        height = _height(len(subjects)) + _MARGIN
        figure = Figure(figsize=(sum(widths), height))
        FigureCanvasSVG(figure)
        figure.set_layout_engine("constrained", w_pad=0.14, h_pad=0.08, rect=(0, _FOOT / height, 1, 1 - _FOOT / height))
        places = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)[0]
        for axes, panel in zip(places, panels, strict=True):
            panel(axes, subjects)
        figure.text(0.008, 0.06 / height, _caption(document.measurement), color=_FAINT, fontsize=8)
        suffix = os.path.splitext(path)[1].lower()
        figure.savefig(path, format=suffix.removeprefix("."), metadata=_FORMATS[suffix])


def _height(programs: int) -> float:
    """Of a panel, in inches, about."""
    return max(_LOWEST, _ROW * programs)


def _subjects(programs: Sequence[Program]) -> list[_Subject]:
    return [
        _Subject(program, name, _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)])
        for place, (program, name) in enumerate(zip(programs, narrowed(called(programs), _NAME), strict=True))
    ]


def _has(programs: Sequence[Program], panel: Panel) -> bool:
    """Whether there is anything to show in PANEL."""
    if panel is _start:
        return any(_started(program) for program in programs)
    return any(program.run and program.run.copies for program in programs)


def _started(program: Program) -> Spread | None:
    """The time from exec to exit; of a server that until its port is open, of which only the median is told."""
    if program.run is None:
        return None
    if program.run.seconds is None and program.run.server is not None:
        ready = program.run.server.ready
        return Spread(median=ready, low=ready, high=ready)
    return program.run.seconds


def _start(axes: Axes, subjects: Sequence[_Subject]) -> None:
    """A point for each median, from its low to its high bound."""
    spreads = [_started(one.program) for one in subjects]
    longest = max(spread.high for spread in spreads if spread)
    unit, factor = ("s", 1.0) if longest >= 1 else ("ms", 1e3) if longest >= 1e-3 else ("µs", 1e6)
    for place, (one, spread) in enumerate(zip(subjects, spreads, strict=True)):
        if spread is None:
            continue
        median, low, high = (value * factor for value in (spread.median, spread.low, spread.high))
        axes.plot([0, median], [place, place], color=one.colour, linewidth=1.2, alpha=0.35)
        axes.errorbar(
            median, place, xerr=[[median - low], [high - median]], fmt=one.marker, color=one.colour,
            markersize=7, capsize=4, elinewidth=1.6,
        )  # fmt: skip
        _beside(axes, high, place, duration(spread.median))
    serving = any(one.program.run and one.program.run.server for one in subjects)
    axes.set_title("Until the port is open" if serving else "From start to end")
    axes.set_xlabel(f"{unit}, median" if serving else f"{unit}: median, low and high")
    axes.set_xlim(0, longest * factor * 1.22)
    _listed(axes, subjects)


def _memory(axes: Axes, subjects: Sequence[_Subject]) -> None:
    """A line for each program, whose slope is what one more copy costs; its name at the end."""
    most = max(copies.pss for one in subjects if one.program.run for copies in one.program.run.copies)
    factor, unit = _unit(most)
    ends: list[tuple[float, int, _Subject]] = []
    counts: set[int] = set()
    for one in subjects:
        copies = one.program.run.copies if one.program.run else []
        places = [each.count for each in copies]
        values = [each.pss / factor for each in copies]
        axes.plot(places, values, color=one.colour, marker=one.marker, markersize=6, linewidth=1.8)
        counts.update(places)
        if values:
            ends.append((values[-1], places[-1], one))
    top = most / factor * 1.06
    _at_their_ends(axes, sorted(ends, key=lambda end: end[0]), top)
    axes.set_title("Memory of all copies (PSS)")
    axes.set_xlabel("copies at once")
    axes.set_ylabel(unit)
    axes.set_ylim(0, top)
    axes.set_xlim(0, max(counts) * 1.02)
    axes.xaxis.set_major_locator(FixedLocator(sorted(counts)))
    axes.grid(axis="y")


def _at_their_ends(axes: Axes, ends: Sequence[tuple[float, int, _Subject]], top: float) -> None:
    """The names beside the panel, each tied to the end of its line, the lowest first, apart from one another."""
    spaced = _spaced([value for value, _, _ in ends], top * _APART / _height(len(ends)), top)
    for at, (value, count, one) in zip(spaced, ends, strict=True):
        axes.annotate(
            one.name, (count, value), xytext=(1.04, at / top), textcoords="axes fraction", color=one.colour,
            va="center", fontsize=9, annotation_clip=False, arrowprops=_TIE | {"color": one.colour},
        )  # fmt: skip


def _size(axes: Axes, subjects: Sequence[_Subject]) -> None:
    """A bar for each file, divided into what it consists of; a library's name in its code, where there is room."""
    programs = [one.program for one in subjects]
    longest = max((program.size for program in programs), default=0) or 1
    factor, unit = _unit(longest)
    kinds = kinds_of(programs)
    for kind in kinds:  # one of each, for the legend, which is to be in this order
        axes.barh(0, 0, color=KINDS[kind].colour, label=KINDS[kind].called)
    for place, program in enumerate(programs):
        start = 0.0
        for part in sorted(program.parts, key=lambda part: (kinds.index(part.kind), -part.size)):
            length = part.size / factor
            colour = KINDS[part.kind].colour
            axes.barh(place, length, left=start, height=0.62, color=colour, edgecolor="white", linewidth=0.4)
            if part.kind == "library-code" and part.name and part.size > len(part.name) * _LETTER * longest:
                name = escape(part.name)
                axes.text(start + length / 2, place, name, color="white", fontsize=8, ha="center", va="center")
            start += length
        _beside(axes, program.size / factor, place, size(program.size))
    axes.set_title("Size of the file")
    axes.set_xlabel(unit)
    axes.set_xlim(0, longest / factor * 1.22)
    _listed(axes, subjects)
    if kinds:
        axes.legend(loc="upper right", bbox_to_anchor=(1.02, -_BELOW / _height(len(subjects))), ncols=4, **_LEGEND)


def _listed(axes: Axes, subjects: Sequence[_Subject]) -> None:
    """The names from top to bottom, in the order of the command line."""
    axes.set_yticks(range(len(subjects)), [one.name for one in subjects], color=_INK)
    axes.set_ylim(len(subjects) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _beside(axes: Axes, value: float, place: int, text: str) -> None:
    axes.annotate(text, (value, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)


def _unit(most: float) -> tuple[float, str]:
    """By what bytes are divided, and what they are called then."""
    return next(((factor, name) for factor, name in _UNITS if most >= factor), (1024.0, "KiB"))


def _spaced(values: Sequence[float], least: float, top: float) -> list[float]:
    """Ascending VALUES moved LEAST apart, so that their labels can be read, none of them above TOP."""
    placed: list[float] = []
    for value in values:
        placed.append(max(value, placed[-1] + least) if placed else value)
    highest = top
    for place in reversed(range(len(placed))):
        placed[place] = min(placed[place], highest)
        highest = placed[place] - least
    return placed


def _caption(measurement: Measurement | None) -> str:
    if measurement is None:
        return "linkscope compare"
    rounds = f"{measurement.rounds} rounds" if measurement.rounds else ""
    said = ["linkscope compare", rounds, measurement.kernel, measurement.cpu]
    return " · ".join([escape(one) for one in said if one])
