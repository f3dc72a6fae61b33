"""Signatures in one file, to be taken to another machine: MessagePack, compressed by zstd."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import Literal

import msgspec

from linkscope.contents.changeable import ARCHITECTURES
from linkscope.contents.fingerprints import DIGEST, Archive, Signature
from linkscope.contents.packs import Learnt
from linkscope.elf.reader import open_reader
from linkscope.errors import FileUnreadable, StoreUnusable

_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_LARGEST = 1 << 29  # bytes that a file may unpack to: sixteen times what the shipped pack does
_SMALL, _MOST_TIMES = 1 << 24, 100  # what may be more than so many times as large as what is packed
_PIECE = 1 << 20
_LEVEL = 12


class _Exchanged(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in such a file."""

    format: Literal["linkscope/signatures/1"] = "linkscope/signatures/1"
    archives: list[Learnt]


def write(path: str, archives: Iterable[Learnt]) -> None:
    """Make the file at PATH, whole or not at all. Raises StoreUnusable, also where something else is there already."""
    import zstandard

    _refuse_loss(path)
    data = msgspec.msgpack.encode(_Exchanged(archives=list(archives)))
    if len(data) > _LARGEST:
        raise StoreUnusable(path, f"would unpack to more than {_LARGEST} bytes; choose fewer archives")
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(data)
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".linkscope-", delete=False) as file:
            try:
                file.write(packed)
                file.flush()
                os.chmod(file.name, 0o666 & ~_umask())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise StoreUnusable(path, FileUnreadable.from_os_error(path, error).reason) from error


def _refuse_loss(path: str) -> None:
    """Raises StoreUnusable where the file at PATH is none that `write` made, and not empty."""
    if not os.path.lexists(path) or (os.path.isfile(path) and not os.path.getsize(path)):
        return
    try:
        read(path)
    except (StoreUnusable, FileUnreadable) as error:
        raise StoreUnusable(path, "is not written over: it is no file that `linkscope sigs export` made") from error


def read(path: str) -> list[Learnt]:
    """What `write` wrote. Raises StoreUnusable and FileUnreadable."""
    try:
        return _read(path)
    except MemoryError as error:
        raise StoreUnusable(path, "takes more memory than there is to be unpacked") from error


def _read(path: str) -> list[Learnt]:
    with open_reader(path) as reader:
        if not reader.head.startswith(_MAGIC):
            raise StoreUnusable(path, "is no file that `linkscope sigs export` makes")
        packed = reader.read(0, reader.size)
    try:
        found = msgspec.msgpack.decode(_unpacked(path, packed), type=_Exchanged).archives
    except (msgspec.DecodeError, RecursionError) as error:
        raise StoreUnusable(path, f"is no file that `linkscope sigs export` makes, or damaged ({error})") from error
    for one in found:
        if one.archive.architecture not in ARCHITECTURES or not all(map(_is_sound, one.archive.signatures)):
            raise StoreUnusable(path, f"is damaged: the signatures of {one.archive.name} contradict themselves")
        if not _is_countable(one.archive):
            raise StoreUnusable(
                path, f"is damaged: {one.archive.name} has an impossible number of members, sections or bytes"
            )
    return found


def _unpacked(path: str, packed: bytes) -> bytearray:
    import zstandard

    found = bytearray()
    most = min(_LARGEST, max(_SMALL, _MOST_TIMES * len(packed)))
    try:
        with zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            while piece := stream.read(_PIECE):
                found += piece
                if len(found) > most:
                    raise StoreUnusable(path, f"unpacks to more than {most} bytes")
    except zstandard.ZstdError as error:
        raise StoreUnusable(path, f"is damaged: {error}") from error
    return found


def _is_sound(one: Signature) -> bool:
    """Whether the numbers of a signature are possible."""
    room = 0 < one.fixed <= one.length < 1 << 32
    anchored = 0 <= one.anchor < 1 << 64 and 0 <= one.anchor_at <= one.length - 8
    checked = 0 <= one.check < 1 << 32 and 0 <= one.check_at <= one.length - 4
    named = "\0" not in one.member and "\0" not in one.section
    return room and anchored and checked and named and len(one.digest) == DIGEST


def _is_countable(one: Archive) -> bool:
    """Whether what is counted of an archive are numbers that a store can hold: SQLite's have 64 bits and a sign."""
    return all(0 <= number < 1 << 63 for number in (one.members, one.sections, one.size, one.bitcode))


def _umask() -> int:
    """The process's own, which can only be read by setting it (umask(2))."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
