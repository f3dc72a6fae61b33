"""The real rpm of several Debian releases: each writes its database in another form."""

import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.oracle import packages
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder

# The form, the release whose rpm writes it, and the file in which it does.
FORMS: Final = {
    "sqlite": ("trixie", "rpmdb.sqlite"),
    "ndb": ("trixie", "Packages.db"),
    "bdb": ("bullseye", "Packages"),
}
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
_LOADER = "ld-linux-x86-64.so.2"


def installed(database: Path, form: str, package: Path) -> list[str]:
    """The files of a PACKAGE as rpm lists them, after it has entered it into a new DATABASE of that form."""
    options = ["--dbpath", os.fspath(database)]
    _run(form, *options, "-i", "--justdb", "--nodeps", "--ignorearch", os.fspath(package))
    if not (database / FORMS[form][1]).exists():
        raise Unavailable(f"this rpm writes no {FORMS[form][1]}")
    return _run(form, *options, "-qal").split()


def _run(form: str, *arguments: str) -> str:
    """What that release's rpm says, by its own loader, libraries and configuration. Raises Unavailable."""
    folder = _unpacked(FORMS[form][0])
    libraries = [folder / name for name in _LIBRARIES if (folder / name).is_dir()]
    loader = next((place / _LOADER for place in libraries if (place / _LOADER).exists()), None)
    if loader is None:
        raise Unavailable(f"the packages of {FORMS[form][0]} have no {_LOADER}")
    path = os.pathsep.join(map(os.fspath, libraries))
    command: Sequence[str] = [os.fspath(loader), "--library-path", path, os.fspath(folder / "usr/bin/rpm")]
    settings = ["--rcfile", os.fspath(folder / "usr/lib/rpm/rpmrc"), "--define", f"_db_backend {form}"]
    environment = f"RPM_CONFIGDIR={folder / 'usr/lib/rpm'}"
    return packages.run(["env", environment, *command, *settings, *arguments])


def _unpacked(suite: str) -> Path:
    """The folder with the files of rpm and of what it depends on, made now where it is not there."""
    home = cache_folder() / "rpm"
    home.mkdir(exist_ok=True)
    made = home / suite
    with open(home / f"{suite}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = made.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for archive in packages.download(home / f"{suite}.packages", suite, "amd64", ("rpm",)):
                packages.unpack(archive, part)
            part.rename(made)
            shutil.rmtree(home / f"{suite}.packages")
    return made
