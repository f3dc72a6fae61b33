"""The systems of the scoreboard: what each is called, and on how many of its files each tool errs."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from tests.conformance import whole
from tests.conformance.peers import PEERS
from tests.conformance.scoreboard import US
from tests.conformance.whole import Comparison
from tests.loader import under_musl
from tests.oracle import roots
from tests.oracle.availability import Unavailable

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
    yield _this_machine(progress)
    compared: dict[str, Callable[[], Comparison]] = {
        **{name: partial(whole.root, name) for name in whole.ROOTS},
        "musl: fixtures": partial(whole.musl_fixtures, _FIXTURES),
        "musl: this machine's programs": lambda: whole.under_musl(under_musl.programs_of_the_machine(_LIBRARY_PATH)),
        **{f"musl: {name}": partial(_under_musl, name) for name in whole.ROOTS},
    }
    for name, compare in compared.items():
        progress(name)
        try:
            done = compare()
        except Unavailable as reason:
            yield System(name=f"{name}: {reason}", files=0, errors={}, differences={})
            continue
        errors = {US: len(done.differences)}
        yield System(name=_called(name), files=len(done.files), errors=errors, differences=done.differences)


def _under_musl(release: str) -> Comparison:
    return whole.under_musl(under_musl.programs_of_a_root(release))


def _this_machine(progress: Callable[[str], None]) -> System:
    own = whole.machine()
    errors = {US: len(own.differences)}
    for peer in PEERS:
        progress(f"this machine, {peer.name}")
        if peer.is_here:
            errors[peer.name] = len(whole.errors(peer, own))
    told = len(whole.for_everyone(own))  # those that all were asked about
    return System(name=f"this machine, glibc {_glibc('/')}", files=told, errors=errors, differences=own.differences)


def _called(name: str) -> str:
    """What a root is called on the scoreboard: `Debian 12 arm64, glibc 2.36`; another name as it is."""
    libc, _, release = name.rpartition(": ")
    if release not in roots.RELEASES:
        return name
    called = release.replace(":", " ").replace("/", " ").capitalize()
    return f"{libc}: {called}, programs" if libc else f"{called}, glibc {_glibc(roots.root(release))}"


def _glibc(root: str | os.PathLike[str]) -> str:
    """The version of the C library of a root; "?" where its file does not tell."""
    folders = (Path(root) / folder for folder in ("lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib64"))
    library = next((folder / "libc.so.6" for folder in folders if (folder / "libc.so.6").exists()), None)
    match = _BANNER.search(library.read_bytes()) if library else None
    return match[1].decode() if match else "?"
