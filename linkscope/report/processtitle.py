"""What a process is called: by its command line, or by its name alone."""

from __future__ import annotations

from collections.abc import Sequence

from linkscope.report.escape import quoted


def title(name: str, cmdline: Sequence[str]) -> str:
    """The command line as it would be typed, or `[NAME]`, as ps(1) shows a process that has none."""
    if not any(cmdline):
        return f"[{name}]"
    # A program that sets its title leaves it as one argument, with all its spaces.
    return cmdline[0] if len(cmdline) == 1 else " ".join(map(quoted, cmdline))
