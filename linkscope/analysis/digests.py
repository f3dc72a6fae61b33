"""Which files an answer names: their real paths, their digests, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable

from linkscope.analysis.circumstances import place, system_for
from linkscope.analysis.request import Assumptions
from linkscope.elf.reader import Reader
from linkscope.errors import LinkScopeError
from linkscope.model.ownership import Owner

_PIECE = 1 << 20


class Digests:
    """SHA-256 of files, which of them are the same, and whose they are, by the paths that an answer has for them.

    The answer is one under ASSUMPTIONS. problems: why it is not known whose some are, a line each, once `owners` was
    asked. Raises RootUnusable.
    """

    def __init__(self, assumptions: Assumptions) -> None:
        self._system = system_for(assumptions)
        self._known: dict[str, str | None] = {}
        self.problems: list[str] = []

    def of(self, path: str) -> str | None:
        """64 hexadecimal digits; None where the file cannot be read."""
        if path not in self._known:
            try:
                with self._system.open(place(path, self._system).inside, path) as reader:
                    self._known[path] = sha256(reader)
            except (LinkScopeError, ValueError):
                self._known[path] = None
        return self._known[path]

    def real(self, path: str) -> str | None:
        """The path without symlinks, as seen from inside; None where no file is, as of a member of a package."""
        try:
            return self._system.realpath(place(path, self._system).inside, "/")
        except ValueError:  # a name out of a file
            return None

    def owners(self, paths: Iterable[str]) -> dict[str, Owner | None]:
        """The installed package of each of PATHS, which are those of `real`; None where it is nobody's."""
        from linkscope.contents.installed import Installed  # who only wants digests does not need it

        installed = Installed(self._system.root)
        found = installed.owners(paths)
        self.problems += installed.problems
        return found


def sha256(reader: Reader) -> str:
    """Of the whole file, in hexadecimal digits. Raises MalformedElf where it is shorter than when it was opened."""
    import hashlib  # it brings libcrypto

    digest = hashlib.sha256()
    for at in range(0, reader.size, _PIECE):
        digest.update(reader.read(at, min(_PIECE, reader.size - at)))
    return digest.hexdigest()
