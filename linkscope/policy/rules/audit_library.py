"""`audit-library`: a library that watches and changes what the loader does."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="audit-library",
    level="warning",
    summary="An audit library (DT_AUDIT) is loaded before the program, and may change what is loaded for it.",
    why=("An auditor can rename every library that is looked for and redirect every call, and `ldd` does not show it."),
    remedy="Link without `-Wl,--audit` and `-Wl,--depaudit`, unless the auditor is meant.",
    check=of_start("audit", "missing-audit"),
    scope="started",
)
