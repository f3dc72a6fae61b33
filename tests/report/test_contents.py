"""The part of a file's text that says what is inside it."""

import msgspec
import pytest

from linkscope.model.inspect import Content, Evidence
from linkscope.report.contents import contents
from linkscope.report.lines import painted
from linkscope.report.page import Page, cells
from tests.report.documents import program

ZLIB = Content(
    name="zlib",
    ecosystem="generic",
    version="1.2.13",
    evidence=[
        Evidence(kind="banner", text="deflate 1.2.13 Copyright 1995-2022 Jean-loup Gailly and Mark Adler"),
        Evidence(kind="banner", text="inflate 1.2.13 Copyright 1995-2022 Mark Adler"),
    ],
)
MODULE = Content(
    name="golang.org/x/crypto", ecosystem="go", version=None, evidence=[Evidence(kind="go-buildinfo", text="dep x")]
)


PLAIN = Page()


def _text(inside: list[Content] | None, page: Page = PLAIN, linkage: str = "dynamic") -> str:
    return painted(list(contents(program([], contents=inside, linkage=linkage), page)), page)


def test_each_has_its_name_its_version_and_its_first_proof() -> None:
    assert _text([MODULE, ZLIB]).splitlines() == [
        "  inside the file itself",
        "    go golang.org/x/crypto  version unknown  dep x",
        f"    zlib                    1.2.13           by its text only: {ZLIB.evidence[0].text} (and 1 more)",
    ]


def test_what_the_file_is_itself_stands_in_a_line_of_its_own_and_not_among_what_is_inside() -> None:
    own = msgspec.structs.replace(ZLIB, itself=True)
    line = f"zlib 1.2.13, by its text only: {ZLIB.evidence[0].text} (and 1 more)"
    assert _text([own]).splitlines() == [
        f"  the program itself: {line}",
        "  inside       nothing else that is known by its traces",
    ]
    assert _text([MODULE, own]).splitlines() == [
        f"  the program itself: {line}",
        "  inside the file itself",
        "    go golang.org/x/crypto  version unknown  dep x",
    ]


def test_what_a_text_alone_proves_is_said_with_the_code_that_is_not_there() -> None:
    for absent, said in (
        ([], "(and 1 more)"),
        (["1.2.11"], "(and 1 more); machine code as in 1.2.11 was not found"),
        (["1.2.11", "1.2.13", "1.3.1"], "; machine code as in 1.2.11, 1.2.13 or 1.3.1 was not found"),
        (
            [f"1.2.{n}" for n in range(9)],
            "; machine code as in any of 9 versions known, 1.2.0 to 1.2.8, was not found",
        ),
    ):
        (line,) = _text([msgspec.structs.replace(ZLIB, absent_code=absent)]).splitlines()[1:]
        assert line.endswith(said)
        assert "by its text only: " in line


def test_other_evidence_is_not_called_a_text() -> None:
    symbols = Evidence(kind="symbol", text="inflateInit2_, deflateInit2_")
    both = msgspec.structs.replace(ZLIB, evidence=[*ZLIB.evidence, symbols])
    assert both.proof == "symbols"
    assert "text only" not in _text([both])


_FOUND = Evidence(
    kind="fingerprint",
    archive="libz.a",
    package="zlib1g-dev 1:1.2.13.dfsg-1",
    distribution="debian 12",
    sections_matched=2,
    sections_total=15,
    members_matched=1,
    members_total=15,
    bytes_matched=2048,
)


@pytest.mark.parametrize(("version", "word"), [("1.2.13", "as in"), ("1.2.11", "code that"), (None, "code that")])
def test_a_package_is_not_taken_for_the_version_that_is_inside(version: str | None, word: str) -> None:
    text = _text([Content(name="zlib", ecosystem="generic", version=version, evidence=[_FOUND])])
    assert f"libz.a: 2 of 15 sections, 2 KiB, {word} zlib1g-dev 1:1.2.13.dfsg-1 of debian 12" in text
    assert ("has as well" in text) is (version != "1.2.13")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_line_fits_the_page(width: int) -> None:
    long = Content(name="n" * 90, ecosystem="go", version="v" * 90, evidence=ZLIB.evidence)
    for line in _text([ZLIB, long], Page(width=width)).splitlines():
        assert cells(line) <= max(width, 92)


def test_what_was_not_asked_for_is_a_hint_for_static_files_only() -> None:
    given = Page(given=("--root", "/my image"))
    assert _text(None) == ""
    assert "`linkscope inspect --contents --root '/my image' app`" in _text(None, given, linkage="static")


def test_nothing_found_is_said() -> None:
    assert _text([]) == "  inside       nothing that is known by its traces\n"
    assert "\x1b" not in _text([Content(name="\x1b[31m", ecosystem="\n", version="\r", evidence=[])])


_DOUBTED = msgspec.structs.replace(_FOUND, doubt="code that nobody knows stands between its functions")
_LEARNING = (
    "    version unknown: where it was built, `linkscope sigs add --installed{}` (or `linkscope sigs add {}`) "
    "learns the archives that it was built from"
)


def _doubted(name: str, archive: str, **other: object) -> Content:
    evidence = msgspec.structs.replace(_DOUBTED, archive=archive, **other)
    return Content(name=name, ecosystem="generic", version=None, evidence=[evidence])


def test_what_tells_a_version_that_is_in_doubt_is_said_once_below_the_list() -> None:
    lines = _text([_doubted("openssl", "libcrypto.a"), ZLIB, _doubted("xz", "liblzma.a")]).splitlines()
    assert lines[4:] == [_LEARNING.format("", "libcrypto.a")]
    assert _text([_doubted("xz", "liblzma.a")], Page(given=("--cwd", "/", "--root", "/my image"))).endswith(
        _LEARNING.format(" --root '/my image'", "liblzma.a") + "\n"
    )


@pytest.mark.parametrize(
    "content",
    [
        ZLIB,
        MODULE,
        _doubted("zlib", "libz.a", fits=["1.2.11", "1.2.13"]),  # learning one of them once more settles nothing
        _doubted("mine", "libmine.a", package=None),  # learnt by hand, without a version
        _doubted("gcc", "libgcc.a"),
    ],
    ids=lambda content: content.name,
)
def test_where_archives_would_not_tell_the_version_nothing_is_advised(content: Content) -> None:
    assert "sigs add" not in _text([content])


def test_the_compilers_runtime_is_called_so_and_comes_last() -> None:
    """Of libgcc.a's functions GCC's manual says that GCC "generates calls to" them by itself."""
    first, last = _text([_doubted("gcc", "libgcc.a"), ZLIB]).splitlines()[1:]
    assert first.split()[0] == "zlib"
    assert last.split()[:6] == ["gcc", "version", "unknown", "the", "compiler's", "runtime:"]
