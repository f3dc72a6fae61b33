"""Debian packages of another release or architecture, through this machine's own apt and its archive and keys.

apt is given a state, a cache and a source list of its own, so that nothing of the machine's is touched or locked.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tests.oracle.availability import Unavailable

_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg")
_LAST_LINES = 3  # of apt's own words, in a reason

# Read after the machine's own configuration (which knows its proxies), whose hooks would act on the machine's cache.
_CONFIGURATION = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear Dir::Etc::preferences;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::http::Timeout "20";
Acquire::Retries "2";
Debug::NoLocking "true";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""


def download(folder: Path, suite: str, architecture: str, packages: Sequence[str]) -> list[Path]:
    """The archives of packages and all that they depend on, downloaded below `folder` where they are not there yet.

    Raises Unavailable where apt, a Debian archive, its key or the network is missing.
    """
    apt = _apt_get(folder, suite, architecture)
    run([*apt, "install", "--download-only", "--no-install-recommends", *packages])
    return sorted((folder / "cache/archives").glob("*.deb"))


def download_alone(folder: Path, suite: str, architecture: str, packages: Sequence[str]) -> list[Path]:
    """The archives of those of the packages that the suite has, without what they depend on; otherwise as `download`.

    A newer archive of a package stands in the place of an older one.
    """
    apt = _apt_get(folder, suite, architecture)
    there = set(run(["apt-cache", "-c", os.fspath(folder / "apt.conf"), "pkgnames"]).split())
    wanted = [name for name in packages if name in there]
    rows = run([*apt, "download", "--print-uris", *wanted]).splitlines()
    names = {row.split()[1] for row in rows if row.startswith("'")}
    archives = folder / "alone"
    archives.mkdir(exist_ok=True)
    for old in archives.glob("*.deb"):
        if old.name not in names and old.name.partition("_")[0] in wanted:
            old.unlink()
    if not all((archives / name).exists() for name in names):
        run([*apt, "download", *wanted], folder=archives)
    return [archives / name for name in sorted(names)]


def _apt_get(folder: Path, suite: str, architecture: str) -> list[str]:
    """The beginning of a command line of apt-get that has its state below `folder`, whose lists are up to date."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    keys = next((name for name in _KEYRINGS if os.path.exists(name)), None)
    option = f"[signed-by={keys}] " if keys else ""
    (folder / "sources.list").write_text(f"deb {option}{_archive()} {suite} main\n")
    configuration = folder / "apt.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, architecture=architecture))
    apt = ["apt-get", "-q", "-y", "-c", os.fspath(configuration)]
    run([*apt, "update"])
    return apt


def unpack(archive: Path, target: Path) -> None:
    """Put a package's files below `target`; none of its scripts is run.

    By tar and not by `dpkg-deb --extract`, which puts a folder in the place of a link such as /lib -> usr/lib.
    """
    files = archive.with_suffix(".tar")
    with open(files, "wb") as output:
        run(["dpkg-deb", "--fsys-tarfile", os.fspath(archive)], output)
    run(["tar", "--extract", "--preserve-permissions", "--keep-directory-symlink", "-C", str(target), "-f", str(files)])
    files.unlink()


def run(command: Sequence[str], output: IO[bytes] | None = None, folder: Path | None = None) -> str:
    """A tool's standard output, unless it goes to a file. folder: its working directory, if not our own.

    Raises Unavailable where the tool is not there or fails.
    """
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not here")
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, stdout=output or subprocess.PIPE, stderr=subprocess.PIPE, check=False, env=environment, cwd=folder
    )
    if done.returncode:
        said = " ".join(os.fsdecode(done.stderr or done.stdout).split("\n")[-_LAST_LINES - 1 :]).strip()
        raise Unavailable(f"{command[0]} ({done.returncode}): {said}")
    return os.fsdecode(done.stdout or b"")


def _archive() -> str:
    """The address of the Debian archive that this machine's own apt uses for its release (no security, no updates)."""
    wanted = "$(ORIGIN)|$(RELEASE)|$(REPO_URI)"
    for row in run(["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"]).splitlines():
        origin, release, address = row.split("|", 2)
        # Origin is known only once the machine has fetched its lists.
        if origin in ("Debian", "") and "-" not in release and "debian" in address:
            return address
    raise Unavailable("this machine's apt has no Debian archive")
