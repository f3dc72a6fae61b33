"""What is inside a packed file: that of the program that was packed. All else stays about the file as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from linkscope.analysis.facts import file_facts
from linkscope.contents import upx
from linkscope.contents.identify import Inside, inside
from linkscope.elf.image import read_image
from linkscope.errors import MalformedElf, NotElf

if TYPE_CHECKING:
    from linkscope.contents.known import Pack
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.model.inspect import Problem


def inside_packed(reader: Reader, image: Image, packs: Sequence[Pack] = ()) -> Inside:
    """What is inside the program that was packed into the open file, and the packer with how that was unpacked.

    Raises CannotUnpack, FileUnreadable, MalformedElf of what was unpacked, and what the packs raise.
    """
    with upx.unpacked(reader, image) as (inner, original):
        try:
            found = read_image(inner)
            told = inside(inner, found, file_facts(inner, found).file, packs)
        except (MalformedElf, NotElf) as error:
            raise upx.CannotUnpack(reader.path, f"unpacks to what is damaged itself: {error.reason}") from error
        contents = [*told.contents, upx.content(original, found)]
    return msgspec.structs.replace(told, contents=sorted(contents, key=lambda one: (one.ecosystem, one.name)))


def unpacked(found: list[Problem]) -> list[Problem]:
    """The problems of a packed file of which the contents were unpacked: one does not have to do that any more."""
    message = "packed by {}: what is inside was unpacked; all else is told of the file as it is"
    return [
        msgspec.structs.replace(one, message=message.format(one.subject)) if one.code == "packed" else one
        for one in found
    ]
