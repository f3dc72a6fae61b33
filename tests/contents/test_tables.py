"""The tables of banners: every row finds its examples in a file, and leaves alone what it refuses."""

import re
from pathlib import Path

import msgspec
import pytest

from linkscope.contents import banners
from tests.contents.samples import found_in, texts, versions_in, with_constants

ROWS = (*banners.rows(), *banners.path_rows())
ROW = pytest.mark.parametrize("row", ROWS, ids=[f"{row.library.name}-{number}" for number, row in enumerate(ROWS)])
SETS = [(library.name, texts) for library in banners.libraries() for texts in library.texts]
SET = pytest.mark.parametrize(("name", "several"), SETS, ids=[f"{name}-{n}" for n, (name, _) in enumerate(SETS)])


def _beside(row: banners.Row) -> list[str]:
    """What has to stand beside a banner; beside a hint, what proves the library."""
    return [*row.banner.beside, *(_proof(row.library) if row.banner.hint else ())]


def _proof(library: banners.Library) -> list[str]:
    """Texts that prove LIBRARY and tell no version."""
    for path in library.path:
        return [path.examples[0]]
    plain = next(one for one in library.banner if set(one.examples.values()) == {""})
    return [next(iter(plain.examples)), *plain.beside]


@ROW
def test_a_banner_is_found_with_its_version(row: banners.Row, tmp_path: Path) -> None:
    for example, version in row.banner.examples.items():
        found = versions_in(with_constants(tmp_path / "made", texts("before", example, *_beside(row), "behind")))
        assert row.library.name in found, example
        assert found[row.library.name] == (version or None), example


@ROW
def test_what_a_row_refuses_is_nothing(row: banners.Row, tmp_path: Path) -> None:
    assert row.banner.refuses
    for refused in row.banner.refuses:
        found = versions_in(with_constants(tmp_path / "made", texts("before", refused, *_beside(row), "behind")))
        assert found.get(row.library.name) is None, refused
        assert row.banner.hint or row.library.name not in found, refused


@ROW
def test_a_banner_counts_only_with_what_must_stand_beside_it(row: banners.Row, tmp_path: Path) -> None:
    """All of it: a client may have the banner, and one text of the library by chance."""
    for example in row.banner.examples if row.banner.beside or row.banner.hint else ():
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
    between = " or " if row in banners.path_rows() else "x"  # a folder may be called as a file is
    for example in row.banner.examples if row.banner.whole else ():
        twice = f"{example}{between}{example}"
        mentions = texts(f"needs {example}", f"{example} or newer", twice, *row.banner.beside)
        assert row.library.name not in versions_in(with_constants(tmp_path / "made", mentions)), example


@ROW
def test_a_row_is_found_by_its_anchor(row: banners.Row) -> None:
    """And by a digit, a dot and a digit, unless it says that it has none."""
    assert row.banner.examples
    assert row.banner.source
    for example in row.banner.examples:
        assert row.banner.anchor in example
        assert row.banner.dotless or re.search(r"\d\.\d", example), example


@SET
def test_texts_prove_a_library_together_and_not_one_by_one(name: str, several: banners.Texts, tmp_path: Path) -> None:
    enough = texts("before", *several.texts[-several.least :], "behind")
    found = found_in(with_constants(tmp_path / "made", enough))
    assert (found[name].version, found[name].proof) == (None, "text")
    assert {proof.text for proof in found[name].evidence} == {
        " ".join(t.split()) for t in several.texts[-several.least :]
    }
    for many in (several.texts[: several.least - 1], several.texts[1 : several.least]):
        assert name not in found_in(with_constants(tmp_path / "made", texts(*many, *many)))


@SET
def test_texts_prove_nothing_in_sentences_or_beside_those_of_a_copy(
    name: str, several: banners.Texts, tmp_path: Path
) -> None:
    assert name not in found_in(with_constants(tmp_path / "made", texts(*(f"{text}: no" for text in several.texts))))
    assert name not in found_in(with_constants(tmp_path / "made", texts(*(f"error {text}" for text in several.texts))))
    for copy in several.without:
        data = texts(*several.texts, f"{copy}5.0")
        assert name not in found_in(with_constants(tmp_path / "made", data)), copy


@SET
def test_texts_are_no_evidence_where_the_banner_is_one(name: str, several: banners.Texts, tmp_path: Path) -> None:
    """They prove the same code, and do not tell its version."""
    for row in ROWS:
        if row.library.name == name and not (row.banner.unique or row.banner.header or row.banner.hint):
            example = next(iter(row.banner.examples))
            found = found_in(with_constants(tmp_path / "made", texts(*several.texts, example)))
            assert len(found[name].evidence) == 1


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
        (
            "[[library]]\nname = 'a'\nsonames = []\n[[library.texts]]\ntexts = ['x', 'y', 'x']\nleast = 3\nsource='-'",
            "`least` is 3, of 2 different `texts` - at `$.library[0].texts[0]`",
        ),
    ],
    ids=["unknown-key", "empty-name", "wrong-type", "too-many"],
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
        ("libxslt", "libexslt.so.0", True),
        ("e2fsprogs", "libcom_err.so.2", True),
        ("e2fsprogs", "libcom_err-2abe824b.so.2.1", True),
        ("e2fsprogs", "libcom_err.so.3", False),
        ("luajit", "libluajit-5.1.so.2", True),
    ],
)
def test_a_soname_is_a_librarys_own_with_or_without_a_hash(library: str, soname: str, own: bool) -> None:
    (row,) = [one for one in banners.libraries() if one.name == library]
    assert banners.is_called(row, soname) is own
