"""What a rule is, and what it says of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from linkscope.model.check import Level, RuleText

# What a rule takes beyond the plain answer, and which is worked out only where a rule that counts wants it:
# `symbols`: every symbol bound over the scope; `contents`: what is linked in statically.
Need = Literal["symbols", "contents"]
# Which files a rule has to do with.
# `started`: what of a start depends on the libraries of the root at hand. Where the policy names targets, and no root
# was given, the rules about targets stand in its place.
# `archive`: a package itself, and none of its files.
Scope = Literal["file", "started", "archive"]


class NoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a rule that nothing can be set for but its level."""


class Fault(msgspec.Struct, frozen=True):
    """What a rule objects to. subject: what in the file, "" for the file itself; evidence: what shows it, a line each.

    graver: the file is such (setuid, say) that the fault counts for one level more than the rule's own. level: where
    this fault has another level than the rule, as when something cannot be told.
    """

    subject: str
    message: str
    evidence: tuple[str, ...] = ()
    graver: bool = False
    level: Level | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, named after the fault that it finds.

    level: where no policy says otherwise. Only what keeps a program from starting, and what was asked for by a setting,
    is an error by itself. summary, why, remedy: for people, whole sentences; the pages of the documentation are made
    from them.
    settings: a frozen Struct whose fields are the keys of a policy's [[files]] that the rule obeys, each with a default
    that stands for "not asked for". Rules may share a key; its type is the same in all of them.
    asked: the settings without which the rule has nothing to say, so that it does not run at all.
    needs: see Need. `subject.file.unresolved` and the like are None where they were not worked out.
    scope: see Scope. check: is given a Subject or, with the scope `archive`, an Archive.
    """

    id: str
    level: Level
    summary: str
    why: str
    remedy: str
    check: Callable[[Any, Any], Iterable[Fault]]
    settings: type[msgspec.Struct] = NoSettings
    asked: tuple[str, ...] = ()
    needs: frozenset[Need] = frozenset()
    scope: Scope = "file"

    @property
    def text(self) -> RuleText:
        """The rule for the document."""
        return RuleText(id=self.id, level=self.level, summary=self.summary, why=self.why, remedy=self.remedy)
