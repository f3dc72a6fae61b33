"""Files that mention a library, or have a text of its header, and do not hold it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkscope.contents import banners
from linkscope.contents.texts import _PIECE
from tests.contents.samples import all_found_in, found_in, linked, texts, versions_in, with_constants
from tests.elf.samples import PROGRAMS, elf_files, spread

DYNAMIC = "#include <stdio.h>\n#include <{header}>\nint main(void) {{ puts({text}); return {use}; }}\n"
CLIENTS = {
    "openssl": ("openssl/crypto.h", "OPENSSL_VERSION_TEXT", "OpenSSL_version_num() == 0", ["-lcrypto"]),
    "openssl-without-need": ("openssl/opensslv.h", "OPENSSL_VERSION_TEXT", "0", []),
    "zlib": ("zlib.h", "ZLIB_VERSION", "zlibVersion() == 0", ["-lz"]),
    "sqlite": ("sqlite3.h", "SQLITE_VERSION", "sqlite3_libversion() == 0", ["-lsqlite3"]),
    "libpng": ("png.h", "PNG_HEADER_VERSION_STRING", "png_access_version_number() == 0", ["-lpng"]),
    "curses": ("curses.h", "NCURSES_VERSION", "curses_version() == 0", ["-ltinfo"]),
    "xz": ("lzma.h", "LZMA_VERSION_STRING", "lzma_version_number() == 0", ["-llzma"]),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_with_the_librarys_version_in_it_does_not_hold_it(name: str, tmp_path: Path) -> None:
    header, text, use, flags = CLIENTS[name]
    assert found_in(linked(tmp_path / name, DYNAMIC.format(header=header, text=text, use=use), flags)) == {}


MENTIONS = (
    "requires OpenSSL 1.1.1 or newer",
    "Mozilla/5.0 (X11; Linux x86_64) libcurl/7.88.1 OpenSSL/3.0.2 zlib/1.2.13",
    "libssl.so.1.1",
    "libcrypto.so.3",
    "OPENSSL_1_1_1",
    "zlib 1.2.13",
    "deflate 1.2.13 Copyright",
    "SQLite 3.40.1",
    "3.40.1",
    "1.44.2",
    "5.4.1",
    "1.2.3",
    "8.2",
    "libpng version 1.6.39",
    "Lua 5.4",
    "LIBTIFF, Version 4.5.0",
    "BusyBox v1.35.0",
    "FFmpeg version",
    "expat 2.5.0",
    "glibc 2.36 or newer",
    "LibreSSL 3.8.2 is supported",
)


def test_a_mention_is_nothing(tmp_path: Path) -> None:
    assert found_in(with_constants(tmp_path / "made", texts(*MENTIONS))) == {}


def _holding(path: Path, data: bytes, flags: int) -> set[str]:
    return set(found_in(with_constants(path, data, flags)))


def test_only_read_only_data_counts(tmp_path: Path) -> None:
    """What is written while the program runs is nobody's constant: a buffer, a copy."""
    data = texts("expat_2.5.0")
    assert [_holding(tmp_path / "made", data, flags) for flags in (4, 5, 6, 7)] == [{"expat"}, {"expat"}, set(), set()]


def test_two_numbers_that_fit_tell_no_version(tmp_path: Path) -> None:
    (row,) = [row for row in banners.rows() if row.library.name == "sqlite"]
    data = texts("3.40.1", "3.9.7", *row.banner.beside)
    assert versions_in(with_constants(tmp_path / "made", data)) == {"sqlite": None}


def test_of_two_versions_inside_each_is_an_entry_with_its_own_texts(tmp_path: Path) -> None:
    """The older one comes first, and has what tells no version."""
    data = texts("expat_2.10.0", "expat_2.5.0", " inflate 1.2.11 Copyright 1995-2017 Mark Adler ", "expat_2.5.0")
    found = all_found_in(with_constants(tmp_path / "made", data))
    told = [(one.name, one.version, [proof.text for proof in one.evidence]) for one in found]
    assert told == [
        ("expat", "2.5.0", ["expat_2.5.0"]),
        ("expat", "2.10.0", ["expat_2.10.0"]),
        ("zlib", "1.2.11", ["inflate 1.2.11 Copyright 1995-2017 Mark Adler"]),
    ]


def test_what_a_client_has_of_two_releases_is_one_library(tmp_path: Path) -> None:
    """A macro or a number out of a header is no second copy; the library's own text tells the version."""
    data = texts('OPENSSLDIR: "/usr"', "OpenSSL 3.0.2 15 Mar 2022", "OpenSSL 1.1.1w  11 Sep 2023")
    assert [one.version for one in all_found_in(with_constants(tmp_path / "made", data))] == ["1.1.1w"]


@pytest.mark.parametrize("before", [0, 1, _PIECE - 12, _PIECE - 6, _PIECE, _PIECE + 5, 2 * _PIECE - 8])
def test_a_text_is_found_wherever_it_stands(before: int, tmp_path: Path) -> None:
    """Across the border of two pieces too."""
    data = b"x" * before + texts("expat_2.5.0")
    assert versions_in(with_constants(tmp_path / "made", data)) == {"expat": "2.5.0"}


HOSTILE = (
    b"1.1" * 200_000,
    b".1" * 400_000,
    b"\0001.1" * 200_000,
    b"OpenSSL 1.1.1" * 40_000,
    b" Copyright 1995-" * 40_000,
    b"GNU C Library (" * 40_000 + b".1",
    b"fftw-3.3-sse2" + b"-sse2" * 100_000,
    b"\0".join(b"expat_2.5.%d" % number for number in range(50_000)),
    b"\xff!absl/base/" * 60_000,
    b"/" * 400 + b"providers/common/" + b"a/" * 300_000,
    b"\0".join(b"third_party/boringssl/src/ssl/%d.cc" % number for number in range(30_000)),
    b"incorrect data check\0invalid block type\0" * 20_000,
)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_texts_are_bounded(number: int, tmp_path: Path) -> None:
    found = found_in(with_constants(tmp_path / "made", HOSTILE[number]))
    assert all(len(content.evidence) <= 32 and content.name for content in found.values())


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*MENTIONS, *(r.banner.anchor for r in banners.rows()), "1.2.3", "\n", "(", "-"])))
def test_no_mixture_of_texts_breaks_it(parts: list[str]) -> None:
    text = "".join(parts).encode("latin-1")
    for row in banners.rows():
        told = row.told_by(b"\0" + text + b"\0")
        assert told is None or told[0]


def test_the_systems_dynamic_programs_hold_none_of_the_libraries_that_they_need() -> None:
    """Over the machine: whatever is found is not what the program has as a shared library."""
    from tests.elf.samples import ask

    for path in spread(elf_files(*PROGRAMS), 120):
        needed = ask(lambda _reader, image: image.needed, path)
        for name in found_in(path):
            own = [library for library in banners.libraries() if library.name == name]
            assert not any(banners.is_called(library, soname) for library in own for soname in needed), path
