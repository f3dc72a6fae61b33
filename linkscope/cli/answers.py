"""How a command answers that has one document: as JSON, or as text with the errors on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from linkscope.cli.output import Output, complain
from linkscope.report.escape import exact, quoted

if TYPE_CHECKING:
    from linkscope.model.compare import CompareDocument
    from linkscope.model.diff import DiffDocument
    from linkscope.model.targets import TargetsDocument
    from linkscope.model.why import WhyDocument
    from linkscope.report.page import Page

Answer = TypeVar("Answer", "WhyDocument", "TargetsDocument", "DiffDocument", "CompareDocument")


def answered(document: Answer, form: str, text: Callable[[Answer, Page], Iterable[str]]) -> None:
    """Prints DOCUMENT in the FORM `json`, or as the TEXT that is made of it for a page."""
    output = Output()
    if form == "json":
        from linkscope.report.json import visible, whole

        output.write(visible(whole(document)) if output.terminal else whole(document))
    else:
        for error in document.errors:
            complain(f"{quoted(exact(error.path, error.path_bytes))}: {error.error}")
        for piece in text(document, output.page()):
            output.write(piece)
    output.flush()
