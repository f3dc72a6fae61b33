"""Dynamic string tokens: $ORIGIN, $LIB and $PLATFORM in search paths and names, as glibc expands them.

Source: glibc elf/dl-load.c, is_dst, _dl_dst_count, _dl_dst_substitute, is_trusted_path_normalize. musl knows
$ORIGIN alone, by rules of its own (`musl.py`).
"""

from __future__ import annotations

import msgspec

_NAMES = ("ORIGIN", "PLATFORM", "LIB")


class TokenValues(msgspec.Struct, frozen=True):
    """What the tokens stand for in one object; None where the loader does not know it.

    origin_only_if_trusted: secure execution, in which $ORIGIN counts only as the first thing of an element, and the
    program's own only where the result lies in one of `trusted`.
    """

    origin: str | None
    lib: str | None
    platform: str | None
    origin_only_if_trusted: bool = False
    executable: bool = False
    trusted: tuple[str, ...] = ()


def token_at(text: str, at: int) -> tuple[str, int] | None:
    """The token named just behind the `$` at AT-1, and its length with the braces; None where none is.

    A name that goes on as an identifier is no token ($ORIGINAL); braces need no such end (${ORIGIN}x is one).
    """
    curly = text.startswith("{", at)
    start = at + curly
    for name in _NAMES:
        if not text.startswith(name, start):
            continue
        end = start + len(name)
        following = text[end : end + 1]
        if curly:
            if following == "}":
                return name, len(name) + 2
        elif not (following.isascii() and (following.isalnum() or following == "_")):
            return name, len(name)
    return None


def has_token(text: str) -> bool:
    """Whether a token that glibc knows occurs in TEXT."""
    return any(text[at - 1] == "$" and token_at(text, at) for at in range(1, len(text)))


def expand(text: str, values: TokenValues) -> str | None:
    """TEXT with its tokens replaced; None where the loader drops it (an unknown value, or one that it does not trust).

    An unknown $FOO stays as it is written.
    """
    if "$" not in text:
        return text
    parts: list[str] = []
    at = 0
    check = False
    while at < len(text):
        if text[at] != "$":
            parts.append(text[at])
            at += 1
            continue
        token = token_at(text, at + 1)
        if token is None:
            parts.append("$")
            at += 1
            continue
        name, length = token
        at += 1 + length
        value = {"ORIGIN": values.origin, "LIB": values.lib, "PLATFORM": values.platform}[name]
        if name == "ORIGIN" and values.origin_only_if_trusted:
            if at != 1 + length or text[at : at + 1] not in ("", "/"):
                return None
            check = values.executable
        if value is None:
            return None
        parts.append(value)
    result = "".join(parts)
    return None if check and not is_trusted(result, values.trusted) else result


def is_trusted(path: str, trusted: tuple[str, ...]) -> bool:
    """Whether PATH, `.` and `..` taken out as text, lies in one of the system directories (each ends with `/`)."""
    if not path.startswith("/"):
        return False
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    normal = "".join(f"/{part}" for part in parts) + "/"
    return any(normal.startswith(directory) for directory in trusted)
