"""The file to start, and the start that comes of it."""

from __future__ import annotations

import msgspec

from linkscope.elf.image import Image
from linkscope.loader.linkmap import LinkMap, Rules


class Program(msgspec.Struct, frozen=True):
    """The file to start. path: as seen from inside the root, absolute. shown: what it is called in the answer."""

    image: Image
    path: str
    shown: str
    location: str


class Start(msgspec.Struct, frozen=True):
    """A start: its link map, and the circumstances that were settled on the way.

    rules: None where there is no loader that could be asked (then the link map holds the program alone). privileged:
    in secure execution, or of a file that is in secure execution when somebody else starts it.
    """

    link_map: LinkMap
    rules: Rules | None
    interpreter: str | None
    secure: bool
    privileged: bool = False

    def would_dlopen(self, name: str) -> str | None:
        """The path of what the program itself would get for dlopen(NAME) after its start; None where nothing."""
        if self.rules is None:
            return None
        known = self.rules.loaded_as(name, self.link_map)
        if known is not None:
            return known.path
        candidate = self.rules.search(name, self.link_map.main).candidate
        return candidate.path if candidate else None
