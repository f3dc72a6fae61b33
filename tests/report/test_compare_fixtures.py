"""What `make compare-demo` compares is what it is called: the same program, linked in five ways, as readelf sees it."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# How a file is linked, by the end of its name: its type, and whether a loader is asked for.
_LINKED = {
    "dynamic-pie": ("DYN", True),
    "dynamic-nonpie": ("EXEC", True),
    "openssl-inside": ("DYN", True),
    "static": ("EXEC", False),
    "static-pie": ("DYN", False),
    "musl-static": ("EXEC", False),
}
_FIVE = ("dynamic-pie", "dynamic-nonpie", "static", "static-pie", "musl-static")
_FILES = [
    *(f"hello/hello-{how}" for how in _FIVE),
    *(f"compare/server-{how}" for how in _FIVE),
    *(f"compare/client-{how}" for how in ("dynamic-pie", "dynamic-nonpie", "openssl-inside", "static", "static-pie")),
]


def _readelf(path: Path, *options: str) -> str:
    return subprocess.run(["readelf", "-W", *options, path], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", _FILES)
def test_a_program_to_compare_is_linked_as_it_is_called(
    name: str, fixture_file: Callable[[str], Path], require_tool: Callable[[str], str]
) -> None:
    require_tool("readelf")
    path = fixture_file(name)
    kind, asks_for_loader = _LINKED[re.sub("^(hello|server|client)-", "", path.name)]
    said = _readelf(path, "--file-header", "--program-headers")
    assert re.search(rf"Type: +{kind} ", said)
    assert ("INTERP" in said) == asks_for_loader
    needed = re.findall(r"\(NEEDED\).*\[(\S+)\]", _readelf(path, "--dynamic"))
    assert bool(needed) == asks_for_loader
    if "client" in name:
        assert any("ssl" in one for one in needed) == ("dynamic" in name)


@pytest.mark.parametrize("name", [name for name in _FILES if "client" in name])
def test_the_client_of_openssl_talks_to_itself_whatever_it_is_linked_with(
    name: str, fixture_file: Callable[[str], Path]
) -> None:
    ran = subprocess.run([fixture_file(name)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(r"TLSv1\.3 TLS_[A-Z0-9_]+\n", ran.stdout)
