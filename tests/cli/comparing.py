"""What the tests of `linkscope compare` share: few runs, and shells that do what they are told."""

import os
import shutil
from pathlib import Path

SHORT = ("--run", "--runs", "11", "--copies", "1,3")
CRITERIA = ["size", "start", "memory", "memory-copies", "independence", "updates", "portability"]


def shells(folder: Path, *names: str) -> list[Path]:
    """Copies of the shell, an ELF file that does what it is told."""
    made = [folder / name for name in names]
    for path in made:
        shutil.copy(os.path.realpath("/bin/sh"), path)
    return made
