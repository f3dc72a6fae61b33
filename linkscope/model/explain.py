"""The document of `linkscope explain`: the rules, as people read about them."""

from __future__ import annotations

from typing import Literal

from linkscope.model.check import Level
from linkscope.model.document import Document


class Setting(Document, frozen=True, kw_only=True):
    """A key of a policy's [[files]] that a rule obeys. value: what can be given; meaning: what it asks for."""

    key: str
    value: str
    meaning: str


class RulePage(Document, frozen=True, kw_only=True):
    """One rule. level: where no policy says otherwise.

    silent_without: the settings of which one has to be given, or the rule has nothing to say. needs: the work that is
    done for it only where it is asked for.
    """

    id: str
    level: Level
    summary: str
    why: str
    remedy: str
    settings: list[Setting]
    silent_without: list[str]
    needs: list[str]


class ExplainDocument(Document, frozen=True, kw_only=True):
    """The rules that were asked about, by id."""

    schema: Literal["linkscope/explain/1"] = "linkscope/explain/1"
    rules: list[RulePage]
