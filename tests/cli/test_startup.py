"""What a plain `inspect` costs at its start: hardly more than its two libraries."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import environment

# Small modules of the standard library that neither click nor msgspec has loaded.
_SMALL = {"struct", "_struct", "binascii", "signal"}
_PROGRAM = """
import sys
import click, msgspec
before = set(sys.modules)
from linkscope.cli.invocation import run
status = run(sys.argv[1:])
print(status, *(set(sys.modules) - before), file=sys.stderr)
"""


@pytest.mark.parametrize("name", ["hello/hello-dynamic-pie", "hello/hello-static"])
def test_json_for_one_file_loads_click_and_msgspec_and_hardly_anything_else(
    fixture_file: Callable[[str], Path], name: str
) -> None:
    arguments = ["inspect", "--format", "json", str(fixture_file(name))]
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], env=environment(), capture_output=True, text=True, check=True
    )
    status, *loaded = ran.stderr.split()
    assert status == "0"
    assert {name for name in loaded if name.partition(".")[0] != "linkscope"} <= _SMALL
    others = {"linkscope.cli.why", "linkscope.cli.schema", "linkscope.analysis.why", "linkscope.report.text"}
    assert not others & set(loaded)


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    program = "import sys, linkscope; print(*(name for name in sys.modules if name.startswith('linkscope.')))"
    ran = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_the_public_functions_come_when_they_are_first_used() -> None:
    program = "import linkscope; print(linkscope.inspect.__module__, linkscope.why.__module__, hasattr(linkscope, 'x'))"
    ran = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["linkscope.analysis.inspect", "linkscope.analysis.why", "False"]
