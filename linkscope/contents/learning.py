"""From archives and packages to fingerprints that say where they are from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from linkscope.contents import archives, libraries
from linkscope.contents.fingerprints import Archive, Signature, fingerprints
from linkscope.contents.packs import Learnt
from linkscope.elf.reader import Reader, open_reader
from linkscope.errors import LinkScopeError, NotLearnt
from linkscope.model.document import text
from linkscope.packages import deb
from linkscope.packages.formats import format_of
from linkscope.packages.metadata import Metadata
from linkscope.packages.unpacked import Unpacked, unpacked

# What packagers add to a version tells whose package it is: Debian's for stable releases (Debian Developer's Reference,
# 5.8.5.4), and the tag of the release in those of Fedora, RHEL, Amazon Linux and openSUSE Leap.
_DISTRIBUTIONS = (
    (re.compile(r"[+~]deb(\d+)u\d+"), "debian"),
    (re.compile(r"\.fc(\d+)\b"), "fedora"),
    (re.compile(r"\.el(\d+)\b"), "rhel"),
    (re.compile(r"\.amzn(\d+)\b"), "amzn"),
    (re.compile(r"\blp(\d{2})(\d)"), "opensuse-leap"),
)
# What stands for an archive where it is spread over several (ld, Implicit Linker Scripts): glibc's libm.a.
_SCRIPT = re.compile(rb"\b(GROUP|INPUT)\s*\(")
_WANTED = (b"!<arch>\n", b"!<thin>\n")


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """What the user says of the archives; None: what their package says, or nothing."""

    library: str | None = None
    version: str | None = None
    distribution: str | None = None


Weight = Literal["error", "warning", "note"]


class Refused(msgspec.Struct, frozen=True):
    """Something of which no signatures are made, or not of all of it; `reason` is one line.

    weight: "error": it cannot be read; "warning": its code is not of a kind that can be recognised; "note": there is
    nothing in it that could be, as in the archives that glibc keeps for old makefiles (libdl.a, libpthread.a).
    """

    path: str
    reason: str
    weight: Weight = "error"


def of_file(
    reader: Reader, location: str, labels: Labels, owner: Metadata | None = None, into: str | None = None
) -> Iterator[Learnt | Refused]:
    """The archives of an open file, which is one itself or a package with some.

    location: the file's place on this machine, from which the members of a thin archive are found. owner: the package
    that an installed archive belongs to. into: a folder for what is unpacked meanwhile. Raises NotLearnt where it is
    neither, and NoPrivateFolder.
    """
    if archives.is_archive(reader.head) and not deb.begins(reader.head):
        yield from _of_archive(reader, os.path.dirname(os.path.abspath(location)), owner, labels)
    elif format_of(reader) is None:
        script = _SCRIPT.search(reader.head) and b"\0" not in reader.head
        what = (
            "is a linker script: name the archives that it lists" if script else "is neither an archive nor a package"
        )
        raise NotLearnt(reader.path, what)
    else:
        with unpacked(reader, into, wanted=_WANTED) as package:
            yield from _of_package(package, labels)


def _of_package(package: Unpacked, labels: Labels) -> Iterator[Learnt | Refused]:
    """The archives of a package and of those inside it."""
    for one in package.all():
        yield from (Refused(problem.path, problem.reason) for problem in one.problems)
        for name in sorted(one.files):
            path = one.name_of(name)
            try:
                with open_reader(os.path.join(one.folder, name), path) as reader:
                    yield from _of_archive(reader, None, one.metadata, labels)
            except LinkScopeError as error:
                yield Refused(path, error.reason)
    if not any(one.files or one.problems for one in package.all()):
        yield Refused(package.path, "holds no archive (.a)", "note")


def _of_archive(
    reader: Reader, folder: str | None, package: Metadata | None, labels: Labels
) -> Iterator[Learnt | Refused]:
    """The fingerprints of an archive, one for each architecture; what cannot be recognised is said.

    folder: where a thin archive's members are; None in a package, which keeps them away from this machine's files.
    """
    path = reader.path
    try:
        found = fingerprints(os.path.basename(path), archives.members(reader, folder))
    except LinkScopeError as error:
        yield Refused(path, error.reason if error.path == path else str(error))
        return
    if not found:
        yield Refused(path, "holds no machine code of x86-64 or arm64", "note")
    for one in found:
        if one.signatures:
            yield Learnt(text(path), labelled(one, package, labels))
        if one.bitcode or not one.signatures:
            yield _unrecognisable(path, one)


def _unrecognisable(path: str, archive: Archive) -> Refused:
    if not archive.bitcode:
        return Refused(path, f"holds no code that is long enough to be recognised ({archive.size} bytes)", "note")
    who = f"{archive.bitcode} of its members hold" if archive.members else "its members hold"
    reason = f"{who} only what a link-time optimiser reads (LTO), which cannot be recognised in a program"
    return Refused(path, reason, "warning")


def labelled(archive: Archive, package: Metadata | None, labels: Labels) -> Archive:
    """ARCHIVE with all that is known of where it is from."""
    package = package or Metadata()
    version = package.version and libraries.upstream_version(package.version)
    return msgspec.structs.replace(
        archive,
        name=text(archive.name),
        signatures=tuple(map(_readable, archive.signatures)),
        library=labels.library or libraries.library_of(archive.name, package.source or package.name),
        version=labels.version or version,
        package=package.name,
        package_version=package.version,
        distribution=labels.distribution or (package.version and _distribution(package.version)),
    )


def _readable(one: Signature) -> Signature:
    """ONE with names that can be written down: those of files need not be UTF-8."""
    if one.member.isascii() and one.section.isascii():
        return one
    return msgspec.structs.replace(one, member=text(one.member), section=text(one.section))


def _distribution(package_version: str) -> str | None:
    """Whose package it is, where its version tells; None where it does not."""
    for pattern, name in _DISTRIBUTIONS:
        found = pattern.search(package_version)
        if found:
            return f"{name} {'.'.join(found.groups())}"
    return None
