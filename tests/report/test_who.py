"""The text of `who`: whole names on narrow pages, what proves a match, and what could not be seen."""

import re

import msgspec
import pytest

from linkscope.model.inspect import Evidence
from linkscope.model.who import Closed, Match, WhoDocument, WhoSummary
from linkscope.report.page import Page, cells
from linkscope.report.who import render

_BANNER = Evidence(kind="banner", text="deflate 1.2.11 Copyright 1995-2017 Jean-loup Gailly and Mark Adler")
_LIBS = "/opt/venv/lib/python3.11/site-packages/Pillow.libs"
_LONG = "/opt/lib/python3.11/site-packages/PIL/{}.cpython-311-x86_64-linux-gnu.so"


def _inside(path: str, version: str | None = "1.2.11", **changes: object) -> Match:
    match = Match(
        path=path,
        pid=None,
        how="inside",
        library=None,
        version=version,
        version_from=None if version is None else "contents",
        via=[path],
        name="zlib",
        evidence=[_BANNER],
        proof="text",
    )
    return msgspec.structs.replace(match, **changes)


def _needed(path: str, *via: str) -> Match:
    return Match(
        path=path,
        pid=None,
        how="indirect" if via else "needed",
        library=f"{_LIBS}/libz-dd453c56.so.1.2.11",
        version="1.2.11",
        via=[path, *via],
        name="zlib",
    )


def _lines(matches: list[Match], width: int | None, **summary: int | bool) -> list[str]:
    counts = WhoSummary(**{"files": 50, "processes": 0, "closed": 0, **summary})  # type: ignore[arg-type]
    document = WhoDocument(name="zlib", older_than=None, matches=matches, packed=[], summary=counts, errors=[])
    return "".join(render(document, Page(width=width))).splitlines()


_MATCHES = [
    _needed("/usr/bin/short"),
    _needed("/usr/bin/curl", f"{_LIBS}/libfreetype-a029e222.so.6.18.1"),
    *(_needed(_LONG.format(name)) for name in ("_imaging", "_imagingft", "_imagingmath")),
    _needed(_LONG.format("_webp"), f"{_LIBS}/libfreetype-a029e222.so.6.18.1", f"{_LIBS}/libpng16-213e245f.so.16.37.0"),
    _inside(_LONG.format("_avif")),
    _inside(_LONG.format("_avif2"), absent_code=["1.2.11", "1.3.1"]),
]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_every_line_fits_and_no_name_looks_like_another(width: int) -> None:
    lines = _lines(_MATCHES, width)
    assert max(map(cells, lines)) <= width
    paths = [line.split()[0] for line in lines if line.startswith("  /")]
    assert len(paths) == len(set(paths)) == len(_MATCHES)


@pytest.mark.parametrize("width", [80, 200, None])
def test_the_telling_part_is_whole_on_every_page(width: int | None) -> None:
    text = " ".join(" ".join(_lines(_MATCHES, width)).split())
    for whole in ("libfreetype-a029e222.so.6.18.1, libpng16-213e245f.so.16.37.0", _BANNER.text or "", "_imagingft.cpy"):
        assert whole in text


def test_on_a_wide_page_a_match_is_a_line_in_columns() -> None:
    lines = [line for line in _lines(_MATCHES[:6], 200) if line.startswith("  /")]
    assert len(lines) == 6
    assert len({re.search(r"(needed|indirect)", line).start() for line in lines}) == 1  # type: ignore[union-attr]


def test_on_a_narrow_page_only_what_finds_no_room_takes_two_lines() -> None:
    lines = _lines(_MATCHES[:4], 80)
    assert next(line for line in lines if "short" in line).split() == ["/usr/bin/short", "needed"]
    below = lines[lines.index(f"  {_LONG.format('_imaging')}") + 1]
    assert below.split() == ["needed"]


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        ("code", "by its code"),
        ("symbols", "by its symbols"),
        ("record", "as recorded"),
        ("text", "by its text only"),
    ],
)
def test_what_proves_a_match_is_said(proof: str, said: str) -> None:
    (line,) = [line for line in _lines([_inside("/bin/app", proof=proof)], None) if line.startswith("  /")]
    assert line.startswith(f"  /bin/app  {said}  deflate 1.2.11 Copyright")


def test_code_that_is_not_there_is_told_beside_a_text() -> None:
    assert "; machine code as in 1.2.11 or 1.3.1 was not found" in "".join(_lines(_MATCHES[-1:], None))


def test_versions_are_in_their_order() -> None:
    lines = _lines([_inside("/bin/app", version) for version in ("1.2.11", "1.3", "1.2.8", None)], None)
    assert re.findall(r"zlib  (\S+)", "\n".join(lines)) == ["version", "1.2.8", "1.2.11", "1.3"]


def test_none_is_told_with_what_was_looked_at_and_what_cannot_be_seen() -> None:
    assert _lines([], None) == ["zlib: held by none of 50 files"]
    lines = _lines([], None, by_texts=40, unknown_code=3, unknown_bytes=3 << 20)
    texts = "40 files looked at by texts and symbols alone (--thorough: by machine code, too)"
    code = "in 3 files 3.0 MiB of machine code are of no library that is known"
    assert lines == ["zlib: held by none of 50 files", f"  {texts}; {code}"]
    assert _lines(_MATCHES, None, by_texts=40)[-1] == f"  of those without it, {texts}"
    assert "only the names of shared libraries were compared" in _lines([], None, names_only=True)[-1]


def _limited(width: int | None, *closed: tuple[int, str | None], unsure: int = 0) -> list[str]:
    counts = WhoSummary(files=0, processes=40, closed=len(closed), unsure=unsure)
    guarded = [Closed(pid=pid, command=command, reason="it is another user's") for pid, command in closed]
    found = [_inside("/usr/bin/app", None, pid=7, command="app")]
    document = WhoDocument(
        name="zlib", older_than=None, matches=found, packed=[], closed=guarded, summary=counts, errors=[]
    )
    return "".join(render(document, Page(width=width))).splitlines()


def test_processes_that_may_not_be_looked_into_are_named_up_to_a_number() -> None:
    assert _limited(None, (1, "systemd"))[-1] == "1 process may not be looked into: 1 systemd"
    assert _limited(None, (1, None))[-1] == "1 process may not be looked into: 1"
    many = [(pid, "(sd-pam)") for pid in range(1, 101)]
    assert _limited(None, *many)[-1].endswith(", 8 (sd-pam), and 92 more")
    assert max(map(cells, _limited(60, *many))) <= 60


def test_none_of_those_that_could_not_be_looked_into_is_no_good_news() -> None:
    """An ordinary user asks about a machine on which nothing of his own runs."""
    counts = WhoSummary(files=0, processes=0, closed=1)
    guarded = [Closed(pid=1, command="init", reason="it is another user's")]
    document = WhoDocument(
        name="zlib", older_than=None, matches=[], packed=[], closed=guarded, summary=counts, errors=[]
    )
    assert next(render(document, Page(width=None))) == "zlib: held by none of 0 processes\n"
    none, closed = "".join(render(document, Page(width=None, colour=True))).splitlines()
    assert none.partition("zlib")[0] == closed.partition("1")[0]  # in the colour of what may not be looked into


def test_a_version_that_a_thorough_search_may_tell_is_said_with_its_option() -> None:
    said = "of 1 --thorough may tell the version: only texts and symbols were looked at"
    assert said in [line.strip() for line in _limited(None, unsure=1)]
    assert not any("--thorough" in line for line in _limited(None))
