"""Programs from PyPI that install, or judge, what we ship: each kept in one virtual environment outside the project.

They are no part of the development environment: they bring their own versions of what the project uses.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

# build and hatchling, with what hatch_build.py imports, make the wheel; pipx and uv install it; pre-commit runs the
# hook; check-jsonschema has the schemas of the actions of GitHub and the jobs of GitLab.
_REQUIREMENTS = (
    *("build>=1", "hatchling>=1.24.2", "click>=8.1", "msgspec>=0.18.5"),
    *("pipx>=1.4", "uv>=0.4", "pre-commit>=3.5", "check-jsonschema>=0.29"),
)


def program(name: str) -> str:
    """The path of one of the programs (`python` for the modules); they are fetched when first asked for.

    Raises Unavailable where that fails.
    """
    key = hashlib.sha256(repr((_REQUIREMENTS, sys.version_info[:2], sys.prefix)).encode()).hexdigest()[:12]
    folder = cache_folder() / f"python-tools-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _make(folder)
    return str(folder / "bin" / name)


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin/python")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_REQUIREMENTS],
    ):
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise Unavailable(f"{' '.join(command[:4])} failed: {made.stderr.strip()[-500:]}")
    (folder / "ready").touch()


def surroundings(home: Path) -> dict[str, str]:
    """An environment in which these programs leave everything but what they download below HOME."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIPX_", "UV_", "GIT_", "PYTHON"))
    }
    downloads = cache_folder() / "downloads"
    return {
        **kept,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
        "PIP_CACHE_DIR": str(downloads / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_CACHE_DIR": str(downloads / "uv"),
        "UV_PYTHON_DOWNLOADS": "never",
    }
