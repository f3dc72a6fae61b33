"""Signatures as people read them: a row for each package, all of an archive, and shares of code."""

import msgspec

from linkscope.contents.packs import SHIPPED, Store
from linkscope.model.inspect import Code, CodeShare, Content, Evidence
from linkscope.model.sigs import SignedArchive, SigsDocument
from linkscope.report.contents import contents
from linkscope.report.page import Page, cells, paint
from linkscope.report.sigs import render_details, render_list
from tests.report.documents import program

_TELLING = ("name", "library", "version", "package", "package_version", "distribution", "architecture", "size")
_ARCHIVE = SignedArchive(
    id="00112233445566778899aabbccddeeff",
    shipped=False,
    name="libz.a",
    library="zlib",
    version="1.2.13",
    package="zlib1g-dev",
    package_version="1:1.2.13.dfsg-1",
    distribution="debian 12",
    architecture="x86_64",
    members=15,
    sections=15,
    recognised=14,
    size=76002,
    bitcode=0,
    origin="zlib1g-dev.deb!/usr/lib/libz.a",
)


def document(*archives: SignedArchive) -> SigsDocument:
    return SigsDocument(store="/own.db", archives=list(archives))


def changed(**fields: object) -> SignedArchive:
    return msgspec.structs.replace(_ARCHIVE, **fields)


def test_a_row_is_a_package_of_a_release_with_all_its_archives_and_machines() -> None:
    """Of its archives, the one with the most code stands first."""
    others = changed(architecture="aarch64"), changed(name="libminizip.a", size=9), changed(distribution="debian 13")
    lines = "".join(render_list(document(_ARCHIVE, *others), Page())).splitlines()
    assert [line.split() for line in lines[1:-1]] == [
        "zlib 1.2.13 zlib1g-dev 1:1.2.13.dfsg-1 debian 12 aarch64, x86_64 42 libz.a, libminizip.a".split(),
        "zlib 1.2.13 zlib1g-dev 1:1.2.13.dfsg-1 debian 13 x86_64 14 libz.a".split(),
    ]
    assert lines[-1] == "4 archives in /own.db"


def test_an_archive_of_no_package_is_told_by_its_file() -> None:
    alone = changed(package=None, package_version=None, distribution=None, origin="/build/libz.a", version=None)
    (_, row, _) = "".join(render_list(document(alone), Page())).splitlines()
    assert row.split() == "zlib /build/libz.a x86_64 14 libz.a".split()


def test_what_is_shipped_is_counted_apart() -> None:
    lines = "".join(render_list(document(_ARCHIVE, changed(shipped=True)), Page())).splitlines()
    assert lines[-1] == "1 archive in the shipped pack, 1 archive in /own.db"
    assert sorted(line.split()[-1] for line in lines[1:3]) == ["shipped", "store"]


def test_the_list_stays_within_a_narrow_page() -> None:
    long = changed(package="lib" + "very-" * 20 + "dev", library="x" * 20)
    for width in (60, 80, 100):
        for line in "".join(render_list(document(_ARCHIVE, long), Page(width=width))).splitlines()[:-1]:
            assert cells(line) <= width


def test_80_columns_hold_what_tells_packages_apart() -> None:
    """Those of the shipped pack. What goes are the packages' own versions and archives, and the end of a long one."""
    there = Store(SHIPPED, fixed=True).filed()
    rows = [changed(**{name: getattr(one.archive, name) for name in _TELLING}, shipped=True) for one in there]
    lines = "".join(render_list(document(*rows), Page(width=80))).splitlines()[1:-1]
    packages = {(row.library, row.version, row.package, row.package_version, row.distribution) for row in rows}
    for line, package in zip(lines, sorted(packages), strict=True):
        library, version, name, _, release = (str(cell) for cell in package)
        shown = line.split()
        assert shown[0] == library
        assert version == shown[1] or (shown[1].endswith("…") and version.startswith(shown[1][:11]))
        assert [*shown[2:5], " ".join(shown[5:])] == [name, *release.split(), "aarch64, x86_64"]


def test_all_is_told_of_an_archive() -> None:
    text = "".join(render_details(document(changed(bitcode=3)), Page()))
    for said in ("libz.a", "zlib 1.2.13", "zlib1g-dev 1:1.2.13.dfsg-1", "debian 12", _ARCHIVE.id, _ARCHIVE.origin):
        assert said in text
    assert "of which 14 sections can be recognised; 3 members are for a link-time optimiser alone" in text


def test_names_from_files_cannot_act_on_a_terminal() -> None:
    evil = changed(name="lib\x1b[31m.a", library="\x1b]0;x\x07", origin="\x1b[2J")
    assert "\x1b" not in "".join(render_list(document(evil), Page())) + "".join(render_details(document(evil), Page()))


def shown(code: Code | None, *found: Content) -> list[str]:
    return [paint(line, Page()) for line in contents(program([], contents=list(found), code=code), Page())]


def test_the_share_of_each_library_of_the_code_is_told() -> None:
    shares = [CodeShare(name="openssl", version="3", size=470), CodeShare(name="glibc", version=None, size=3)]
    (line, *_) = shown(Code(size=1000, attributed=473, libraries=shares))
    assert line.split() == "code 1 KiB, 47 % attributed: openssl 47 %, glibc 1 %, 53 % not attributed".split()
    many = [CodeShare(name=f"l{number}", version=None, size=100) for number in range(10)]
    (line, *_) = shown(Code(size=1000, attributed=1000, libraries=many))
    assert line.endswith("l7 10 %, 2 more 20 %, 0 % not attributed")


def test_nothing_is_said_of_code_that_no_library_accounts_for() -> None:
    assert shown(None) == shown(Code(size=1000, attributed=0, libraries=[]))


def test_code_that_was_found_is_told_with_its_archive_and_package() -> None:
    proof = Evidence(
        kind="fingerprint",
        archive="libz.a",
        package="zlib1g-dev 1:1.2.13.dfsg-1",
        distribution="debian 12",
        sections_matched=6,
        sections_total=15,
        bytes_matched=36030,
        fits=["1.2.12", "1.2.13"],
    )
    (*_, row) = shown(None, Content(name="zlib", ecosystem="generic", version=None, evidence=[proof]))
    assert (
        row.split()
        == (
            "zlib version unknown libz.a: 6 of 15 sections, 35 KiB, code that zlib1g-dev 1:1.2.13.dfsg-1 of debian 12 "
            "has as well, fits 1.2.12, 1.2.13"
        ).split()
    )
