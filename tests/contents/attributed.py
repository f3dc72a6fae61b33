"""Programs of small sources and made-up archives, with the linker's map, and what is found in them by code alone."""

import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path

from linkscope.contents.attribution import Found, linked_in
from linkscope.contents.fingerprints import Archive
from linkscope.contents.known import Pack
from linkscope.contents.releases import LinkedLibrary
from tests.contents.memorypack import read
from tests.contents.suites import package_files, package_version
from tests.elf.samples import opened
from tests.oracle.availability import Unavailable

DECOYS = 20
FUNCTION = """
int {name}(int *p, int n) {{
    int s = {mark};
    for (int i = 0; i < n; i++) {{
        s = s * 31 + (p[i] ^ s >> 3);
        if (s % 7 == {mark} % 7) s ^= p[s & 1] * 0x{mark:x}01;
        else if (s < -100) s = (s << 5 | s >> 27) + p[n - i - 1] % 0x{mark:x};
        switch (s & 3) {{ case 0: s += {mark} * i; break; case 1: s -= p[i] / 3; break; case 2: s = ~s; }}
    }}
    return s;
}}
"""
OLD = {"first": 1001, "second": 1002, "third": 1003, "fourth": 1004}
SUITES = ("bullseye", "bookworm", "trixie")
ZLIB = """
int compress(), uncompress();
int main(int c, char **v) { return compress(v, v, v, c) + uncompress(v, v, v, c); }
"""
OPENSSL = """
void *TLS_client_method(), *SSL_CTX_new();
int main() { return SSL_CTX_new(TLS_client_method()) == 0; }
"""
RELEASED = {
    "zlib": ("zlib1g-dev", ["libz.a"], ZLIB),
    "openssl": ("libssl-dev", ["libssl.a", "libcrypto.a"], OPENSSL),
}


def linked_with_map(
    folder: Path, source: str, flags: Sequence[str | Path], compiler: Sequence[str] = ("gcc",)
) -> tuple[Path, Path]:
    """The program of a source and the map of its link. Raises Unavailable."""
    text = folder / "main.c"
    text.write_text(source)
    return linked_of(folder, [text, *flags], compiler)


def linked_of(folder: Path, inputs: Sequence[str | Path], compiler: Sequence[str]) -> tuple[Path, Path]:
    """The program that a compiler links of files, and the map of its link. Raises Unavailable."""
    program, map_file = folder / "program", folder / "program.map"
    command = [*compiler, "-O2", "-w", *map(str, inputs), f"-Wl,-Map={map_file}", "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{compiler[0]} {inputs}: {done.stderr[-300:]}")
    return program, map_file


def found_in(program: Path, *packs: Pack) -> Found:
    """What the code of PACKS accounts for in a program."""
    with opened(program) as (reader, image):
        return linked_in(reader, image, packs)


def by_name(found: Found) -> dict[str, LinkedLibrary]:
    """The libraries that were found, none of which is there twice."""
    assert len({one.name for one in found.libraries}) == len(found.libraries)
    return {one.name: one for one in found.libraries}


def calls(*names: str) -> str:
    """A main function that calls functions of these NAMES."""
    declared = "".join(f"int {name}(int *, int);" for name in names)
    return f"{declared} int main(int c, char **v) {{ return {' + '.join(f'{name}((int *)v, c)' for name in names)}; }}"


def archive_of(folder: Path, marks: dict[str, int], prefix: str = "") -> Path:
    """libfoo.a with one function a member. marks: a number in the code of each, by its name."""
    folder.mkdir(parents=True)
    for name, mark in marks.items():
        (folder / f"{name}.c").write_text(FUNCTION.format(name=name, mark=mark))
        subprocess.run(["gcc", "-O2", "-c", f"{name}.c"], cwd=folder, check=True)
        if prefix:
            subprocess.run(["objcopy", f"--prefix-symbols={prefix}", f"{name}.o"], cwd=folder, check=True)
    subprocess.run(["ar", "rcs", "libfoo.a", *(f"{name}.o" for name in marks)], cwd=folder, check=True)
    return folder / "libfoo.a"


@functools.cache
def of_all_suites(library: str) -> tuple[Archive, ...]:
    """The archives of a library of RELEASED as each Debian release has them. Raises Unavailable."""
    package, names, _ = RELEASED[library]
    return tuple(
        archive
        for suite in SUITES
        for name in names
        for archive in read(
            package_files(suite, package) / "usr/lib/x86_64-linux-gnu" / name,
            library=library,
            version=package_version(suite, package),
            distribution=suite,
        )
    )
