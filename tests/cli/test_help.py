"""Every command says what it is for, with an example, and has its document described."""

import json

import jsonschema
import pytest

from linkscope import __version__
from linkscope.cli.commands import COMMANDS
from tests.cli.conftest import Linkscope

_WITH_DOCUMENT = [name for name, entry in COMMANDS.items() if entry.document]


def test_the_list_of_commands_has_each_with_its_purpose(linkscope: Linkscope) -> None:
    shown = linkscope("--help").stdout.decode()
    assert all(name in shown and entry.summary.split()[0] in shown for name, entry in COMMANDS.items())


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)
@pytest.mark.parametrize("asking", ["-h", "--help"])
def test_help_ends_with_an_example_and_fits_80_columns(linkscope: Linkscope, command: list[str], asking: str) -> None:
    ran = linkscope(*command, asking)
    text, _, shown = ran.stdout.decode().partition("Example")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert " ".join(["    linkscope", *command]) in shown
    assert all(len(line) <= 80 for line in (text + shown).splitlines())


def test_the_version(linkscope: Linkscope) -> None:
    assert linkscope("--version").stdout == f"linkscope {__version__}\n".encode()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("linkscope ", b"plain,inspect\n"),
        ("linkscope inspect --fo", b"plain,--format\n"),
        ("linkscope inspect --format js", b"plain,jsonl\n"),
        ("linkscope inspect --he", b"plain,--help\n"),
        ("linkscope inspect /usr/b", b"file,/usr/b\n"),
        ("linkscope why --root im", b"dir,im\n"),
    ],
)
def test_a_shell_is_told_what_could_come_next(linkscope: Linkscope, words: str, offered: bytes) -> None:
    asking = {"_LINKSCOPE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert offered in linkscope(env=asking).stdout


@pytest.mark.parametrize("name", _WITH_DOCUMENT)
def test_a_schema_is_a_schema(linkscope: Linkscope, name: str) -> None:
    schema = json.loads(linkscope("schema", name).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$defs"][schema["$ref"].removeprefix("#/$defs/")]["properties"]["schema"]["enum"] == [
        f"linkscope/{'pid' if name == 'ps' else name}/1"
    ]


def test_a_schema_that_there_is_not(linkscope: Linkscope) -> None:
    assert linkscope("schema", "nothing").returncode == 2
