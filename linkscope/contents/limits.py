"""The bounds within which one file is searched, so that none takes for ever: which of them it met, in words.

What lies beyond may be anything, and is not in the answer; a file that meets none was searched to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from linkscope.contents import texts, unloaded
from linkscope.model.inspect import Limit, LimitCode

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

Met = Callable[[LimitCode], None]
"""Is told of a bound when it is met; of the same one as often as it is."""

# In the order in which they are listed. The numbers are those of the modules that keep the bounds.
_MESSAGES: dict[LimitCode, str] = {
    "constants": "1 GiB of constants was looked through, and there is more",
    "writable-data": "256 MiB of writable data was looked through, and there is more",
    "appended": "the last 512 MiB of what stands behind the program was looked through, and there is more",
    "texts": "16,384 texts in all, or 8,192 of one kind, were held against what libraries say, and there are more",
    "numbers": "1,048,576 texts in all, or 524,288 of one kind, were held against versions, and there are more",
    "marks": "16,384 places were looked at for the mark of a run-time system, and there are more",
    "crates": "more crates, lists of crates or beginnings of such were there than are looked at",
    "bundles": "more files, or more beginnings of a bundle, were there than are looked at",
    "notes": "256 notes of a segment were looked at, and there are more",
    "code": "more code looked like that of known libraries, and was not, than is compared to its end",
    "files": "256 files of a bundle are listed, and there are more",
}


def unheard(code: LimitCode) -> None:
    """Tells nobody."""


class Limits:
    """The bounds that the search of one file met."""

    def __init__(self) -> None:
        self._met: set[LimitCode] = set()

    def met(self, code: LimitCode) -> None:
        """One more."""
        self._met.add(code)

    def met_by_size(self, reader: Reader, image: Image) -> None:
        """Those that the sizes of a file's parts are beyond."""
        if texts.are_too_many(reader, image):
            self.met("constants")
        if texts.is_too_much_written(reader, image):
            self.met("writable-data")
        if unloaded.is_too_much(reader, image):
            self.met("appended")

    def listed(self) -> list[Limit]:
        """All of them, each once, in the order of the table."""
        return [Limit(code=code, message=message) for code, message in _MESSAGES.items() if code in self._met]
