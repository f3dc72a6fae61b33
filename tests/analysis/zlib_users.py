"""Programs and a library that use zlib, each in another way, and how `who` answers about them."""

import os
import subprocess
from pathlib import Path

import pytest

from linkscope.model.who import Match, WhoDocument
from tests.contents.samples import linked

USES_ZLIB = (
    "#include <stdio.h>\n#include <zlib.h>\n"
    "int main(int argc, char **argv) { static char b[999]; unsigned long n = 9;\n"
    'if (argc > 2) { compress(b, &n, b, 1); uncompress(b, &n, b, 1); } printf("version=%s\\n", zlibVersion());\n'
    "fflush(stdout); getchar(); return 0; }\n"
)


@pytest.fixture(scope="module")
def zlib_users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with programs that use zlib: as a shared library, inside, by a library that has it inside; or not."""
    folder = tmp_path_factory.mktemp("users")
    linked(folder / "dynamic", USES_ZLIB, ["-lz"])
    linked(folder / "static", USES_ZLIB, ["-static", "-lz"])
    source = (
        "#include <zlib.h>\nint packs(char *b, unsigned long *n) { return compress(b, n, b, 1) + *zlibVersion(); }\n"
    )
    linked(
        folder / "libpacks.so", source, ["-shared", "-fPIC", "-Wl,-Bsymbolic", "-Wl,-Bstatic", "-lz", "-Wl,-Bdynamic"]
    )
    through = "int packs(char *, unsigned long *); int main(void) { unsigned long n = 0; return packs(0, &n); }\n"
    linked(folder / "through", through, [f"-L{folder}", "-lpacks", "-Wl,-rpath,$ORIGIN"])
    linked(folder / "without", "int main(void) { return 0; }\n", [])
    for source_file in folder.glob("*.c"):
        source_file.unlink()
    return folder


@pytest.fixture(scope="module")
def zlib_version(zlib_users: Path) -> str:
    """What the linked library says of itself."""
    return said_by(zlib_users / "static")


def said_by(path: Path) -> str:
    """The version of zlib that a program says that it has."""
    done = subprocess.run([path], input="\n", capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip().partition("=")[2]


def ways_in(document: WhoDocument) -> dict[str, list[str]]:
    """How each file holds it, by its name."""
    found: dict[str, list[str]] = {}
    for match in document.matches:
        found.setdefault(os.path.basename(match.path), []).append(match.how)
    return found


def match_of(document: WhoDocument, name: str) -> Match:
    """The only match of the file of that NAME."""
    (match,) = (match for match in document.matches if os.path.basename(match.path) == name)
    return match
