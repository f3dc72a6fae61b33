"""auditwheel, asked in its own words: the least platform tag that it finds for a wheel."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from tests.oracle.availability import Unavailable


def overall_tag(wheel: Path) -> str:
    """`overall_tag` of `auditwheel show --json`: `manylinux_2_17_x86_64`, or `linux_x86_64` where no tag allows it.

    Raises Unavailable where auditwheel is not installed or cannot say.
    """
    if importlib.util.find_spec("auditwheel") is None:
        raise Unavailable("auditwheel is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", "--json", wheel], capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        raise Unavailable(f"auditwheel show {wheel.name}: {done.stderr.strip()}")
    tag = json.loads(done.stdout)["overall_tag"]
    assert isinstance(tag, str)
    return tag
