"""The document of `linkscope why`: who asks for a library, and where the loader would look for it."""

from __future__ import annotations

from typing import Literal

from linkscope.model.document import AnalysisError, Document
from linkscope.model.inspect import FoundBy

Outcome = Literal["found", "absent", "wrong-class", "wrong-machine", "no-permission", "refused", "not-applicable"]


class SearchStep(Document, frozen=True, kw_only=True):
    """One place where the loader would look; `of` is the object whose tag names it, `element` as written there.

    `asked_by`: the object on whose behalf this search is made; for a preload, what names it (LD_PRELOAD,
    /etc/ld.so.preload). `reason`: why a source does not apply, why a candidate is refused, or which loaded object it
    is that answers. `made`: False for what would follow if no loaded object answered: the search of an object that
    gets the library only because something else had loaded it.
    """

    source: FoundBy
    of: str | None
    element: str | None
    candidate: str | None
    outcome: Outcome
    reason: str | None = None
    asked_by: str | None = None
    made: bool = True


class WhyDocument(Document, frozen=True, kw_only=True):
    """`path_found` is None where the loader finds nothing; `hints` say in words what would mend it."""

    schema: Literal["linkscope/why/1"] = "linkscope/why/1"
    path: str
    library: str
    chains: list[list[str]]
    search: list[SearchStep]
    path_found: str | None
    hints: list[str]
    errors: list[AnalysisError]
