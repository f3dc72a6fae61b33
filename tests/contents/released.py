"""Packages of other projects as they are released, installed into one folder outside the project."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

# One release each, so that the same files are judged everywhere; each holds C libraries of which it says the version.
REQUIREMENTS = (
    *("apsw==3.46.0.0", "brotli==1.1.0", "cryptography==43.0.1", "lxml==5.3.0", "lz4==4.3.3", "pillow==11.0.0"),
    *("psycopg2-binary==2.9.10", "pycurl==7.45.3", "pygit2==1.16.0", "pyzmq==26.2.0", "pynacl==1.5.0"),
    *("uvloop==0.21.0", "zstandard==0.23.0"),
)


def site() -> Path:
    """The folder in which the packages are; they are fetched when first asked for. Raises Unavailable."""
    key = hashlib.sha256(repr((REQUIREMENTS, sys.version_info[:2])).encode()).hexdigest()[:12]
    folder = cache_folder() / f"released-{key}"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    done = subprocess.run([*command, "--target", os.fspath(part), *REQUIREMENTS], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"pip cannot install the released packages: {done.stderr.strip()[-500:]}")
    part.rename(folder)


def says(expression: str) -> dict[str, str]:
    """What the packages say of the libraries inside them: EXPRESSION, a dict of Python's, in a process with them."""
    code = f"import json; print(json.dumps({expression}))"
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.fspath(site())}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Unavailable(f"the packages do not run here: {done.stderr.strip()[-300:]}")
    return msgspec.json.decode(done.stdout, type=dict[str, str])
