"""The program `linkscope`. Nothing is imported here before an interrupt is provided for: imports are most of a run."""

from __future__ import annotations

import sys
from typing import NoReturn

from linkscope.cli import exit_codes


def main() -> NoReturn:
    """Runs the command line of this process, and ends it."""
    try:
        from linkscope.cli.invocation import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
    sys.exit(code)
