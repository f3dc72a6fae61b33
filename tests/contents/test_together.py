"""What texts, symbols, code and notes say of one file, put together into one entry for each library and version."""

from collections.abc import Sequence

from linkscope.contents.attribution import Found
from linkscope.contents.fingerprinted import code, contents
from linkscope.contents.fingerprints import Archive
from linkscope.contents.linked import LinkedArchive
from linkscope.contents.releases import LinkedLibrary
from linkscope.contents.together import together
from linkscope.model.inspect import Content, Evidence

_ARCHIVE = Archive(
    name="libz.a",
    architecture="x86_64",
    members=15,
    sections=15,
    size=70_000,
    signatures=(),
    library="zlib",
    version="1.2.13",
    package="zlib1g-dev",
    package_version="1:1.2.13.dfsg-1",
    distribution="debian 12",
)


def _text(version: str | None, text: str = "") -> Content:
    proof = Evidence(kind="banner", text=text or f" inflate {version} ")
    return Content(name="zlib", ecosystem="generic", version=version, evidence=[proof])


def _symbols() -> Content:
    proof = Evidence(kind="symbol", text="inflateInit2_, deflateInit2_")
    return Content(name="zlib", ecosystem="generic", version=None, evidence=[proof])


def _code(version: str | None, fits: Sequence[str] = ()) -> Found:
    """What fingerprints find: the archive's code, as one VERSION has it, or as all of FITS."""
    linked = LinkedArchive(archive=_ARCHIVE, sections=6, members=6, size=35_000)
    library = LinkedLibrary(name="zlib", version=version, fits=tuple(fits), archives=(linked,), size=35_000)
    return Found(500_000, (library,))


def _told(found: Sequence[Content]) -> list[tuple[str | None, list[str]]]:
    return [(one.version, [proof.kind for proof in one.evidence]) for one in found]


def test_the_code_of_one_of_two_versions_stands_with_its_own_texts() -> None:
    told = [_text("1.2.13"), _text("1.3.1")]
    for version in ("1.2.13", "1.3.1"):
        found = _code(version)
        every = together(told, contents(found))
        kinds = {one.version: [proof.kind for proof in one.evidence] for one in every}
        assert list(kinds) == ["1.2.13", "1.3.1"]
        assert kinds.pop(version) == ["fingerprint", "banner"]
        assert list(kinds.values()) == [["banner"]]
        assert [share.version for share in code(found, every).libraries] == [version]


def test_code_that_fits_one_of_two_versions_is_that_ones() -> None:
    told = [_text("1.2.13"), _text("1.3.1")]
    every = together(told, contents(_code(None, ["1.3", "1.3.1"])))
    assert _told(every) == [("1.2.13", ["banner"]), ("1.3.1", ["fingerprint", "banner"])]


def test_what_tells_no_version_stands_with_the_oldest_of_two() -> None:
    every = together([_text("1.3.1"), _text("1.2.13"), _symbols()], contents(_code(None, ["1.2.13", "1.3.1"])))
    assert _told(every) == [("1.2.13", ["fingerprint", "banner", "symbol"]), ("1.3.1", ["banner"])]


def test_a_third_version_that_the_code_proves_is_an_entry_as_well() -> None:
    every = together([_text("1.2.13"), _text("1.3.1")], contents(_code("1.2.11")))
    assert _told(every) == [("1.2.11", ["fingerprint"]), ("1.2.13", ["banner"]), ("1.3.1", ["banner"])]


def test_one_text_has_the_last_word_on_the_version_and_code_has_that_in_the_shares() -> None:
    found = _code("1.2.13")
    every = together([_text("1.2.11"), _symbols()], contents(found))
    assert _told(every) == [("1.2.11", ["fingerprint", "banner", "symbol"])]
    assert [(share.name, share.version) for share in code(found, every).libraries] == [("zlib", "1.2.11")]


def test_a_text_and_a_note_that_say_it_otherwise_are_of_one_library() -> None:
    note = Content(
        name="glibc", ecosystem="generic", version="2.36", evidence=[Evidence(kind="note", text="NT_GNU_ABI_TAG")]
    )
    text = Content(
        name="glibc", ecosystem="generic", version="2.36-9", evidence=[Evidence(kind="banner", text="GNU C Library")]
    )
    assert _told(together([note, text])) == [("2.36", ["note", "banner"])]


def test_crates_are_ordered_by_age_and_not_by_their_letters() -> None:
    crates = [
        Content(name="syn", ecosystem="cargo", version=version, evidence=[Evidence(kind="rust-path", text=version)])
        for version in ("2.10.1", "2.9.0", "1.0.109")
    ]
    assert [one.version for one in together(crates)] == ["1.0.109", "2.9.0", "2.10.1"]


def test_the_strongest_evidence_is_what_an_entry_is_proven_by() -> None:
    (both,) = together([_text("1.2.13"), _symbols()])
    (every,) = together([_text("1.2.13"), _symbols()], contents(_code("1.2.13")))
    assert [_text("1.2.13").proof, both.proof, every.proof] == ["text", "symbols", "code"]
