"""Programs that have a library inside: what it says itself, when it is asked, is the judge of its version."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contents.samples import versions_in
from tests.elf.samples import tool
from tests.oracle.availability import Unavailable


@pytest.mark.parametrize(("program", "library"), [("zstd", "zstd"), ("lz4", "lz4")])
def test_the_version_is_the_one_that_the_program_prints(program: str, library: str) -> None:
    path = shutil.which(program)
    if path is None:
        raise Unavailable(f"{program} is not here (Debian package {library})")
    said = re.search(r"v?(\d+\.\d+\.\d+)", tool(path, "--version"))
    assert said is not None
    assert versions_in(Path(path).resolve())[library] == said[1]


@pytest.mark.parametrize("kind", ["static", "static-pie"])
def test_of_a_static_openssl_the_version_is_told_whoever_built_it(
    fixture_file: Callable[[str], Path], kind: str
) -> None:
    """Nothing in the client asks for the version, and a later security update has nearly all of the code as well."""
    said = tool("dpkg-query", "-W", "-f", "${source:Upstream-Version}", "libssl-dev")
    assert versions_in(fixture_file(f"compare/client-{kind}"))["openssl"] == said
