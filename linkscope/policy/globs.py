"""Globs of a policy: `*` stays within a folder, `**` goes through any number of them."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Sequence

_PIECES = re.compile(r"(\*\*/|/\*\*$|\*\*|\*|\?|\[!?\]?[^\]/]*\])")
_MEANING = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_SPECIAL = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[([*?\[])\]")


def matches(path: str, glob: str) -> bool:
    """Whether PATH is one that GLOB means; `./`, `//` and the like count in neither.

    As in .gitignore, a glob without a slash is about the name of the file alone, in whichever folder it lies; the
    others are about the path as it was given, or any end of it that begins behind a slash if the path is absolute or
    leads upwards and the glob does not. A glob without any wildcard is also the name of a folder or package, and means
    all that lies in it (a package's members are shown as PACKAGE!/MEMBER).
    """
    return bool(_compiled(glob).fullmatch(_normal(path)))


def objection(glob: str) -> str | None:
    """Why GLOB can match no file, whatever there is; None where it can match one."""
    if not glob:
        return "it is empty"
    if "\0" in glob:
        return "no file's name has a NUL byte"
    if _normal(glob) in (".", "..", "/"):
        return "it is a folder; all files are `**`"
    if glob.endswith("/") and _SPECIAL.search(glob):
        return f"no file's name ends with a slash; all that lies in such a folder is `{glob}**`"
    try:
        _compiled(glob)
    except re.error as error:
        return error.msg
    return None


def escaped(path: str) -> str:
    """The glob that means PATH and nothing else (if it is a folder: all in it), whatever characters it has."""
    return _SPECIAL.sub(r"[\g<0>]", path)


def sole_path(glob: str) -> str | None:
    """The one path that GLOB means, as a folder or as a file; None where it has wildcards."""
    plain = _ESCAPED.sub(r"\1", glob)
    return plain if not _SPECIAL.search(_ESCAPED.sub("", glob)) else None


def folder_of(glob: str) -> str:
    """The folder in which all lies that GLOB means, "" where it may lie anywhere; of a single path that itself."""
    path = sole_path(glob)
    if path is None:
        path = _ESCAPED.sub(r"\1", glob[: _first_wildcard(glob)]).rpartition("/")[0]
    return path if "/" in glob else ""


def _first_wildcard(glob: str) -> int:
    """Where the first of the characters stands that means something else than itself."""
    blanked = _ESCAPED.sub("...", glob)
    found = _SPECIAL.search(blanked)
    return found.start() if found else len(glob)


class Sieve:
    """Many lists of globs, as of the sections of a policy, each of which is asked whether it means a path.

    Of thousands of globs most are plain paths, which are looked up and not tried one after the other.
    """

    def __init__(self, lists: Sequence[Sequence[str]]) -> None:
        self._plain: dict[str, list[int]] = {}
        self._others: list[tuple[int, re.Pattern[str]]] = []
        for number, globs in enumerate(lists):
            for glob in globs:
                path = sole_path(glob)
                if path is None:
                    self._others.append((number, _compiled(glob)))
                else:
                    self._plain.setdefault(_normal(path), []).append(number)

    def hits(self, path: str) -> tuple[int, ...]:
        """The numbers of the lists that mean PATH, in order."""
        normal = _normal(path)
        found = {number for number, pattern in self._others if pattern.fullmatch(normal)}
        for name in _names(normal) if self._plain else ():
            found.update(self._plain.get(name, ()))
        return tuple(sorted(found))


def _names(normal: str) -> set[str]:
    """All plain paths that mean a path: itself and its folders, their names, and of one from elsewhere its ends."""
    parts = normal.split("/")
    ups = parts.count("..")
    starts = range(max(ups, 1), len(parts)) if ups or not parts[0] else ()
    names = {
        *parts[:-1],
        *("/".join(parts[:end]) for end in range(1, len(parts))),
        *("/".join(parts[start:end]) for start in starts for end in range(start + 1, len(parts))),
    }
    packages = {name[:-1] for name in names if name.endswith("!")}
    return names | packages | {parts[-1], normal, *("/".join(parts[start:]) for start in starts)}


def _normal(path: str) -> str:
    """PATH without what does not change it; POSIX lets two slashes at the start mean something, Linux does not."""
    return re.sub("^//", "/", posixpath.normpath(path))


@functools.lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    normal = _normal(glob)
    pattern = "".join(_meaning(piece) for piece in _PIECES.split(normal))
    if "/" not in normal and "**" not in normal:
        pattern = f"(?:.*/)?{pattern}"
    elif not normal.startswith(("/", "../")):
        pattern = f"(?:/(?:.*/)?|(?:\\.\\./)+(?:.*/)?)?{pattern}"
    if sole_path(glob) is not None:
        pattern = f"{pattern}(?:!?/.*)?"
    return re.compile(pattern, re.DOTALL)


def _meaning(piece: str) -> str:
    if piece in _MEANING:
        return _MEANING[piece]
    return _set(piece) if piece.startswith("[") and len(piece) > 2 else re.escape(piece)


def _set(piece: str) -> str:
    """A set of characters. Raises re.error where a range in it has its ends the wrong way round."""
    inner = piece[1:-1]
    negated = inner.startswith("!")
    members = re.sub(r"([\\^\[\]&~|])", r"\\\1", inner.removeprefix("!"))
    return f"[{'^/' if negated else ''}{members}]"
