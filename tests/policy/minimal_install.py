"""What a minimal Debian system really offers, read from its packages by pyelftools: the judge of the verified rows.

`python -m tests.policy.minimal_install` prints the rows of the releases for `linkscope/policy/targets/debian.toml`.
"""

import fcntl
import hashlib
import io
import posixpath
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection

from linkscope.policy.targets import packages_of
from tests.oracle import packages, roots
from tests.oracle.availability import Unavailable

SUITES: Final = {"11": "bullseye", "12": "bookworm", "13": "trixie"}
# Debian's names of architectures, and what wheels call them.
ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686"}
_RECIPE = 2  # counted up when the way in which packages are read changes
_VERSION = re.compile(r"(.+)_(\d+(?:\.\d+)*)")
# Where the loader looks without being told: the folders of the release and of its architecture.
_FOLDERS = re.compile(r"\./(?:usr/)?lib(?:64)?(?:/[a-z0-9_]+-linux-gnu)?")


class Found(msgspec.Struct, frozen=True):
    """A shared library of a package, with the names of the versions that it defines."""

    package: str
    soname: str
    versions: tuple[str, ...]


class Facts(msgspec.Struct, frozen=True):
    """What the packages of one release and architecture say.

    libraries: every library in the loader's own folders of a minimal install: of what is Essential or of priority
    required, of apt, and of all that these depend on. brought: the libraries of the packages that were asked about,
    without what those depend on. musl: the symbols that the package musl defines. architectures: all of the release.
    """

    libraries: tuple[Found, ...]
    brought: tuple[Found, ...]
    musl: frozenset[str]
    architectures: frozenset[str]


def facts(release: str, architecture: str) -> Facts:
    """Read once, and kept in the cache of the tests without the packages. Raises Unavailable without those."""
    asked = tuple(sorted(set(packages_of._packages("debian").get(release, {}).values())))
    folder = roots.cache_folder() / "targets"
    folder.mkdir(exist_ok=True)
    said = hashlib.sha256(repr((_RECIPE, asked)).encode()).hexdigest()[:12]
    kept = folder / f"{release}-{architecture}-{said}.json"
    with open(folder / f"{release}-{architecture}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=folder) as place:
                found = _read(Path(place), SUITES[release], architecture, asked)
            kept.write_bytes(msgspec.json.encode(found))
    return msgspec.json.decode(kept.read_bytes(), type=Facts)


def highest(names: Sequence[str]) -> tuple[str, ...]:
    """Of each family FAMILY_N(.N)* the highest, and every name beside those, in order."""
    families: dict[str, tuple[tuple[int, ...], str]] = {}
    others = []
    for name in names:
        match = _VERSION.fullmatch(name)
        if match is None:
            others.append(name)
            continue
        number = tuple(map(int, match[2].split(".")))
        families[match[1]] = max(families.get(match[1], ((), "")), (number, name))
    return tuple(sorted([name for _, name in families.values()] + others))


def _read(folder: Path, suite: str, architecture: str, asked: Sequence[str]) -> Facts:
    packages.download(folder, suite, architecture, ["base-files"])  # apt gets to know the release
    apt = ["apt-get", "-q", "-y", "-c", str(folder / "apt.conf")]
    listed = packages.run(["apt-cache", "-c", str(folder / "apt.conf"), "dumpavail"])
    names = [name for name, fields in _stanzas(listed) if _is_minimal(fields)]
    if not names:
        raise Unavailable(f"no package of {suite} is Essential")
    packages.run([*apt, "install", "--download-only", "--no-install-recommends", *names, "apt"])
    minimal = [one for archive in _archives(folder / "cache/archives") for one in _of_package(archive)]
    aside = folder / "aside"
    aside.mkdir()
    wanted = [*asked, "musl"] if architecture == "amd64" else []
    if wanted:
        done = subprocess.run([*apt, "download", *wanted], cwd=aside, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"apt-get download: {done.stderr.strip()[-300:]}")
    brought = [one for archive in _archives(aside) for one in _of_package(archive)]
    musl = next(aside.glob("musl_*.deb"), None)
    symbols = _symbols_of_musl(musl, folder / "musl") if musl else frozenset[str]()
    return Facts(tuple(minimal), tuple(brought), symbols, _architectures(folder))


def _architectures(folder: Path) -> frozenset[str]:
    """What the archive's own Release file lists."""
    listed = next((folder / "state/lists").glob("*InRelease")).read_text()
    line = next(line for line in listed.splitlines() if line.startswith("Architectures: "))
    return frozenset(line.split()[1:]) - {"all"}


def _archives(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.deb"))


def _symbols_of_musl(archive: Path, folder: Path) -> frozenset[str]:
    """What nm says that musl's C library defines."""
    folder.mkdir()
    packages.unpack(archive, folder)
    library = next(one for one in folder.rglob("libc.so") if one.is_file() and not one.is_symlink())
    return frozenset(
        line.split()[-1] for line in packages.run(["nm", "-D", "--defined-only", str(library)]).splitlines()
    )


def _stanzas(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        if "Package" in fields:
            yield fields["Package"], fields


def _is_minimal(fields: dict[str, str]) -> bool:
    return fields.get("Essential") == "yes" or fields.get("Priority") == "required"


def _of_package(archive: Path) -> Iterator[Found]:
    package = archive.name.split("_")[0]
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            if member.isfile() and ".so" in member.name and _FOLDERS.fullmatch(posixpath.dirname(member.name)):
                file = tar.extractfile(member)
                content = file.read() if file else b""
                if content[:4] == b"\x7fELF":
                    yield from _of_file(package, ELFFile(io.BytesIO(content)))


def _of_file(package: str, elf: ELFFile) -> Iterator[Found]:
    tags = [
        tag for section in elf.iter_sections() if isinstance(section, DynamicSection) for tag in section.iter_tags()
    ]
    soname = next((getattr(tag, tag.entry.d_tag[3:].lower()) for tag in tags if tag.entry.d_tag == "DT_SONAME"), None)
    if soname is not None:
        defined = [
            next(iter(names)).name
            for section in elf.iter_sections()
            if isinstance(section, GNUVerDefSection)
            for definition, names in section.iter_versions()
            if not definition["vd_flags"] & 1  # VER_FLG_BASE: the file itself
        ]
        yield Found(package, soname, tuple(defined))


def rows(release: str) -> str:
    """The [[releases.libraries]] of a release as TOML: a row a package, and one an architecture where they differ."""
    offers: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for debian, name in ARCHITECTURES.items():
        for one in facts(release, debian).libraries:
            offers.setdefault((one.package, one.soname), {})[name] = highest(one.versions)
    grouped: dict[tuple[str, tuple[str, ...]], dict[str, tuple[str, ...]]] = {}
    for (package, soname), by_architecture in sorted(offers.items()):
        for versions in dict.fromkeys(by_architecture.values()):
            on = tuple(name for name, these in by_architecture.items() if these == versions)
            place = () if len(on) == len(ARCHITECTURES) else on
            grouped.setdefault((package, place), {})[soname] = versions
    return "".join(_row(release, package, on, offered) for (package, on), offered in grouped.items())


def _row(release: str, package: str, on: tuple[str, ...], offered: dict[str, tuple[str, ...]]) -> str:
    lines = ["", "[[releases.libraries]]", f'package = "{package}"', f'source = "packages-{release}"']
    if on:
        lines.append(f"on = {_array(on)}")
    lines.append("[releases.libraries.offers]")
    lines += [f'"{soname}" = "{" ".join(versions)}"' for soname, versions in sorted(offered.items())]
    return "\n".join(lines) + "\n"


def _array(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


if __name__ == "__main__":
    for one in SUITES:
        print(f"# Debian {one}{rows(one)}")
