"""The programs that come with a library, which have it inside: what they print as their version is the judge."""

import re
import shutil
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
