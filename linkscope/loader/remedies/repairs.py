"""Elements of search paths that are not what their author meant: each is mended on trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from linkscope.loader.glibc import Glibc, folder_of, split_search_path
from linkscope.loader.linkmap import Loaded
from linkscope.loader.remedies.wanted import (
    Hint,
    Wanted,
    absolute,
    as_meant,
    called,
    counts,
    expanded,
    in_folder,
    in_the_end,
    told,
)
from linkscope.loader.switched_off import loaders_of
from linkscope.model.meant import meant

_TOKENS = ("ORIGIN", "LIB", "PLATFORM")


def _unescaped(element: str) -> str | None:
    return element.replace("\\$", "$").replace("$$", "$") if "\\$" in element or "$$" in element else None


def _unquoted(element: str) -> str | None:
    return element.strip("'\"") if element[:1] in ("'", '"') else None


def _eaten_by_make(element: str) -> str | None:
    return f"$O{element}" if element.startswith("RIGIN") else None


def _in_capitals(element: str) -> str | None:
    mended = _with_tokens(element, lambda name: name.upper() if name.upper() in _TOKENS else name)
    return mended if mended != element else None


def _rightly_spelt(element: str) -> str | None:
    mended = _with_tokens(element, lambda name: (meant(name.upper(), _TOKENS) or [name])[0])
    return mended if mended != element else None


def _with_tokens(element: str, instead: Callable[[str], str]) -> str:
    """ELEMENT with every name behind a $, in braces or not, replaced by what INSTEAD makes of it."""
    first, *pieces = element.split("$")
    for piece in pieces:
        brace = "{" if piece.startswith("{") else ""
        bare = piece[len(brace) :]
        length = next((at for at, letter in enumerate(bare) if not (letter.isalnum() or letter == "_")), len(bare))
        first += f"${brace}{instead(bare[:length])}{bare[length:]}"
    return first


def _from_the_file(element: str) -> str | None:
    return f"$ORIGIN/{element}" if element[:1] not in ("/", "$") else None


def _from_above_the_file(element: str) -> str | None:
    return f"$ORIGIN/../{element}" if element[:1] not in ("/", "$") else None


def _eaten_by_the_shell(element: str) -> str | None:
    return f"$ORIGIN{element}" if element.startswith("/") else None


# What an element may have been meant to be, and why it is not that.
_REPAIRS: tuple[tuple[Callable[[str], str | None], str], ...] = (
    (_eaten_by_make, "make has replaced $O, which $$O would have kept from it"),
    (_unescaped, "the escape of the $ was kept"),
    (_unquoted, "the quotes were kept"),
    (_in_capitals, "tokens are written in capitals"),
    (_rightly_spelt, "there is no such token"),
    (_from_the_file, "a relative folder is taken from the working directory"),
    (_from_above_the_file, "a relative folder is taken from the working directory"),
    (_eaten_by_the_shell, "the shell may have replaced $ORIGIN by nothing"),
)


def repairs(want: Wanted) -> Iterator[Hint]:
    """Hints from the elements that count for the asker."""
    for tag, owner, element in _elements(want):
        where = f"'{element}' in the {tag} of {called(owner)}"
        yield from _other_spelling(want, owner, element, where)
        yield from _other_origin(want, owner, element, where)
        yield from _other_separator(want, owner, element, where)


def strange_tokens(want: Wanted) -> Iterator[str]:
    """Elements that count for the asker and hold a $ that the loader leaves as it is."""
    for tag, owner, element in _elements(want):
        if isinstance(want.rules, Glibc) and "$" in (expanded(want, element, owner) or ""):
            where = f"'{element}' in the {tag} of {called(owner)}"
            yield f"{where} keeps its $ as it is: only $ORIGIN, $LIB and $PLATFORM are replaced"


def _elements(want: Wanted) -> Iterator[tuple[str, Loaded, str]]:
    """The elements of the RPATHs and RUNPATHs that count for the asker: tag, owner, element."""
    own = want.asker.image
    for owner in loaders_of(want.asker, want.rules.main):
        image = owner.image
        if image is None:
            continue
        if image.runpath is not None:
            counts = owner is want.asker or not isinstance(want.rules, Glibc)
        else:
            counts = own is None or own.runpath is None or not isinstance(want.rules, Glibc)
        tag, text = ("RPATH", image.rpath) if image.runpath is None else ("RUNPATH", image.runpath)
        if counts:
            yield from ((tag, owner, element) for element in split_search_path(text or "", ":") if element)


def _other_spelling(want: Wanted, owner: Loaded, element: str, where: str) -> Iterator[Hint]:
    for repair, why in _REPAIRS:
        mended = repair(element)
        folder = as_meant(want, mended, owner) if mended is not None else None
        found = in_folder(want, folder) if folder else None
        if mended is not None and folder and found is not None:
            if not counts(want, mended, owner):
                real = want.system.realpath(folder, want.rules.cwd) or folder
                mended, why = real, f"{why}, and $ORIGIN does not count in secure execution"
            by = in_the_end(want, mended) or f"'{mended}'"
            yield found.identity, f"replace {where} by {by}, which leads to {want.name} ({why})"
            return


def _other_origin(want: Wanted, owner: Loaded, element: str, where: str) -> Iterator[Hint]:
    """$ORIGIN of a library is the folder of the link by which it was found, that of a program the real one."""
    path = owner.path
    if "ORIGIN" not in element or path is None or owner.origin is None:
        return
    if owner.role == "main":
        other, is_link = folder_of(path, want.rules.cwd), "not that of the link by which it is started"
    else:
        real = want.system.realpath(path, want.rules.cwd)
        other = real.rpartition("/")[0] if real else owner.origin
        is_link = "that of the link by which it is found, not that of the file itself"
    if other == owner.origin:
        return
    folder = element.replace("${ORIGIN}", other).replace("$ORIGIN", other)
    found = in_folder(want, folder)
    if found is not None:
        origin = f"$ORIGIN of {called(owner)} is {told(want, owner.origin)}, {is_link} ({told(want, other)})"
        write = in_the_end(want, folder) or folder
        yield found.identity, f"{origin}, from which {where} would lead to {want.name}: write {write}"


def _other_separator(want: Wanted, owner: Loaded, element: str, where: str) -> Iterator[Hint]:
    for piece in element.split(";") if ";" in element else ():
        folder = expanded(want, piece, owner)
        found = in_folder(want, absolute(want, folder)) if folder else None
        if found is not None:
            yield (
                found.identity,
                f"{where} is one element, since only : separates them: '{piece}' alone would lead to it",
            )
