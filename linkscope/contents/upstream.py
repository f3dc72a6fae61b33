"""Which of two versions of a library is the older one, as its makers count.

No scheme covers all of them: OpenSSL's 1.1.1w follows 1.1.1 (and 1.0.2zh follows 1.0.2z), while 1.1.1-pre9 comes before
it, as do libpng's 1.6.40beta01 and curl's 8.5.0-DEV; ntp's 4.2.8p15 follows 4.2.8. Modules of Go and crates keep to
semver.org, where whatever stands behind a hyphen comes before.
"""

from __future__ import annotations

import re

# (release numbers without zeros at the end, what follows): of two keys of one scheme, the lower one is the older.
Key = tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]

_DIGITS = 18
_RELEASE = re.compile(rf"v?(\d{{1,{_DIGITS}}}(?:\.\d{{1,{_DIGITS}}})*)", re.IGNORECASE | re.ASCII)
_PIECES = re.compile(rf"\d{{1,{_DIGITS}}}|[a-z]+", re.ASCII)
# What comes before the release, in order.
_BEFORE = (
    ("dev", "devel", "snapshot", "nightly", "canary", "unreleased", "git", "svn", "cvs", "hg"),
    ("alpha",),
    ("beta",),
    ("milestone",),
    ("pre", "preview", "rc", "cr"),
)
_RANKS = {word: rank - len(_BEFORE) for rank, words in enumerate(_BEFORE) for word in words}
# Python's and Tcl's short forms: 3.13.0a1 is an alpha, where 1.1.1a, with no number behind it, is a patch.
_SHORT = {"a": _RANKS["alpha"], "b": _RANKS["beta"]}
# How a release was built, or that it is one; its age is the same.
_SAME = frozenset(("fips", "stable", "release", "final", "ga"))
_END = (0, 0, "")


def key(version: str) -> Key | None:
    """What the versions of most libraries are compared by; None for what is no version (`(devel)`, ``).

    What stands behind a space or a plus sign is no part of it: `10.42 2022-12-11`, `3.1.4+quic`.
    """
    word = re.split(r"[\s+]", version.strip(), maxsplit=1)[0].lower()
    release = _RELEASE.match(word)
    if release is None:
        return None
    pieces = _PIECES.findall(word, release.end())
    found = [_item(piece, *pieces[i + 1 : i + 2]) for i, piece in enumerate(pieces) if piece not in _SAME]
    return _numbers(release[1]), (*found, _END)


def semantic_key(version: str) -> Key | None:
    """The same for a version after semver.org (item 11), with or without Go's leading `v`."""
    word = version.strip().partition("+")[0]
    release = _RELEASE.match(word)
    if release is None or word[release.end() :][:1] not in ("", "-"):
        return None
    identifiers = word[release.end() + 1 :]
    if not identifiers:
        return _numbers(release[1]), (_END,)
    return _numbers(release[1]), tuple(map(_identifier, identifiers.split(".")))


def _numbers(release: str) -> tuple[int, ...]:
    """1.2 and 1.2.0 are the same release."""
    numbers = [int(number) for number in release.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _identifier(text: str) -> tuple[int, int, str]:
    """Numbers come before words."""
    number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    return (-1, int(text), "") if number else (-1, 1 << 64, text)


def _item(piece: str, following: str = "") -> tuple[int, int, str]:
    if piece.isdecimal():
        return (2, int(piece), "")
    rank = _RANKS.get(piece, _SHORT.get(piece, 0) if following.isdecimal() else 0)
    return (rank, 0, "") if rank else (1, 0, piece)
