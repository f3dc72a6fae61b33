"""`no-version-information`: a provider without version definitions."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="no-version-information",
    level="error",
    summary="A library should define symbol versions and defines none at all; the loader warns, or ends.",
    why=(
        "The file was linked with another build of the library. glibc before 2.41 ends with a failed "
        "assertion at the first such symbol that it binds."
    ),
    remedy="Ship or install the build of the library that the file was linked with.",
    check=of_start("no-version-information"),
    scope="started",
)
