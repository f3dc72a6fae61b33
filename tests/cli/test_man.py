"""The manual page: the readers of manual pages take it without a complaint, and nothing is left out of it."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from linkscope import __version__
from linkscope.cli import roff
from linkscope.cli.commands import COMMANDS, commands
from tests.cli.conftest import REPOSITORY, Linkscope

# Not for people: how a shell asks what could come next.
_BETWEEN_PROGRAMS = {"_LINKSCOPE_COMPLETE", "COMP_WORDS", "COMP_TAIL"}
_DAY = {"SOURCE_DATE_EPOCH": "86400"}


@pytest.fixture
def page(linkscope: Linkscope, tmp_path: Path) -> Path:
    """The page as `linkscope man` prints it, with a date."""
    ran = linkscope("man", env=_DAY)
    assert (ran.returncode, ran.stderr) == (0, b"")
    path = tmp_path / "linkscope.1"
    path.write_bytes(ran.stdout)
    return path


@pytest.fixture
def shown(page: Path, require_tool: Callable[[str], str]) -> str:
    """The text that a reader sees, in one line; without backquotes, which are bold letters mostly."""
    command = [require_tool("groff"), "-man", "-Tutf8", "-P-cbou", "-rLL=200n", str(page)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return " ".join(text.replace("`", "").split())


def test_groff_has_no_complaint(page: Path, require_tool: Callable[[str], str]) -> None:
    checked = subprocess.run([require_tool("groff"), "-man", "-ww", "-z", str(page)], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_mandoc_has_no_complaint(page: Path, require_tool: Callable[[str], str]) -> None:
    command = [require_tool("mandoc"), "-man", "-Tlint", "-Wall", str(page)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_index_of_manual_pages_takes_its_name(page: Path, require_tool: Callable[[str], str]) -> None:
    """lexgrog reads what whatis and apropos find."""
    named = subprocess.run([require_tool("lexgrog"), page], capture_output=True, text=True)
    purpose = (commands.help or "").rstrip(".")
    assert named.stdout == f'{page}: "linkscope - {purpose[0].lower()}{purpose[1:]}"\n'


def _all(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _all(below, click.Context(below, info_name=name, parent=context))


def _as_shown(text: str | None) -> str:
    return " ".join((text or "").replace("`", "").replace("\b", "").split())


def test_every_command_option_and_example_stands_in_it(shown: str) -> None:
    for command, context in _all(commands, click.Context(commands, info_name="linkscope")):
        assert context.command_path in shown
        assert _as_shown(command.help) in shown
        for parameter in command.get_params(context):
            declared, explained = parameter.get_help_record(context) or ("", "")
            if explained:
                assert f"{declared} {_as_shown(explained)}" in shown
        for line in (command.epilog or "").splitlines():
            assert line.startswith("Example") or _as_shown(line) in shown


def test_every_variable_of_the_environment_that_is_read_stands_in_it(shown: str) -> None:
    read: set[str] = set()
    for source in (REPOSITORY / "linkscope").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in ("os.environ.get", "os.getenv"):
                read.add(ast.literal_eval(node.args[0]))
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
                read.add(ast.literal_eval(node.slice))
    # What stands for the loader's environment is a table of words.
    circumstances = (REPOSITORY / "linkscope/analysis/circumstances.py").read_text()
    read |= set(re.findall(r'"(LD_[A-Z_]+|GLIBC_[A-Z_]+)"', circumstances))
    assert {"NO_COLOR", "LD_PRELOAD"} <= read
    assert not [name for name in read - _BETWEEN_PROGRAMS if name not in shown]


def test_every_exit_code_stands_in_it(shown: str) -> None:
    section = shown.partition("EXIT STATUS")[2].partition("ENVIRONMENT")[0]
    source = ast.parse((REPOSITORY / "linkscope/cli/exit_codes.py").read_text())
    codes = [
        node.value.value
        for node in source.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    ]
    assert len(codes) == 5
    assert [int(code) for code in re.findall(r"(?<![\w.])\d+(?= [A-Z])", section)] == codes


def test_the_same_sources_give_the_same_page(linkscope: Linkscope) -> None:
    """Only SOURCE_DATE_EPOCH dates it, as reproducible-builds.org has it."""
    first, second = linkscope("man").stdout, linkscope("man").stdout
    assert first == second
    assert f'.TH LINKSCOPE 1 "" "linkscope {__version__}"'.encode() in first
    assert b'.TH LINKSCOPE 1 "1970-01-02"' in linkscope("man", env=_DAY).stdout


@pytest.mark.parametrize(
    "text",
    [
        r"a \n and \fB, a \(bu and \\ too",
        ".TH is no request here",
        "'quoted' and `quoted' and \"quoted\"",
        "--long-option, -s, x-y, ~/.config, 2^3",
        "„Größe“ … – → € 🐧",
        "%s \" # $ .. ' . .",
    ],
)
@pytest.mark.parametrize("reader", ["groff", "mandoc"])
def test_a_reader_shows_the_text_as_it_was(text: str, reader: str, require_tool: Callable[[str], str]) -> None:
    lines = ['.TH X 1 "1970-01-02" x x', ".SH NAME", "x", *roff.verbatim([text]), ".SH LAST", *roff.paragraph(text)]
    command = {
        "groff": [require_tool("groff"), "-man", "-Tutf8", "-P-cbou", "-rLL=200n"],
        "mandoc": [require_tool("mandoc"), "-man", "-Tutf8", "-Owidth=200"],
    }[reader]
    ran = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    plain = re.sub(".\b", "", ran.stdout)  # overstriking: bold and underlined letters
    assert plain.count(text) == 2


def test_the_list_of_commands_names_the_page() -> None:
    assert "man" in COMMANDS
