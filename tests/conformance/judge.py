"""The real loader's word on a rule, and whether LinkScope says the same."""

import os

import msgspec

from linkscope.model.document import text
from linkscope.model.inspect import File
from tests.conformance.rules.rule import Rule
from tests.loader import musl_agreement
from tests.loader.agreement import last_words
from tests.oracle.answers import Entry, Trace
from tests.oracle.forest import Planted


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the loader does with a program. starts: whether a real start ends well.

    entries: of a program that starts, its link map; of another one, what the loader lists all the same, a name without
    a path being missing. None where it gives up without a list, or cannot be asked for one. words: its last ones.
    """

    starts: bool
    entries: tuple[Entry, ...] | None
    words: str

    @property
    def paths(self) -> list[str | None] | None:
        """What is mapped, in order, None for a name that leads to nothing."""
        return None if self.entries is None else [entry.path for entry in self.entries]

    @property
    def missing(self) -> frozenset[str]:
        """The names that lead to nothing."""
        return frozenset(entry.name for entry in self.entries or () if entry.path is None)


def verdict(rule: Rule, planted: Planted) -> Verdict:
    """What the loader does with the program of a rule, whose forest has been planted."""
    start = planted.start()
    if start.answer.status == 0:
        entries = tuple(Entry(os.path.basename(path), path) for path in start.link_map)
        return Verdict(starts=True, entries=entries, words="")
    listed = _listed(rule, planted)
    whole = listed is not None and not listed.static and not _words(listed)
    return Verdict(starts=False, entries=listed.entries if listed and whole else None, words=_words(start.answer))


def _listed(rule: Rule, planted: Planted) -> Trace | None:
    """The list of a program that does not start; None where nobody can be asked for it, or asking would start it."""
    interpreter = rule.forest.program_recipe.interp
    if rule.forest.setuid or interpreter is None or not os.path.exists(f"{planted.root or ''}{interpreter}"):
        return None
    if rule.libc == "glibc":
        return planted.trace()
    answer = musl_agreement.listed(planted)
    found = [Entry(os.path.basename(path), path) for path in musl_agreement.loaded(answer.entries)]
    absent = [entry for entry in answer.entries if entry.path is None]
    return msgspec.structs.replace(answer, entries=(*found, *absent), fatal=None)


def _words(answer: Trace) -> str:
    """Why the loader gave up, in its own words as far as they say it."""
    versions = [f"version `{one.version}' not found" for one in answer.versions if one.version and not one.weak]
    return last_words(answer) or ", ".join(versions)


def disagreement(rule: Rule, said: Verdict, file: File, planted: Planted) -> str | None:
    """What differs between the loader's word and LinkScope's, in paths and their order; None where nothing does."""
    if rule.libc == "musl":
        return musl_agreement.disagreement(planted, file)
    stops = [problem.message for problem in file.problems if problem.fatal]
    if said.starts == bool(stops):
        return f"the start {'succeeds' if said.starts else f'fails ({said.words})'}, predicted: {stops}"
    predicted = [entry.path for entry in file.closure]
    if said.paths is not None and predicted != [path and text(path) for path in said.paths]:
        return f"predicted {predicted}, answered {said.paths}"
    return None
