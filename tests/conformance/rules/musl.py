"""musl's rules, which are another loader's: the table that the tests of musl have, with musl as the judge."""

from typing import Final

from tests.conformance.rules.rule import Rule
from tests.loader import musl_cases

RULES: Final[dict[str, Rule]] = {
    f"musl: {sentence}": Rule(forest=forest, expected=expected, libc="musl")
    for sentence, (forest, expected) in (musl_cases.CASES | musl_cases.PRIVILEGED).items()
}
