"""The pages say what is so: their examples are run, what they name is there, and their lists are whole."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

import click
import msgspec
import pytest

from linkscope.cli.commands import COMMANDS, commands
from linkscope.model.document import AnalysisError
from linkscope.model.inspect import ClosureEntry, File, Problem, ProblemCode
from linkscope.model.pid import (
    Disk,
    Executable,
    Family,
    FindingCode,
    MappedObject,
    Origin,
    PidDocument,
    Process,
    ProcessFinding,
)
from linkscope.model.why import SearchStep, WhyDocument
from tests.cli.conftest import environment
from tests.conformance.rules import ALL

REPOSITORY: Final = Path(__file__).resolve().parent.parent
README: Final = REPOSITORY / "README.md"
SCOREBOARD: Final = REPOSITORY / "docs/conformance.md"
PAGES: Final = (README, REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").glob("*.md")))
_WRITERS: Final = {"_problem", "_warning", "Problem"}  # what makes a problem, first its code, then whether it is fatal
_WRITING: Final = ("linkscope/loader/problems.py", "linkscope/analysis/problems.py")
_SCOREBOARD_BLOCK: Final = re.compile(r"<!-- scoreboard -->\n(.*?)<!-- /scoreboard -->", re.DOTALL)

_PROCESS: Final = (PidDocument, Process, Executable, MappedObject, ProcessFinding, Family)
# One command of a ```console block: what was typed before it in the same block (cd), the command, what it prints.
Example = tuple[list[str], str, str]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def _examples(page: Path) -> list[Example]:
    found: list[Example] = []
    for block in _blocks(page, "console"):
        folders: list[str] = []
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if command.startswith("cd "):
                folders.append(command)
            else:
                found.append(([*folders], command, shown))
    return found


_EXAMPLES: Final = {f"{page.name}: {example[1]}": example for page in PAGES for example in _examples(page)}


def _run(folders: list[str], command: str) -> str:
    """What a shell prints for a command, in the folder that the `cd`s before it lead to from the project's own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    ran = subprocess.run(
        ["sh", "-c", "\n".join([*folders, command])],
        cwd=REPOSITORY,
        env=environment(COLUMNS="80", PATH=path, PYTHONUTF8="1", LC_ALL="C.UTF-8"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    return ran.stdout.decode()


def _shown_as(shown: str) -> re.Pattern[str]:
    """A pattern of the text: `…` stands for anything, and the length of this folder's name moves no line break."""
    return re.compile(".*?".join(r"\s+".join(map(re.escape, part.split(" "))) for part in _words(shown).split("…")))


def _words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("folders", "command", "shown"), _EXAMPLES.values(), ids=_EXAMPLES)
@pytest.mark.usefixtures("fixtures_dir")
def test_an_example_prints_what_the_page_shows(
    folders: list[str], command: str, shown: str, require_tool: Callable[[str], str]
) -> None:
    for tool in {word for word in shlex.split(command) if word.startswith("/usr/bin/")} | ({"jq"} & {*command.split()}):
        require_tool(tool.removeprefix("/usr/bin/"))
    answer = _words(_run(folders, command))
    assert _shown_as(shown).fullmatch(answer), f"shown:\n{shown}\nprinted:\n{answer}"


def test_there_are_examples() -> None:
    assert len(_blocks(README, "console")) >= 3


@pytest.mark.parametrize("code", _blocks(README, "python"))
def test_python_in_the_readme_runs(code: str) -> None:
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "libc.so.6" in ran.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Links, paths in the project, tests (`file::name`) and the `make` targets."""
    text = page.read_text()
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    for named in re.findall(
        r"[`\[]((?:linkscope|tests|fixtures|docs|benchmarks|\.ci)/[\w./-]*)(?:::(\w+))?[`\]]", text
    ):
        path, test = named
        assert (REPOSITORY / path).exists(), path
        assert not test or f"def {test}(" in (REPOSITORY / path).read_text(), f"{path}::{test}"
    for target in re.findall(r"`?make ([a-z][a-z-]*)", "\n".join(re.findall(r"`[^`\n]+`", text) + _blocks(page, "sh"))):
        assert target in targets, target


@pytest.mark.parametrize("page", [page for page in PAGES if page != SCOREBOARD], ids=lambda page: page.name)
def test_what_a_page_calls_a_command_or_an_option_is_one(page: Path) -> None:
    """The page of the scoreboard is about other programs' options as well."""
    text = page.read_text()
    context = click.Context(commands)
    top = [_command(name, context) for name in COMMANDS]
    below = [each for group in top if isinstance(group, click.Group) for each in group.commands.values()]
    options = {
        option
        for command in (*top, *below)
        for parameter in (*command.params, command.get_help_option(context))
        if parameter is not None
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for name in re.findall(r"`linkscope ([a-z]+)", text) + re.findall(r"^\$.*linkscope ([a-z]+)", text, re.MULTILINE):
        assert name in COMMANDS, name
    typed = [line for line in re.findall(r"`([^`\n]+)`", text) if line.startswith(("--", "linkscope "))]
    typed += [command for _, command, _ in _examples(page)]
    for line in typed:
        own = line.partition(" | jq")[0]
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", own):
            assert option in options, f"{option} in: {line}"


def _command(name: str, context: click.Context) -> click.Command:
    command = commands.get_command(context, name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_is_complete(name: str) -> None:
    """Each option says what it does, and there is an example that begins with the command."""
    command = _command(name, click.Context(commands))
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert all(option.help and option.help.endswith(".") for option in options)
    assert command.help
    assert f"linkscope {name} " in (command.epilog or "")


def test_the_readme_names_every_command_and_every_option_of_inspect() -> None:
    text = README.read_text()
    assert all(f"`linkscope {name} " in text for name in COMMANDS)
    options = [parameter.opts[0] for parameter in _command("inspect", click.Context(commands)).params]
    assert not [option for option in options if option.startswith("--") and option not in text and option != "--null"]


def _written_codes() -> dict[str, str]:
    """Each problem code that the program makes, with whether it is fatal: yes, no, or both."""
    fatal: dict[str, set[str]] = {}
    for path in _WRITING:
        for call in ast.walk(ast.parse((REPOSITORY / path).read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _WRITERS:
                named = {word.arg: word.value for word in call.keywords}
                code, said = [*call.args, *[named.get(name) for name in ("code", "fatal")]][:2]
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    fatal.setdefault(code.value, set()).update(_fatal(call.func.id, said))
    return {code: "both" if len(said) > 1 else said.copy().pop() for code, said in fatal.items()}


def _fatal(writer: str, said: ast.expr | None) -> set[str]:
    if writer == "_warning":
        return {"no"}
    return {"yes" if said.value else "no"} if isinstance(said, ast.Constant) else {"yes", "no"}


def test_every_problem_code_is_documented_as_it_is() -> None:
    """The table of docs/decisions.md: the codes of the model, and of each whether it is fatal."""
    text = (REPOSITORY / "docs/decisions.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (yes|no|both|—) \|", text, re.MULTILINE)
    written = _written_codes()
    assert [code for code, _ in rows] == list(get_args(ProblemCode))
    assert dict(rows) == {code: written.get(code, "—") for code in get_args(ProblemCode)}


def _levels() -> dict[str, str]:
    """Each finding's code with the level at which it is made: warning, note, or both."""
    levels: dict[str, set[str]] = {}
    for function in ast.parse((REPOSITORY / "linkscope/process/findings.py").read_text()).body:
        if not isinstance(function, ast.FunctionDef) or function.name in ("_finding", "_note"):
            continue
        called = {
            call.func.id
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        }
        words = {
            word.value for word in ast.walk(function) if isinstance(word, ast.Constant) and isinstance(word.value, str)
        }
        made = {
            level for level, sign in (("warning", "_finding"), ("note", "_note")) if sign in called or level in words
        }
        for code in words & set(get_args(FindingCode)):
            levels.setdefault(code, set()).update(made)
    return {code: "both" if len(made) > 1 else made.copy().pop() for code, made in levels.items()}


def test_every_finding_about_a_process_is_documented_as_it_is() -> None:
    text = (REPOSITORY / "docs/processes.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (warning|note|both) \|", text, re.MULTILINE)
    assert [code for code, _ in rows] == list(get_args(FindingCode))
    assert dict(rows) == _levels()


@pytest.mark.parametrize("words", [Origin, Disk], ids=["origin", "disk"])
def test_every_word_about_an_object_is_documented(words: object) -> None:
    text = (REPOSITORY / "docs/processes.md").read_text()
    assert not [word for word in get_args(words) if f"`{word}`" not in text]


def test_every_key_beyond_the_plain_ones_is_documented() -> None:
    """The tables' keys are fields of the documents; those with a default, which not every answer has, are all there."""
    text = (REPOSITORY / "docs/decisions.md").read_text()
    documents = (File, ClosureEntry, Problem, AnalysisError, WhyDocument, SearchStep, *_PROCESS)
    optional = {
        field.name
        for document in documents
        for field in msgspec.structs.fields(document)
        if not field.required and field.name not in ("schema", "contents")
    }
    assert not [key for key in (*optional, "requires_other", "hints") if f"`{key}`" not in text]


def test_every_rule_that_is_cited_is_one_of_the_conformance_tables() -> None:
    """In docs/loaders.md a rule of the tables stands in “ ”."""
    cited = re.findall(r"“([^”]+)”", (REPOSITORY / "docs/loaders.md").read_text())
    assert cited
    assert not [sentence for sentence in cited if sentence not in ALL]


def test_the_scoreboard_in_the_readme_is_the_one_that_was_made() -> None:
    shown, made = (_SCOREBOARD_BLOCK.search(page.read_text()) for page in (README, SCOREBOARD))
    assert shown is not None
    assert made is not None
    assert shown[1] == made[1]
    assert "LinkScope" in shown[1]
