"""A file that is read anew is wholly in the page cache, in pieces that do not depend on who wrote it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from linkscope.measure.command import Bounds
from linkscope.measure.counters import counts
from linkscope.measure.pagecache import read_anew
from tests.measure.nasty import command


def test_copies_of_a_program_have_as_many_page_faults_however_they_were_made(
    fixture_file: Callable[[str], Path], tmp_path: Path
) -> None:
    original = fixture_file("hello/hello-static")
    copies = [Path(shutil.copy(original, tmp_path / "whole")), tmp_path / "pieces"]
    with open(original, "rb") as source, open(copies[1], "wb", buffering=0) as target:
        while piece := source.read(4096):
            target.write(piece)
    copies[1].chmod(0o755)
    for path in (original, *copies):
        read_anew(str(path))
    faults = [counts(command(path), Bounds(timeout=30)).minor_faults for path in (original, *copies)]
    assert max(faults) - min(faults) <= 3  # by which runs of one file differ too: addresses are random


def test_the_whole_file_is_in_the_cache(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    fincore, path = require_tool("fincore"), tmp_path / "file"
    path.write_bytes(bytes(5_000_001))
    read_anew(str(path))
    said = subprocess.run(
        [fincore, "--noheadings", "--output", "PAGES", path], capture_output=True, text=True, check=True
    )
    assert int(said.stdout) == -(-5_000_001 // os.sysconf("SC_PAGESIZE"))


def test_what_cannot_be_read_is_nobodys_fault(tmp_path: Path) -> None:
    read_anew(str(tmp_path / "nothing"))
    read_anew(str(tmp_path))
    read_anew("/dev/null")
