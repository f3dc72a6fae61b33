"""The crates inside a Rust program, and the compiler that made it.

Three things tell, and each is taken where it is there: the list that `cargo auditable` leaves in the section `.dep-v0`
(zlib over JSON; its PARSING.md), the source paths that panic messages hold, and what rustc signs in `.comment`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from linkscope.contents import spans, texts
from linkscope.contents.limits import Met, unheard
from linkscope.contents.unloaded import unloaded
from linkscope.model.inspect import Content, Evidence

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_AUDIT_SECTION = b".dep-v0"
_LONGEST_AUDIT = 1 << 23  # bytes of the list; of the section it takes some tenth of that. uv's has 60 000
_AUDIT_BEGINS = b'{"packages":['
_ZLIB_HEADERS = (b"x\x9c", b"x\xda", b"x\x5e", b"x\x01")  # RFC 1950: a window of 32 KiB, four levels
_BEGINNING = 64  # bytes of zlib's that hold at least the first few of the list
_MOST_TRIES = 100_000
_MOST_LISTS = 16  # that are unpacked: a program has one
_MOST_PACKAGES = 1 << 16

_LONGEST_PATH = 512
_MOST_CRATES = 1 << 14
# What follows tells where each part ends, so that no other end of it is tried (the `+` behind what repeats).
_NAME = rb"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}?"
_VERSION = rb"\d{1,9}+\.\d{1,9}+\.\d{1,9}+(?:-[0-9A-Za-z][0-9A-Za-z.-]{0,40}+)?+(?:\+[0-9A-Za-z][0-9A-Za-z.-]{0,40}+)?+"
_SOURCE = rb"(?:[A-Za-z0-9_.+-]{1,80}+/){0,12}?[A-Za-z0-9_.+-]{1,80}?\.rs"  # behind it stands the next text at once
_CRATE = rb"(?>(?P<name>" + _NAME + rb")-(?P<version>" + _VERSION + rb")/)" + _SOURCE
# Where the source of a crate stands, by what is searched for. Cargo's home: src/cargo/sources/registry/mod.rs, and
# sources/git/source.rs (a checkout is named after the repository, the folder in it after the commit); Debian's and
# Fedora's packages of crates: /usr/share/cargo/registry; `cargo vendor`; Nix' cargo-vendor-dir; the crates that the
# standard library itself is built of: rust src/bootstrap, /rust/deps.
_PLACES: tuple[tuple[bytes, re.Pattern[bytes]], ...] = tuple(
    (anchor, re.compile(re.escape(anchor) + pattern))
    for anchor, pattern in (
        (b"registry/", rb"(?:src/[A-Za-z0-9._-]{1,80}/)?" + _CRATE),
        (
            b"git/checkouts/",
            rb"(?P<repository>" + _NAME + rb")-[0-9a-f]{16}/[0-9a-f]{7,40}/(?P<inside>" + _SOURCE + b")",
        ),
        (b"/rust/deps/", _CRATE),
        (b"vendor/", rb"(?:" + _CRATE + rb"|(?P<plain>[A-Za-z0-9_][A-Za-z0-9_-]{0,63})/src/" + _SOURCE + rb")"),
        (b"cargo-vendor-dir/", _CRATE),
    )
)
# How the standard library's own sources are called: by the commit of the compiler in the project's own builds (rust
# src/bootstrap, remap-path-prefix), by its version in those of distributions (Debian's /usr/src/rustc-1.63.0).
_RUSTC_ANCHOR = b"/rustc"
_RUSTC = re.compile(rb"/rustc(?:/[0-9a-f]{40}|[-/](?P<version>\d+\.\d+\.\d+)(?:-src)?)/library/")
_COMMENT = re.compile(r"rustc version (?P<version>\d+\.\d+\.\d+[0-9A-Za-z.-]*)")


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A crate in the list of `cargo auditable`. kind: `runtime`, or `build` for what only took part in the build."""

    name: str
    version: str
    source: str = "local"
    kind: str = "runtime"
    root: bool = False


class _Audit(msgspec.Struct, frozen=True):
    packages: list[Package]


class Crate(msgspec.Struct, frozen=True):
    """A crate by a path of its source. version: None where the path names none (a commit, a vendored folder)."""

    name: str
    version: str | None
    path: str


def contents(reader: Reader, image: Image, met: Met = unheard) -> list[Content]:
    """The crates of a Rust program, with its standard library as `std`; nothing of what is in another language.

    met: is told of bounds. Raises MalformedElf and FileUnreadable.
    """
    compilers = _compilers(reader, image)
    audited = audited_packages(reader, image, met)
    if not compilers and audited is None:
        return []
    found = [_content(p.name, p.version, Evidence(kind="rust-audit", text=_told(p))) for p in audited or ()]
    found += [
        _content(crate.name, crate.version, Evidence(kind="rust-path", text=crate.path))
        for crate in _crates(reader, image, met)
    ]
    return found + _standard_library(compilers)


def audited_packages(reader: Reader, image: Image, met: Met = unheard) -> list[Package] | None:
    """The crates that `cargo auditable` listed, without those of the build alone; None where there is no (whole) list.

    It is found by its section and, in a file without section headers, by how it begins.
    """
    data = spans.section_bytes(reader, image, _AUDIT_SECTION, _LONGEST_AUDIT)
    packages = _unpacked(data) if data else None
    if packages is None and not image.layout.header.unpack_from(reader.head)[6]:  # e_shoff
        packages = next(_by_signature(reader, image, met), None)
    return None if packages is None else [package for package in packages if package.kind != "build"]


def _unpacked(data: bytes) -> list[Package] | None:
    """The list in zlib's form; None where it is another thing, damaged, or longer than any."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, _LONGEST_AUDIT)
        packages = msgspec.json.decode(text, type=_Audit).packages if stream.eof else None
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return packages if packages is not None and len(packages) <= _MOST_PACKAGES else None


def _by_signature(reader: Reader, image: Image, met: Met) -> Iterator[list[Package]]:
    """Every list that begins behind the segments, where what is not loaded stands, or in the read-only data."""
    tries = lists = 0
    for offset, data, size in spans.pieces(reader, [*unloaded(reader, image), *texts.areas(reader, image)], _BEGINNING):
        for header in _ZLIB_HEADERS:
            at = data.find(header, 0, size)
            while at >= 0:
                if tries == _MOST_TRIES or lists == _MOST_LISTS:
                    met("crates")
                    return
                tries += 1
                if _begins_a_list(data[at : at + _BEGINNING]):
                    lists += 1
                    packages = _unpacked(reader.read(offset + at, min(_LONGEST_AUDIT, reader.size - offset - at)))
                    if packages is not None:
                        yield packages
                at = data.find(header, at + 1, size)


def _begins_a_list(data: bytes) -> bool:
    try:
        return zlib.decompressobj().decompress(data, len(_AUDIT_BEGINS)) == _AUDIT_BEGINS
    except zlib.error:
        return False


def _compilers(reader: Reader, image: Image) -> list[tuple[str | None, str]]:
    """The compilers, as (version, text): what they signed, and how the standard library's sources are called."""
    signed = ((_COMMENT.match(comment), comment) for comment in spans.comments(reader, image))
    found = [(match["version"], comment) for match, comment in signed if match is not None]
    places: dict[bytes, str | None] = {}
    for _, data, size in spans.pieces(reader, texts.areas(reader, image), _LONGEST_PATH):
        for match in islice(_matches(data, size, _RUSTC_ANCHOR, _RUSTC), 1):
            places.setdefault(match[0], _decoded(match["version"]))
    return [*found, *((version, text.decode("ascii")) for text, version in places.items())]


def _crates(reader: Reader, image: Image, met: Met) -> list[Crate]:
    """The crates whose sources the read-only data names, once each."""
    crates: dict[tuple[str, str | None], Crate] = {}
    for _, data, size in spans.pieces(reader, texts.areas(reader, image), _LONGEST_PATH):
        for anchor, pattern in _PLACES:
            for match in _matches(data, size, anchor, pattern):
                crate = _crate(match)
                if len(crates) < _MOST_CRATES:
                    crates.setdefault((crate.name, crate.version), crate)
                elif (crate.name, crate.version) not in crates:
                    met("crates")
    return list(crates.values())


def _matches(data: bytes, size: int, anchor: bytes, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """What fits PATTERN at an ANCHOR within the first SIZE bytes."""
    at = data.find(anchor, 0, size)
    while at >= 0:
        match = pattern.match(data, at, at + _LONGEST_PATH)
        if match is not None:
            yield match
        at = data.find(anchor, match.end() if match else at + 1, size)


def _crate(match: re.Match[bytes]) -> Crate:
    """The crate whose source a path is. In a repository with several, it is the folder that `src` is in."""
    groups = match.groupdict()
    version = _decoded(groups.get("version"))
    folder, source, _ = (groups.get("inside") or b"").partition(b"/src/")
    name = groups.get("name") or groups.get("plain") or (folder.rpartition(b"/")[2] if source else groups["repository"])
    return Crate(_decoded(name) or "", version, _decoded(match[0]) or "")


def _standard_library(compilers: list[tuple[str | None, str]]) -> list[Content]:
    """The standard library, which comes with the compiler and has its version; RustSec knows it as `std`, too."""
    if not compilers:
        return []
    version = next((version for version, _ in compilers if version), None)
    proofs = [
        Evidence(kind="comment" if text.startswith("rustc ") else "rust-path", text=text) for _, text in compilers
    ]
    return [Content(name="std", ecosystem="cargo", version=version, evidence=proofs)]


def _content(name: str, version: str | None, proof: Evidence) -> Content:
    return Content(name=name, ecosystem="cargo", version=version, evidence=[proof])


def _told(package: Package) -> str:
    """One entry of the list in words."""
    place = "the program itself" if package.root else package.source
    return f"{package.name} {package.version} ({place})"


def _decoded(text: bytes | None) -> str | None:
    return None if text is None else text.decode("ascii", "replace")
