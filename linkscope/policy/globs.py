"""Globs of a policy: `*` stays within a folder, `**` goes through any number of them."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterator, Sequence

from linkscope.model.document import PACKED

_PIECES = re.compile(r"(/\*\*$|\*\*|\*|\?|\[!?\]?[^\]/]*\])")
_GAP = re.compile(r"(?<!\*)(?:\*\*)+/")
_ANYWHERE = "(?:.*?/)??"
_ELSEWHERE = f"(?:/{_ANYWHERE}|(?:\\.\\./)+?{_ANYWHERE})??"
_MEANING = {"/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
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

    Of thousands of globs most are plain paths. They are kept as a tree of their components, so that a path is looked up
    once from each folder in which it may begin, and no further than some glob goes on.
    """

    def __init__(self, lists: Sequence[Sequence[str]]) -> None:
        self._plain = _Node()
        self._others: list[tuple[int, re.Pattern[str]]] = []
        for number, globs in enumerate(lists):
            for glob in globs:
                path = sole_path(glob)
                if path is None:
                    self._others.append((number, _compiled(glob)))
                else:
                    self._plain.leaf(_normal(path).split("/")).numbers.append(number)

    def hits(self, path: str) -> tuple[int, ...]:
        """The numbers of the lists that mean PATH, in order."""
        normal = _normal(path)
        found = {number for number, pattern in self._others if pattern.fullmatch(normal)}
        if self._plain.children:
            found.update(self._meant(normal.split("/")))
        return tuple(sorted(found))

    def _meant(self, parts: list[str]) -> Iterator[int]:
        """The numbers of the plain paths that mean the one of PARTS: it, a folder of it, or the name of either.

        Of a path from elsewhere they may begin behind any of its slashes.
        """
        yield from self._plain.along(parts, 0, len(parts))
        ups = parts.count("..")
        elsewhere = bool(ups) or not parts[0]
        for start in range(1, len(parts)):
            furthest = len(parts) if elsewhere and start >= ups else start + 1
            yield from self._plain.along(parts, start, furthest)


class _Node:
    """What plain paths go on with behind some components, and the numbers of those that end there."""

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.numbers: list[int] = []

    def leaf(self, parts: Sequence[str]) -> _Node:
        """The node of the plain path of PARTS, which is made where there is none yet."""
        node = self
        for part in parts:
            node = node.children.setdefault(part, _Node())
        return node

    def along(self, parts: Sequence[str], start: int, end: int) -> Iterator[int]:
        """The numbers of the plain paths that begin at START of PARTS and end before END.

        A package is called PACKAGE, and what lies in it PACKAGE!/MEMBER.
        """
        node = self
        for i in range(start, end):
            package = node.children.get(parts[i].removesuffix(PACKED))
            if package is not None and parts[i].endswith(PACKED) and i + 1 < len(parts):
                yield from package.numbers
            further = node.children.get(parts[i])
            if further is None:
                return
            node = further
            yield from node.numbers


def _normal(path: str) -> str:
    """PATH without what does not change it; POSIX lets two slashes at the start mean something, Linux does not."""
    return re.sub("^//", "/", posixpath.normpath(path))


@functools.lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    normal = _normal(glob)
    before = ""
    if "/" not in normal and "**" not in normal:
        before = _ANYWHERE
    elif not normal.startswith(("/", "../")):
        before = _ELSEWHERE
    *stretches, last = [_PIECES.split(stretch) for stretch in _GAP.split(normal)]
    pattern = ""
    for stretch in stretches:
        pattern += _settled(before, stretch)
        before = _ANYWHERE
    pattern += before + "".join(map(_meaning, last))
    if sole_path(glob) is not None:
        pattern = f"{pattern}(?:{PACKED}?/.*)?"
    return re.compile(pattern, re.DOTALL)


def _settled(before: str, pieces: list[str]) -> str:
    """The pattern of what stands before a `**/`, where the first place that fits is the only one to try.

    What whole folders match elsewhere lies further on, where the `**/` leads anyway. To try it again for each of the
    others would take, for each `**/`, as many times longer as a path has folders.
    """
    pattern = before + "".join(map(_meaning, pieces))
    whole = pieces[-1].endswith("/") and not any(piece.startswith(("[", "**")) for piece in pieces)
    return f"(?>{pattern})" if whole else pattern


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
