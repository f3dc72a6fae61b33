"""`refused-name`: the loader rejects a name before it looks for a file."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="refused-name",
    level="error",
    summary="The loader rejects the name of a needed library, so that the program does not start.",
    why=(
        "A name with a token such as $ORIGIN is refused in secure execution: a setuid program must not load "
        "from a folder that its caller chooses."
    ),
    remedy=(
        "Name the library by its soname alone, and let the loader find it by a search path or in the system's folders."
    ),
    check=of_start("refused-name"),
    scope="started",
)
