"""The formats of `linkscope check`: one file each in `check/`, whose `render` turns a document into characters."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from importlib import import_module

from linkscope.model.check import CheckDocument
from linkscope.report.page import Page

_FOLDER = os.path.join(os.path.dirname(__file__), "check")
DEFAULT = "text"
"""The format for people, which is the only one that is laid out for a page."""


@functools.cache
def names() -> tuple[str, ...]:
    """The formats, the default one first, the others in alphabetical order."""
    found = [name.removesuffix(".py") for name in os.listdir(_FOLDER) if name.endswith(".py")]
    return (DEFAULT, *sorted(name for name in found if name != DEFAULT and not name.startswith("_")))


def pieces(form: str, document: CheckDocument, page: Page, version: str) -> Iterable[str]:
    """DOCUMENT in the format FORM, which is one of `names`; the last piece ends with a newline.

    page: what the text for people is laid out for. version: LinkScope's own, which SARIF names.
    """
    render: Callable[..., Iterable[str]] = import_module(f"linkscope.report.check.{form}").render
    own = {DEFAULT: (page,), "sarif": (version,)}
    return render(document, *own.get(form, ()))
