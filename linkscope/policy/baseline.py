"""The baseline: findings that were there before and are accepted, so that only new ones count."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from typing import Literal

import msgspec

from linkscope.errors import FileUnreadable, LinkScopeError
from linkscope.model.check import Checked, Finding
from linkscope.model.document import PACKED
from linkscope.policy.evaluate import fingerprint

_LARGEST = 256 << 20  # bytes: about a million findings


class BaselineInvalid(LinkScopeError):
    """The file is no baseline."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, order=True, forbid_unknown_fields=True):
    """One accepted finding. The fingerprint is what counts; the rest tells a person which one it is."""

    path: str
    rule: str
    subject: str
    fingerprint: str


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document of a baseline's file."""

    schema: Literal["linkscope/baseline/1"] = "linkscope/baseline/1"
    findings: tuple[Entry, ...] = ()


def read(path: str) -> Accepted:
    """The baseline in the file PATH. Raises FileUnreadable and BaselineInvalid."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST)
    except OSError as error:
        raise FileUnreadable.from_os_error(path, error) from error
    try:
        return msgspec.json.decode(content, type=Accepted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BaselineInvalid(path, f"is no baseline as --write-baseline writes it: {error}") from error


def written(findings: Iterable[Finding], folder: str) -> bytes:
    """The file that accepts FINDINGS, those waived left out: a line each, sorted, so that git shows what changed."""
    entries = {entry_of(finding, folder) for finding in findings if finding.status != "waived"}
    lines = [msgspec.json.encode(entry) for entry in sorted(entries)]
    body = b"".join([b"\n  " + line + (b"," if i < len(lines) - 1 else b"\n ") for i, line in enumerate(lines)])
    return b'{\n "schema": ' + msgspec.json.encode(Accepted().schema) + b',\n "findings": [' + body + b"]\n}\n"


def write(path: str, content: bytes) -> None:
    """Makes CONTENT the file PATH, as a whole: whoever ends this half way finds the old file. Raises FileUnreadable."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device takes what comes
            with open(path, "wb") as file:
                file.write(content)
        else:
            _replace(os.path.realpath(path), content)  # a link stays one
    except OSError as error:
        raise FileUnreadable.from_os_error(path, error) from error


def _replace(place: str, content: bytes) -> None:
    beside = f"{place}.{os.getpid()}.new"
    with open(beside, "xb") as file:
        try:
            file.write(content)
            file.flush()
            if os.path.exists(place):
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(place).st_mode))
            os.replace(beside, place)
        except BaseException:
            os.unlink(beside)
            raise


def entry_of(finding: Finding, folder: str) -> Entry:
    """FINDING as a baseline has it, whose paths are relative to FOLDER where they lie below it."""
    path = portable(finding.path, folder)
    subject = portable(finding.subject, folder) if finding.subject.startswith("/") else finding.subject
    return Entry(path=path, rule=finding.rule, subject=subject, fingerprint=fingerprint(finding.rule, path, subject))


def portable(path: str, folder: str) -> str:
    """PATH without what is different in another checkout: as seen from FOLDER where it lies below it, else as it is.

    A relative PATH is one from the working directory; where that was removed, all stay as they are.
    """
    try:
        seen = os.path.relpath(path, folder)
    except FileNotFoundError:
        return os.path.normpath(path)
    return os.path.normpath(path) if seen.startswith("../") or seen == ".." else seen


def folder_of(file: str) -> str:
    """The folder of FILE from the root, as that to which paths are relative; as it is where there is no other."""
    try:
        return os.path.dirname(os.path.abspath(file))
    except FileNotFoundError:  # the working directory was removed
        return os.path.dirname(file) or "."


class Settling:
    """Gives findings the fingerprint that is the same in every checkout, and accepts those of a baseline.

    folder: to which the paths in fingerprints are relative. root: in which absolute ones are meant.
    """

    def __init__(self, accepted: Accepted, folder: str, root: str = "/") -> None:
        self._folder = folder
        self._root = root
        self._accepted = {entry.fingerprint: entry for entry in accepted.findings}
        self._met: set[str] = set()
        self._paths: set[str] = set()

    def settled(self, checked: Checked) -> Checked:
        """CHECKED with its findings settled."""
        self._paths.add(portable(checked.path, self._folder))
        return msgspec.structs.replace(checked, findings=[self._of(finding) for finding in checked.findings])

    def _of(self, finding: Finding) -> Finding:
        mark = entry_of(finding, self._folder).fingerprint
        self._met.add(mark)
        accepted = finding.status == "new" and mark in self._accepted
        return msgspec.structs.replace(finding, fingerprint=mark, status="baseline" if accepted else finding.status)

    def gone(self, rules: Iterable[str]) -> list[Entry]:
        """What the baseline accepts and is not there any more, sorted.

        Only what this run could have found again counts: by one of RULES, in a file that was checked, or that does not
        exist any more.
        """
        applied = set(rules)
        return sorted(
            entry
            for entry in self._accepted.values()
            if entry.fingerprint not in self._met
            and entry.rule in applied
            and (entry.path in self._paths or not self._is_there(entry.path))
        )

    def _is_there(self, path: str) -> bool:
        if os.path.isabs(path):
            return exists(os.path.join(self._root, path.lstrip("/")))
        return exists(os.path.join(self._folder, path))


def exists(path: str) -> bool:
    """Whether there is a file PATH; the member of a package (PACKAGE!/MEMBER) is there with its package."""
    return os.path.lexists(path) or any(
        os.path.isfile(path[: place.start()]) for place in re.finditer(f"{PACKED}(?:/|$)", path)
    )
