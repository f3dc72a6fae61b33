"""The picture of a comparison: the same bytes each time, text that is text, and lengths that are the figures'."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from linkscope.model.compare import CompareDocument, Part
from linkscope.report.compare import plot
from linkscope.report.escape import escape
from tests.cli.conftest import environment
from tests.report.checks import hostile_text
from tests.report.comparisons import document, five, hostile, program, run, server, static

_REPOSITORY = Path(__file__).resolve().parents[2]
_DRAWING = "import sys; from linkscope.report.compare.plot import draw; from tests.report.comparisons import five; "


def _svg(compared: CompareDocument, folder: Path) -> str:
    plot.draw(compared, str(folder / "out.svg"))
    return (folder / "out.svg").read_text()


def _texts(svg: str) -> list[str]:
    """What stands in the picture, as an XML parser reads it."""
    return ["".join(found.itertext()).strip() for found in ET.fromstring(svg).iter() if found.tag.endswith("}text")]


def test_a_picture_names_every_program_and_its_figures(tmp_path: Path) -> None:
    texts = _texts(_svg(five(), tmp_path))
    for one in five().programs:
        assert texts.count(os.path.basename(one.path)) == 3
    assert {"From start to end", "Memory of all copies (PSS)", "Size of the file"} < set(texts)
    assert {"610 µs", "320 µs", "762 KiB", "glibc", "libraries' code"} < set(texts)


def test_files_alone_are_a_picture_of_their_sizes(tmp_path: Path) -> None:
    texts = _texts(_svg(document([program("a"), static("b")]), tmp_path))
    assert "Size of the file" in texts
    assert "Memory of all copies (PSS)" not in texts
    assert "From start to end" not in texts


def test_of_a_server_the_time_until_its_port_is_open_is_shown(tmp_path: Path) -> None:
    serving = run(seconds=None, server=server())
    texts = _texts(_svg(document([program("a", run=serving), static("b", run=serving)]), tmp_path))
    assert "Until the port is open" in texts
    assert texts.count("2.10 ms") == 2


def test_the_bytes_are_the_same_in_another_process_whatever_its_user_has_set(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nsvg.fonttype: path\ntext.usetex: True\n")
    code = _DRAWING + "draw(five(), sys.argv[1]); assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "other.svg")],
        cwd=_REPOSITORY,
        env=environment(PYTHONHASHSEED="7", MATPLOTLIBRC=str(tmp_path / "matplotlibrc"), PYTHONPATH=str(_REPOSITORY)),
        check=True,
        timeout=60,
    )
    svg = _svg(five(), tmp_path)
    assert (tmp_path / "other.svg").read_text() == svg
    assert not re.search(r"20\d\d-\d\d-\d\d", svg)


@pytest.mark.parametrize("suffix", ["png", "PDF"])
def test_other_formats_are_what_file_calls_them_and_the_same_each_time(
    tmp_path: Path, require_tool: Callable[[str], str], suffix: str
) -> None:
    """file(1) knows them by what is in them. A picture that is all one colour would be a fraction of the size."""
    drawn = []
    for number in range(2):
        plot.draw(five(), str(tmp_path / f"{number}.{suffix}"))
        drawn.append((tmp_path / f"{number}.{suffix}").read_bytes())
    said = subprocess.run(
        [require_tool("file"), "--brief", tmp_path / f"0.{suffix}"], capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith({"png": "PNG image data, 2160 x", "PDF": "PDF document"}[suffix])
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) > 20_000


def test_the_text_of_a_pdf_is_text(tmp_path: Path) -> None:
    """Its fonts are TrueType (FontFile2 of ISO 32000-1, 9.9), which can be searched and copied, and not outlines."""
    plot.draw(five(), str(tmp_path / "out.pdf"))
    content = (tmp_path / "out.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


@settings(max_examples=5, deadline=None)
@given(hostile_text)
def test_a_name_is_text_in_the_picture_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    compared = hostile(text)
    texts = _texts(_svg(compared, tmp_path_factory.mktemp("plot")))
    last = escape(os.path.basename(f"a/{text}"))
    if 0 < len(last) < 20 and last.isascii() and last == last.strip():
        assert any(last in one for one in texts)


def _axes() -> Axes:
    return Figure().subplots()


def _subjects(compared: CompareDocument) -> list[plot._Subject]:
    return plot._subjects(compared.programs)


def test_bars_are_as_long_as_the_parts_they_stand_for() -> None:
    parts = [Part(kind="debug", name=None, size=1_024), Part(kind="own-code", name=None, size=3_072)]
    axes = _axes()
    plot._size(axes, _subjects(document([program("a", size=4_096, parts=parts)])))
    bars = [(one.get_x(), one.get_width()) for one in axes.patches if isinstance(one, Rectangle) and one.get_width()]
    assert bars == [(0.0, 3.0), (3.0, 1.0)]
    assert axes.get_xlabel() == "KiB"


def test_lines_go_through_the_memory_of_each_number_of_copies() -> None:
    axes = _axes()
    plot._memory(axes, _subjects(document([program("a", run=run(pss=2 << 20, more=1 << 20))])))
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[1, 2], [4, 5], [16, 17]]  # type: ignore[union-attr]


def test_a_name_is_tied_to_where_its_own_line_ends() -> None:
    axes = _axes()
    programs = [program("a", run=run()), program("b", run=run(copies=run().copies[:2]))]
    plot._memory(axes, _subjects(document(programs)))
    ends = {text.get_text(): text.xy[0] for text in axes.texts if isinstance(text, Annotation)}
    assert ends == {"a": 16, "b": 4}


def test_an_error_bar_reaches_from_the_low_to_the_high_end() -> None:
    axes = _axes()
    plot._start(axes, _subjects(document([program("a", run=run(0.002))])))
    (bars,) = axes.containers
    ((start, end),) = bars[2][0].get_segments()
    assert (start[0], end[0]) == (pytest.approx(1.94), pytest.approx(2.1))


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.0, 9.9, 10.0, 10.0], [10.0], [3.0, 3.1, 8.0]])
def test_labels_do_not_overlap_and_stay_below_the_top(values: list[float]) -> None:
    placed = plot._spaced(values, 0.5, 10.0)
    assert placed == sorted(placed)
    assert all(after - before >= 0.5 - 1e-9 for before, after in pairwise(placed))
    assert placed[-1] <= 10.0


def test_many_programs_find_room(tmp_path: Path) -> None:
    programs = [
        msgspec.structs.replace(one, path=f"{one.path}-{number}") for number in range(4) for one in five().programs
    ]
    texts = _texts(_svg(document(programs), tmp_path))
    assert len([one for one in texts if one.startswith("hello-")]) == 3 * 20
