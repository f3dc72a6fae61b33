"""The program `linkscope`. Interrupts are provided for before the rest is imported: imports are most of a run."""

from __future__ import annotations

import gc
import os
import sys

from linkscope.cli import interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

interrupts.end_the_process()

# Net allocations before Python looks for reference cycles: its own 700 cost a run on one file some milliseconds.
_COLLECT_AFTER = 50_000


def main() -> NoReturn:
    """Runs the command line of this process, and ends it."""
    gc.set_threshold(_COLLECT_AFTER)
    try:
        from linkscope.cli.invocation import run

        code = run(sys.argv[1:])
    except interrupts.Ended as ended:
        code = 128 + ended.number  # as a shell reports it
    except KeyboardInterrupt:
        from linkscope.cli.exit_codes import INTERRUPTED

        code = INTERRUPTED
    # All output has been sent; taking the modules apart one by one would only take time.
    os._exit(code)
