"""`linkscope check` as its JSON document, in one line."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.model.check import CheckDocument
from linkscope.report.json import whole


def render(document: CheckDocument) -> Iterator[str]:
    """DOCUMENT whole; its schema is `linkscope schema check`."""
    yield whole(document).decode("utf-8")
