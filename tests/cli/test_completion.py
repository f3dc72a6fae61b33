"""Real shells complete command lines: commands, options, values and names of files, wherever in a word they stand."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from linkscope.analysis import sought
from linkscope.analysis.sought_names import known_names
from linkscope.cli import completion
from linkscope.cli.commands import COMMANDS
from linkscope.contents import languages
from linkscope.policy import catalogue
from tests.cli.conftest import REPOSITORY, Linkscope, environment
from tests.cli.shells import Terminal

SHELLS = ["bash", "zsh", "fish"]
_READY = {
    "bash": "source <(linkscope completion bash)",
    "zsh": "autoload -Uz compinit; compinit -u -D; source <(linkscope completion zsh)",
    "fish": "set -g fish_autosuggestion_enabled 0; linkscope completion fish | source",
}
# A command that has what `linkscope` has in few places: values with a colon, and files behind an = sign in a value.
_SAMPLE = """
import os, sys
import click
from linkscope.cli.completion import format_and_file, offered
from linkscope.cli.completion_answer import answer

def releases(context, parameter, incomplete):
    return offered([("alpine:3.19", ""), ("debian:11", "GNU: first"), ("debian:12", "")], incomplete)

@click.command(params=[
    click.Option(["--target"], shell_complete=releases),
    click.Option(["--output"], shell_complete=format_and_file("sarif", "markdown")),
])
def sample(): ...

sys.exit(answer(sample, os.environ["_LINKSCOPE_COMPLETE"]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a program called linkscope, one called so in a folder `sample`, and a few files."""
    home = tmp_path_factory.mktemp("home")
    for name in ("report.txt", "my report", "folder/inner", "foot"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).touch()
    for name, program in (("bin", "from linkscope.cli.main import main; main()"), ("sample", _SAMPLE)):
        script = home / name / "linkscope"
        script.parent.mkdir()
        script.write_text(f"#!{sys.executable}\n{program}\n")
        script.chmod(0o755)
    return home


def _surroundings(folder: Path) -> dict[str, str]:
    return environment(PATH=os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", os.defpath)]))


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, folder: Path, require_tool: Callable[[str], str]) -> Iterator[Terminal]:
    """Each shell, with the script loaded as the help says; one for all tests, since starting one takes its time."""
    name: str = request.param
    terminal = Terminal(name, require_tool(name), folder, _surroundings(folder))
    terminal.run(_READY[name])
    yield terminal
    terminal.close()


def test_a_tab_completes_commands_options_values_and_files(shell: Terminal) -> None:
    expected = {
        "linkscope insp\t": "linkscope inspect",
        "linkscope --ver\t": "linkscope --version",
        "linkscope inspect --symb\t": "linkscope inspect --symbols",
        "linkscope inspect --format jso\tl\t": "linkscope inspect --format jsonl",
        "linkscope inspect --format=pa\t": "linkscope inspect --format=paths",
        "linkscope inspect --secure a\t": "linkscope inspect --secure auto",
        "linkscope inspect rep\t": "linkscope inspect report.txt",
        "linkscope inspect --files-from rep\t": "linkscope inspect --files-from report.txt",
        "linkscope inspect --files-from=rep\t": "linkscope inspect --files-from=report.txt",
        "linkscope inspect folder/in\t": "linkscope inspect folder/inner",
        "linkscope inspect -- rep\tfold\tin\t": "linkscope inspect -- report.txt folder/inner",
        "linkscope completion z\t": "linkscope completion zsh",
        "linkscope who bz\t": "linkscope who bzip2",
        "linkscope who zl\t-\trep\t": "linkscope who zlib-ng report.txt",
        "linkscope who folder/in\t": "linkscope who folder/inner",
        "linkscope who --thorough openss\t": "linkscope who --thorough openssl",
        "X=1 linkscope insp\t": "X=1 linkscope inspect",
        "bin/linkscope insp\t": "bin/linkscope inspect",
    }
    assert {typed: " ".join(shell.completed(typed)) for typed in expected} == expected


def test_a_name_with_a_space_is_quoted(shell: Terminal) -> None:
    assert shell.completed("linkscope inspect my\t") == ["linkscope", "inspect", "my report"]


@pytest.mark.parametrize("option", ["--root ", "--root="])
def test_where_a_folder_is_wanted_no_file_is_offered(shell: Terminal, option: str) -> None:
    """`foot` begins like the folder, so the word stays unfinished where files count too."""
    *_, completed = shell.completed(f"linkscope inspect {option}fo\t")
    assert completed.removeprefix("--root=").rstrip("/") == "folder"


def test_a_colon_or_an_equals_sign_in_a_value_breaks_nothing(shell: Terminal) -> None:
    expected = {
        "sample/linkscope --target alp\t": "sample/linkscope --target alpine:3.19",
        "sample/linkscope --target debian:12\t": "sample/linkscope --target debian:12",
        "sample/linkscope --target deb\t2\t": "sample/linkscope --target debian:12",
        "sample/linkscope --target=deb\t1\t": "sample/linkscope --target=debian:11",
        "sample/linkscope --output sar\trep\t": "sample/linkscope --output sarif=report.txt",
        "sample/linkscope --output mark\tfold\tin\t": "sample/linkscope --output markdown=folder/inner",
    }
    assert {typed: " ".join(shell.completed(typed)) for typed in expected} == expected


@pytest.mark.parametrize(
    ("name", "place", "ready"),
    [
        (
            "bash",
            ".local/share/bash-completion/completions/linkscope",
            "source /usr/share/bash-completion/bash_completion",
        ),
        ("zsh", ".zfunc/_linkscope", "fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit -u -D"),
        ("fish", ".config/fish/completions/linkscope.fish", "set -g fish_autosuggestion_enabled 0"),
    ],
)
def test_a_script_is_found_where_the_shell_looks_for_it(
    name: str, place: str, ready: str, folder: Path, require_tool: Callable[[str], str]
) -> None:
    """The places that the help names, without a word about it in the shell's own settings."""
    if name == "bash":
        require_tool("/usr/share/bash-completion/bash_completion")
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes((REPOSITORY / f"linkscope/cli/shells/linkscope.{name}").read_bytes())
    terminal = Terminal(name, require_tool(name), folder, _surroundings(folder))
    terminal.run(ready)
    try:
        assert terminal.completed("linkscope insp\t--symb\t") == ["linkscope", "inspect", "--symbols"]
    finally:
        terminal.close()


def test_a_choice_stands_beside_its_help(folder: Path, require_tool: Callable[[str], str]) -> None:
    """fish can be asked for its list without a terminal."""
    asking = "linkscope completion fish | source; complete -C 'linkscope p'"
    command = [require_tool("fish"), "--no-config", "-c", asking]
    ran = subprocess.run(command, env=_surroundings(folder), capture_output=True, text=True)
    assert ran.stdout.splitlines() == [f"{name}\t{COMMANDS[name].summary}" for name in COMMANDS if name[0] == "p"]


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_what_could_follow_is_all_there(shell: Terminal) -> None:
    """bash puts all of it into the line with the key Alt-*."""
    assert shell.completed("linkscope \x1b*") == ["linkscope", *COMMANDS]
    assert "--root" in shell.completed("linkscope inspect --\x1b*")


def test_the_file_of_a_shell_is_what_the_command_prints(linkscope: Linkscope) -> None:
    for name in SHELLS:
        script = (REPOSITORY / f"linkscope/cli/shells/linkscope.{name}").read_bytes()
        assert linkscope("completion", name).stdout == script
        assert linkscope(env={"_LINKSCOPE_COMPLETE": f"{name}_source"}).stdout.rstrip() == script.rstrip()


@pytest.mark.parametrize(("program", "options"), [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_a_script_has_no_fault_of_syntax(program: str, options: list[str], require_tool: Callable[[str], str]) -> None:
    script = REPOSITORY / f"linkscope/cli/shells/linkscope.{program}"
    checked = subprocess.run([require_tool(program), *options, script], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_shell_that_there_is_no_script_for(linkscope: Linkscope) -> None:
    ran = linkscope("completion", "tcsh")
    assert ran.returncode == 2
    assert b"'bash', 'zsh', 'fish'" in ran.stderr


@pytest.mark.parametrize("typed", ["linkscope nothing ", "linkscope /bin/sh ", "linkscope inspect --format nothing "])
def test_a_line_that_cannot_be_right_prints_no_error(linkscope: Linkscope, typed: str) -> None:
    ran = linkscope(env={"_LINKSCOPE_COMPLETE": "bash_complete", "COMP_WORDS": typed})
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_rules_and_targets_are_offered_by_their_names() -> None:
    context, parameter = click.Context(click.Command("sample")), click.Option(["--sample"])
    known = [name for name in catalogue.rules() if name.startswith("missing-")]
    assert known
    assert [item.value for item in completion.rules(context, parameter, "missing-")] == known
    levels = completion.rule_and_level("error", "off")
    assert [item.value for item in levels(context, parameter, "missing-")] == [f"{name}=" for name in known]
    assert [item.value for item in levels(context, parameter, "missing-library=o")] == ["missing-library=off"]
    systems = [item.value for item in completion.targets(context, parameter, "debian:")]
    assert {"debian:11", "debian:12"} <= set(systems)


def test_the_libraries_that_are_offered_are_those_that_are_known() -> None:
    """They are read from the tables by a shorter way."""
    known = {library.name for library in sought.libraries()} | {runtime.name for runtime in languages.runtimes()}
    assert known_names() == sorted(known)
    context, parameter = click.Context(click.Command("sample")), click.Option(["--sample"])
    offered = [item.value for item in completion.libraries(context, parameter, "zl")]
    assert offered == ["zlib", "zlib-ng"]


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("linkscope insp", set()),
        ("linkscope why --fo", {"linkscope.cli.why"}),
        ("linkscope who zl", {"linkscope.cli.who"}),
    ],
    ids=repr,
)
def test_no_command_is_imported_for_its_name(typed: str, wanted: set[str]) -> None:
    program = (
        "import sys; from linkscope.cli.invocation import run\nrun(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)"
    )
    asking = environment(_LINKSCOPE_COMPLETE="fish_complete", COMP_WORDS=typed)
    ran = subprocess.run([sys.executable, "-c", program], env=asking, capture_output=True, text=True, check=True)
    commands = {entry.module for entry in COMMANDS.values()} - {"linkscope.cli.completion_script"}
    loaded = set(ran.stderr.split())
    assert loaded & commands == wanted
    assert not loaded & {"rich", "elftools", "lief", "numpy", "sqlite3", "subprocess", "tomllib"}
