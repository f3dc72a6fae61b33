"""How a bundle and what it carries along stand among the contents: by what the bundle's own tables say of it."""

from __future__ import annotations

from collections.abc import Sequence

from linkscope.contents.limits import Met, unheard
from linkscope.model.inspect import Content, Evidence

_MOST_SHOWN = 256  # files that are listed


def carried(
    name: str, texts: Sequence[str], ecosystem: str = "generic", version: str | None = None, met: Met = unheard
) -> Content:
    """The bundle NAME, or a part of it. texts: what it is, and then the files in it, of which 256 are kept.

    met: is told where there are more.
    """
    if len(texts) > 1 + _MOST_SHOWN:
        met("files")
    evidence = [Evidence(kind="bundle", text=text) for text in texts[: 1 + _MOST_SHOWN]]
    return Content(name=name, ecosystem=ecosystem, version=version, evidence=evidence)
