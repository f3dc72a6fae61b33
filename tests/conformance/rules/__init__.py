"""What loaders do where tools go wrong: each rule as a sentence, with a forest of libraries that shows it.

The tests ask the real loader about each, and the scoreboard asks other tools as well. A file is a subject, its `RULES`
a table; the order of the subjects here is the order of the scoreboard.
"""

from typing import Final

from tests.conformance.rules import (
    candidates,
    defaults,
    files,
    filters,
    hwcaps,
    musl,
    names,
    paths,
    preloads,
    secure,
    symbols,
    tokens,
)
from tests.conformance.rules.rule import Rule

SUBJECTS: Final[dict[str, dict[str, Rule]]] = {
    "Search paths": paths.RULES,
    "Tokens": tokens.RULES,
    "Names": names.RULES,
    "Candidates": candidates.RULES,
    "Hardware capabilities": hwcaps.RULES,
    "Cache and default folders": defaults.RULES,
    "Preloads": preloads.RULES,
    "Filters and auditors": filters.RULES,
    "Secure execution": secure.RULES,
    "Symbols and versions": symbols.RULES,
    "Files": files.RULES,
    "musl": musl.RULES,
}
ALL: Final = {sentence: rule for rules in SUBJECTS.values() for sentence, rule in rules.items()}
