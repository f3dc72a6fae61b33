"""What an archive's upstream project is called, and which of its versions a package holds."""

from __future__ import annotations

import os
import re
from functools import cache

import msgspec

_FILE = os.path.join(os.path.dirname(__file__), "packnames.toml")
# `1:1.3.dfsg+really1.3.1-1`: what a package that had to go back to an older version holds (Debian Developer's
# Reference, 5.7.1, "Versioning when going back").
_REALLY = re.compile(r".*\+really")
# `0~20200923.3`, `0+20210324`: the release's date, before which packagers put a zero that sorts below any number that
# upstream may begin to count with (Debian Policy, 5.6.12).
_DATED = re.compile(r"0[~+](?=\d{8}(\.\d+)*$)")
# What packagers add when they take something out of the sources (lintian, `source-contains-…`; Debian's habits).
_REPACKED = re.compile(r"[.+~-](dfsg|ds|repack|git|svn|cvs|openresty|\d{8}).*")


class Names(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tables of packnames.toml, whose comments say what they hold."""

    patterns: dict[str, str]
    sources: dict[str, str]
    archives: dict[str, str]


def library_of(archive: str, source: str | None) -> str:
    """The project as Repology names it. archive: the file's name; source: of its source package, None without one."""
    named = names()
    if source is None:
        plain = archive.removesuffix(".a")
        return named.archives.get(archive) or plain.lower()
    source = source.lower()
    known = named.sources.get(source)
    if known:
        return known
    for pattern, name in named.patterns.items():
        if re.fullmatch(pattern, source):
            return name
    return source


def upstream_version(package_version: str) -> str:
    """The version of what is packaged, in a package's own: without epoch, revision and what packagers add.

    Sources: deb-version(7), rpm-version(7), apk's `-r1`: the revision is behind the last hyphen, the epoch before the
    first colon.
    """
    _, _, version = package_version.rpartition(":")
    version = version.rsplit("-", 1)[0] if "-" in version else version
    version = _DATED.sub("", _REALLY.sub("", version), count=1)
    return _REPACKED.sub("", version) or version


@cache
def names() -> Names:
    """The tables, read once."""
    with open(_FILE, "rb") as file:
        return msgspec.toml.decode(file.read(), type=Names)
