"""Cases of the rules: for each rule a file `cases/RULE-ID.toml` that says which fixtures it objects to, and which not.

    [[fails]]                           the rule objects to it
    file = "hello/hello-dynamic-pie"    below fixtures/build, or an absolute path of this machine
    subjects = [""]                     the subjects of all its findings, in order; left out: any
    level = "error"                     of all its findings; left out: the rule's own
    says = ["has an interpreter"]       what its messages and evidence hold, each somewhere

    [[passes]]                          the rule has nothing to say of it
    file = "hello/hello-static"

Either may have `settings = {linkage = "static"}` (names as in the rule's Struct), `levels = {RULE = "error"}`,
`symbols = true`, `assume = {cpu = "x86-64-v2"}` (names as in Assumptions), `root = "debian:12"` (see
tests/oracle/roots.py; `file` is then a path inside it), and `as = "setuid"`: a copy that one of `preparations.py` has
changed, among the files that it lies beside. `why` is for the reader.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from linkscope.model.check import Level
from linkscope.policy.terms import RuleLevel

FOLDER = Path(__file__).with_name("cases")
Verdict = Literal["fails", "passes"]


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row; see above."""

    file: str
    settings: dict[str, Any] = {}
    levels: dict[str, RuleLevel] = {}
    symbols: bool = False
    assume: dict[str, Any] = {}
    root: str | None = None
    prepared: str | None = msgspec.field(default=None, name="as")
    why: str = ""
    subjects: list[str] | None = None
    level: Level | None = None
    says: list[str] = []


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cases of one rule."""

    fails: list[Case] = []
    passes: list[Case] = []


def tables() -> dict[str, Table]:
    """The table of each rule by its id, in alphabetical order."""
    return {path.stem: msgspec.toml.decode(path.read_bytes(), type=Table) for path in sorted(FOLDER.glob("*.toml"))}


def every_case() -> list[tuple[str, Verdict, Case]]:
    """All rows: the rule, what it says, and of what."""
    found: list[tuple[str, Verdict, Case]] = []
    for rule, table in tables().items():
        found += [(rule, "fails", case) for case in table.fails]
        found += [(rule, "passes", case) for case in table.passes]
    return found
