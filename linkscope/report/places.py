"""Where a finding is, in the words of those who know files, lines and URIs but no members of archives."""

from __future__ import annotations

import os
from urllib.parse import quote

import msgspec

from linkscope.model.check import Finding
from linkscope.model.document import WITHIN, AnalysisError
from linkscope.report.escape import exact


class Place(msgspec.Struct, frozen=True):
    """A file, or the archive that it is in. path: its exact bytes, as os.fsdecode gives them.

    member: the file inside the archive, which may itself be a member of an archive in there; None: it is in none.
    """

    path: str
    member: str | None = None

    @property
    def uri(self) -> str:
        """The path as an RFC 3986 relative reference, or a file URI where it is absolute; bytes are percent-encoded.

        A colon is encoded too: in the first segment it would end a scheme (RFC 3986, 4.2).
        """
        encoded = quote(os.fsencode(self.path), safe="/!$&'()*+,;=@~")
        return f"file://{encoded}" if self.path.startswith("/") else encoded

    @property
    def whole(self) -> str:
        """The archive and the member in one, as documents have it."""
        return self.path if self.member is None else f"{self.path}{WITHIN}{self.member}"


def place_of(item: Finding | AnalysisError) -> Place:
    """Where ITEM is; a leading `./`, which code hosts do not look through, is left out."""
    path = exact(item.path, item.path_bytes)
    while path.startswith("./") and path.strip("./"):
        path = path[2:].lstrip("/")
    archive, mark, member = path.partition(WITHIN)
    return Place(archive, member) if mark and archive else Place(path)


def message_of(item: Finding | AnalysisError) -> str:
    """What is wrong, for a reader who is shown the archive: of a member with its name."""
    message = item.message if isinstance(item, Finding) else item.error
    member = place_of(item).member
    return message if member is None else f"{member}: {message}"
