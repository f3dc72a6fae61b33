"""The real rpm of several Debian releases: each writes its database in another form."""

import os
from pathlib import Path
from typing import Final

from tests.oracle import packages, releasedtools
from tests.oracle.availability import Unavailable

# The form, the release whose rpm writes it, and the file in which it does.
FORMS: Final = {
    "sqlite": ("trixie", "rpmdb.sqlite"),
    "ndb": ("trixie", "Packages.db"),
    "bdb": ("bullseye", "Packages"),
}


def installed(database: Path, form: str, package: Path) -> list[str]:
    """The files of a PACKAGE as rpm lists them, after it has entered it into a new DATABASE of that form."""
    options = ["--dbpath", os.fspath(database)]
    _run(form, *options, "-i", "--justdb", "--nodeps", "--ignorearch", os.fspath(package))
    if not (database / FORMS[form][1]).exists():
        raise Unavailable(f"this rpm writes no {FORMS[form][1]}")
    return _run(form, *options, "-qal").split()


def _run(form: str, *arguments: str) -> str:
    """What that release's rpm says, with its own configuration. Raises Unavailable."""
    suite, _ = FORMS[form]
    settings = releasedtools.unpacked(suite, "rpm") / "usr/lib/rpm"
    command = ["env", f"RPM_CONFIGDIR={settings}", *releasedtools.command(suite, "rpm", "usr/bin/rpm")]
    return packages.run([*command, "--rcfile", f"{settings}/rpmrc", "--define", f"_db_backend {form}", *arguments])
