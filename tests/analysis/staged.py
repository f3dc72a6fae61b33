"""What the tests of origins set up beside a program: another file in its place, and a root of its own."""

import os
from pathlib import Path
from typing import Final

from tests.oracle.elfwriter import shared_object

# The environment of a command that sets up a root.
PATH: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def replace_library(path: Path, **recipe: object) -> None:
    """Another library takes the place, as package managers do it."""
    shared_object(path.with_suffix(".new"), **recipe)
    path.with_suffix(".new").rename(path)


def in_root(base: str, *argv: str) -> list[str]:
    """The command that runs a program in a root, where it sees /proc, in a mount namespace that goes with it."""
    os.makedirs(f"{base}/proc", exist_ok=True)
    script = 'mount --bind /proc "$0/proc" && exec chroot "$0" "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, base, *argv]
