"""The tables of banners: every row finds its examples in a file, and leaves alone what it refuses."""

import re
from pathlib import Path

import msgspec
import pytest

from linkscope.contents import banners
from tests.contents.samples import texts, versions_in, with_constants

ROWS = banners.rows()
ROW = pytest.mark.parametrize("row", ROWS, ids=[f"{row.library.name}-{number}" for number, row in enumerate(ROWS)])


@ROW
def test_a_banner_is_found_with_its_version(row: banners.Row, tmp_path: Path) -> None:
    for example, version in row.banner.examples.items():
        found = versions_in(with_constants(tmp_path / "made", texts("before", example, *row.banner.beside, "behind")))
        assert row.library.name in found, example
        assert found[row.library.name] == (version or None), example


@ROW
def test_what_a_row_refuses_is_nothing(row: banners.Row, tmp_path: Path) -> None:
    assert row.banner.refuses
    for refused in row.banner.refuses:
        found = versions_in(with_constants(tmp_path / "made", texts("before", refused, *row.banner.beside, "behind")))
        assert row.library.name not in found, refused


@ROW
def test_a_banner_counts_only_with_what_must_stand_beside_it(row: banners.Row, tmp_path: Path) -> None:
    """All of it: a client may have the banner, and one text of the library by chance."""
    for example in row.banner.examples if row.banner.beside else ():
        found = versions_in(with_constants(tmp_path / "made", texts(example, *row.banner.beside[:-1])))
        assert row.library.name not in found


@ROW
def test_a_banner_says_nothing_with_the_text_of_a_fork(row: banners.Row, tmp_path: Path) -> None:
    for fork in row.banner.without:
        for example in row.banner.examples:
            found = versions_in(with_constants(tmp_path / "made", texts(example, *row.banner.beside, f"{fork}0.0")))
            assert row.library.name not in found


@ROW
def test_a_whole_text_is_none_in_a_sentence(row: banners.Row, tmp_path: Path) -> None:
    for example in row.banner.examples if row.banner.whole else ():
        mentions = texts(f"needs {example}", f"{example} or newer", f"{example}x{example}", *row.banner.beside)
        assert row.library.name not in versions_in(with_constants(tmp_path / "made", mentions)), example


@ROW
def test_a_row_is_found_by_its_anchor(row: banners.Row) -> None:
    """And by a digit, a dot and a digit, unless it says that it has none."""
    assert row.banner.examples
    assert row.banner.source
    for example in row.banner.examples:
        assert row.banner.anchor in example
        assert row.banner.dotless or re.search(r"\d\.\d", example), example


def test_libraries_are_named_once_as_repology_does() -> None:
    names = [library.name for library in banners.libraries()]
    assert len(names) == len(set(names)) >= 200
    assert all(re.fullmatch(r"[a-z0-9+._-]+", name) for name in names)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[[library]]\nname = 'a'\nsonames = []\nbanner = []\nbaner = 1", "unknown field `baner` - at `$.library[0]`"),
        ("[[library]]\nname = ''\nsonames = []\nbanner = []", "`$.library[0].name`"),
        ("[[library]]\nname = 'a'\nsonames = 'x'\nbanner = []", "`$.library[0].sonames`"),
    ],
    ids=["unknown-key", "empty-name", "wrong-type"],
)
def test_a_mistake_in_a_table_is_told_with_its_place(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "made.toml").write_text(text)
    with pytest.raises(msgspec.ValidationError, match=r"^made\.toml: ") as raised:
        banners.read_libraries(str(tmp_path))
    assert place in str(raised.value)


@pytest.mark.parametrize(
    ("library", "soname", "own"),
    [
        ("zlib", "libz.so.1", True),
        ("zlib", "libz-dd453c56.so.1.2.11", True),
        ("zlib", "/opt/lib/libz.so", True),
        ("zlib", "libzstd.so.1", False),
        ("openssl", "libcrypto-3e2b8d4a.so.1.1", True),
        ("openssl", "libcryptopp.so.8", False),
        ("curl", "libcurl-gnutls.so.4", True),
        ("curl", "libcurlpp.so.0", False),
        ("libpng", "libpng16.so.16", True),
        ("icu", "libicuuc.so.72", True),
        ("ncurses", "libtinfo.so.6", True),
        ("libssh", "libssh2.so.1", False),
        ("libvorbis", "libvorbisenc.so.2", True),
        ("lua", "liblua5.4.so.0", True),
        ("db", "libdb-5.3.so", True),
        ("luajit", "libluajit-5.1.so.2", True),
    ],
)
def test_a_soname_is_a_librarys_own_with_or_without_a_hash(library: str, soname: str, own: bool) -> None:
    (row,) = [one for one in banners.libraries() if one.name == library]
    assert banners.is_called(row, soname) is own
