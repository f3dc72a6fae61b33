"""The systems of the scoreboard: what each is called, and on how many of its files each tool errs."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from tests.conformance import whole
from tests.conformance.peers import PEERS
from tests.conformance.scoreboard import US
from tests.conformance.whole import Comparison
from tests.loader import under_musl
from tests.oracle import roots

_FIXTURES: Final = Path(__file__).resolve().parents[2] / "fixtures/build"
_LIBRARY_PATH: Final = "/lib/x86_64-linux-gnu"
_BANNER: Final = re.compile(rb"GNU C Library \([^)]*\)[^\n]{0,40}version (\d+\.\d+)")


class System(msgspec.Struct, frozen=True, kw_only=True):
    """Real files of one system. errors: of each tool that was asked, the number of files on which it errs."""

    name: str
    files: int
    errors: Mapping[str, int]
    differences: Mapping[str, str]


def systems(progress: Callable[[str], None]) -> Iterator[System]:
    """Each system, compared now; the other tools are asked about this machine's own files."""
    progress("this machine")
    own = whole.machine()
    # A file that only one tool was asked about would not be counted alike for the others.
    told = len([answer for answer in own.traces.values() if answer.fatal is None])
    errors = {US: len(own.differences)}
    for peer in PEERS:
        progress(f"this machine, {peer.name}")
        if peer.is_here:
            errors[peer.name] = len(whole.errors(peer, own))
    yield System(name=f"this machine, glibc {_glibc('')}", files=told, errors=errors, differences=own.differences)
    for name in whole.ROOTS:
        progress(name)
        yield _ours(f"{_called(name)}, glibc {_glibc(str(roots.root(name)))}", whole.root(name))
    progress("musl")
    yield _ours("musl: fixtures", whole.musl_fixtures(_FIXTURES))
    yield _ours("musl: this machine's programs", whole.under_musl(under_musl.programs_of_the_machine(_LIBRARY_PATH)))
    for name in whole.ROOTS:
        progress(f"musl, {name}")
        yield _ours(f"musl: {_called(name)}, programs", whole.under_musl(under_musl.programs_of_a_root(name)))


def _ours(name: str, compared: Comparison) -> System:
    errors = {US: len(compared.differences)}
    return System(name=name, files=len(compared.files), errors=errors, differences=compared.differences)


def _called(release: str) -> str:
    """`Debian 12 arm64` for "debian:12/arm64"."""
    return release.replace(":", " ").replace("/", " ").capitalize()


def _glibc(root: str) -> str:
    """The version of the C library of a root, "" for this machine; "?" where its file does not tell."""
    folders = (Path(root or "/") / folder for folder in ("lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib64"))
    library = next((folder / "libc.so.6" for folder in folders if (folder / "libc.so.6").exists()), None)
    match = _BANNER.search(library.read_bytes()) if library else None
    return match[1].decode() if match else "?"
