"""Globs of a policy: `*` stays within a folder, `**` goes through any number of them."""

from __future__ import annotations

import functools
import re

_PIECES = re.compile(r"(\*\*/|/\*\*$|\*\*|\*|\?|\[!?\]?[^\]/]*\])")
_MEANING = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def matches(path: str, glob: str) -> bool:
    """Whether PATH is one that GLOB means; a leading `./` counts in neither.

    As in .gitignore, a glob without a slash is about the name of the file alone, in whichever folder it lies; the
    others are about the path as it was given, or any end of it that begins behind a slash if the path is absolute and
    the glob is not.
    """
    path, glob = path.removeprefix("./"), glob.removeprefix("./")
    if "/" not in glob and "**" not in glob:
        return bool(_compiled(glob).fullmatch(path.rpartition("/")[2]))
    if _compiled(glob).fullmatch(path):
        return True
    if not path.startswith("/") or glob.startswith("/"):
        return False
    return bool(_compiled("**/" + glob).fullmatch(path))


@functools.lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    parts = [
        _MEANING.get(piece) or (_set(piece) if piece.startswith("[") and len(piece) > 2 else re.escape(piece))
        for piece in _PIECES.split(glob)
    ]
    return re.compile("".join(parts), re.DOTALL)


def _set(piece: str) -> str:
    inner = piece[1:-1]
    negated = inner.startswith("!")
    members = inner.removeprefix("!").replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
    members = members.replace("]", r"\]")
    return f"[{'^/' if negated else ''}{members}]"
