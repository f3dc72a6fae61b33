"""Real root file systems of several Debian releases, unpacked from their packages into a cache outside the project.

They are made when first asked for (some minutes and 100 MB each, by apt), and kept in the folder that the variable
LINKSCOPE_TEST_CACHE names, else in ~/.cache/linkscope-tests. Nothing in them is started but loaders and ldconfig.
"""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

import msgspec

from tests.oracle import files, packages, runner
from tests.oracle.availability import Unavailable
from tests.oracle.runner import Request
from tests.oracle.trace import Question

_RECIPE = 2  # counted up when the way in which a root is made changes
_EMULATORS = {"arm64": "qemu-aarch64-static"}
# Debian's names of architectures: the class and e_machine of their files.
_MACHINES: Final = {"amd64": (64, 62), "arm64": (64, 183), "i386": (32, 3)}
_MERGED = ("bin", "sbin", "lib", "lib64")
_DROPPED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/icons")

# Programs with many libraries, some of them in folders of their own (RUNPATH of samba, systemd, pulseaudio), and musl.
PACKAGES: Final = (
    *("base-files", "bash", "coreutils", "diffutils", "findutils", "grep", "sed", "tar", "gzip", "bzip2", "xz-utils"),
    *("libc-bin", "libstdc++6", "musl", "util-linux", "procps", "file", "gawk", "perl", "python3-minimal", "sqlite3"),
    *("bind9-dnsutils", "curl", "git", "openssh-client", "openssl", "rsync", "smbclient"),
    *("gdb", "nano", "pulseaudio-utils", "systemd", "tmux", "vim-tiny"),
)


# Enough for a loader of another machine to be asked by files of the ELF writer, and a few real ones.
FEW_PACKAGES: Final = ("base-files", "bash", "coreutils", "curl", "libc-bin", "libstdc++6")

# A minimal install, in patterns of apt (apt-patterns(7)): as `install` in linkscope/policy/targets/debian.toml has it.
MINIMAL: Final = ("?essential", "?priority(required)", "apt")


class Release(msgspec.Struct, frozen=True):
    """A root to be made. merged: /bin, /sbin, /lib and /lib64 are links into /usr, as that release installs itself."""

    suite: str
    architecture: str
    merged: bool
    packages: tuple[str, ...] = PACKAGES


# Debian 11 is left unmerged, as a system that was upgraded from an older release.
RELEASES: Final = {
    "debian:11": Release("bullseye", "amd64", merged=False),
    "debian:12": Release("bookworm", "amd64", merged=True),
    "debian:13": Release("trixie", "amd64", merged=True),
    "debian:12/arm64": Release("bookworm", "arm64", merged=True),
    "debian:12/i386": Release("bookworm", "i386", merged=True, packages=FEW_PACKAGES),
}

# Systems with as little as a program can count on.
SMALL: Final = {
    "debian:11/minimal": Release("bullseye", "amd64", merged=True, packages=MINIMAL),
    "debian:12/minimal": Release("bookworm", "amd64", merged=True, packages=MINIMAL),
    "debian:13/minimal": Release("trixie", "amd64", merged=True, packages=MINIMAL),
    "debian:11/minimal/arm64": Release("bullseye", "arm64", merged=True, packages=MINIMAL),
    "debian:12/minimal/arm64": Release("bookworm", "arm64", merged=True, packages=MINIMAL),
    "debian:13/minimal/arm64": Release("trixie", "arm64", merged=True, packages=MINIMAL),
    # Nothing but musl's loader, which is its C library.
    "musl:1.2.2": Release("bullseye", "amd64", merged=True, packages=("musl",)),
    "musl:1.2.3": Release("bookworm", "amd64", merged=True, packages=("musl",)),
    "musl:1.2.5": Release("trixie", "amd64", merged=True, packages=("musl",)),
}
_ALL: Final = RELEASES | SMALL


def cache_folder() -> Path:
    """Where what was fetched is kept between runs; created if need be."""
    named = os.environ.get("LINKSCOPE_TEST_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "linkscope-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def root(name: str) -> Path:
    """The folder of a root (a key of RELEASES or SMALL), made now where it is not there; others wait meanwhile.

    Raises Unavailable where something that it takes is missing (apt, network, chroot, an emulator).
    """
    release = _ALL[name]
    said = repr((_RECIPE, release)).encode()
    label = f"{release.suite}-{release.architecture}-{hashlib.sha256(said).hexdigest()[:12]}"
    folder = cache_folder() / "roots"
    folder.mkdir(exist_ok=True)
    made = folder / label
    if not made.exists():
        with open(folder / f"{label}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                _make(release, made)
    return made


def question(name: str) -> Question:
    """How to ask the loader of a root about a file in it: `trace(path_inside, question("debian:11"))`."""
    emulator = _EMULATORS.get(_ALL[name].architecture)
    return Question(root=os.fspath(root(name)), qemu=emulator and f"/{emulator}", timeout=60.0)


def loader_and_ldconfig(name: str) -> tuple[str, str]:
    """The files of this machine that are a root's glibc loader and its ldconfig, for a forest with that glibc."""
    folder = os.fspath(root(name))
    loader = files.GLIBC_LOADERS[_MACHINES[_ALL[name].architecture]]
    return files.below(folder, loader), files.below(folder, "/sbin/ldconfig")


def _make(release: Release, target: Path) -> None:
    """Make a root beside its place, then move it there whole. A failed attempt's downloads stay, and are used again."""
    downloads, unpacked = target.with_suffix(".packages"), target.with_suffix(".part")
    shutil.rmtree(unpacked, ignore_errors=True)
    archives = packages.download(downloads, release.suite, release.architecture, release.packages)
    unpacked.mkdir()
    if release.merged:
        for name in _MERGED:
            (unpacked / "usr" / name).mkdir(parents=True)
            (unpacked / name).symlink_to(f"usr/{name}")
    for archive in sorted(archives, key=lambda path: not path.name.startswith("base-files")):
        packages.unpack(archive, unpacked)
    for name in _DROPPED:
        shutil.rmtree(unpacked / name, ignore_errors=True)
    _link_libraries(release, unpacked)
    unpacked.rename(target)
    shutil.rmtree(downloads)


def _link_libraries(release: Release, unpacked: Path) -> None:
    """Run the root's own ldconfig in it, which writes the links that libraries are asked for by, and glibc's cache."""
    command: tuple[str, ...] = ("/sbin/ldconfig",)
    if not os.path.exists(files.below(os.fspath(unpacked), command[0])):
        return  # a root of musl has no cache
    if emulator := _EMULATORS.get(release.architecture):
        found = shutil.which(emulator)
        if found is None:
            raise Unavailable(f"{emulator} is not here")
        shutil.copy2(found, unpacked / emulator)
        command = (f"/{emulator}", *command)
    outcome = runner.run(Request(argv=command, root=os.fspath(unpacked), timeout=300.0))
    if outcome.status != 0 or not (unpacked / "etc/ld.so.cache").exists():
        raise Unavailable(f"ldconfig does not run in the root: {os.fsdecode(outcome.stderr).strip()}")
