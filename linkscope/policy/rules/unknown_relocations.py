"""`unknown-relocations`: compact relocations that the loader at hand does not know."""

from __future__ import annotations

from linkscope.policy.problems import of_start
from linkscope.policy.rule import Rule

RULE = Rule(
    id="unknown-relocations",
    level="error",
    summary="The file has compact relocations (DT_RELR) that the loader does not know.",
    why=(
        "glibc before 2.36 and musl before 1.2.4 leave them out without a word, and the program crashes. Where the "
        "file asks for GLIBC_ABI_DT_RELR, which is there to prevent this, glibc refuses it instead (missing-version)."
    ),
    remedy="Link with `-z nopack-relative-relocs`.",
    check=of_start("unknown-relocations"),
    scope="started",
)
