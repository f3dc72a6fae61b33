"""What is done to a copy of a fixture before a rule looks at it: `as = "NAME"` in a case."""

import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.oracle.availability import Unavailable


def setuid(copy: Path) -> None:
    """The owner's rights for whoever starts it."""
    copy.chmod(0o755 | stat.S_ISUID)


def setgid(copy: Path) -> None:
    """The group's rights for whoever starts it."""
    copy.chmod(0o755 | stat.S_ISGID)


def capable(copy: Path) -> None:
    """File capabilities; root's right is needed to give them."""
    setcap = shutil.which("setcap", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if setcap is None:
        raise Unavailable("setcap is not here (Debian package libcap2-bin)")
    done = subprocess.run([setcap, "cap_net_raw+ep", copy], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"setcap: {done.stderr.strip()}")


PREPARATIONS: dict[str, Callable[[Path], None]] = {"setuid": setuid, "setgid": setgid, "capable": capable}
