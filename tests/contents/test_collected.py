"""Programs from which a linker left out a library's banner, to which nothing refers, or which have that alone."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from linkscope.analysis.facts import file_facts
from linkscope.contents.identify import Inside, inside
from linkscope.contents.known import Pack
from linkscope.contents.packs import SHIPPED, Store
from tests.contents.samples import all_found_in, linked, said_by
from tests.elf.samples import opened

_INFLATES = (
    "#include <stdio.h>\n#include <zlib.h>\nint main(int c, char **v) { z_stream s = {0}; "
    'printf("version=%s\\n", zlibVersion()); return c > 1 ? inflateInit(&s) + inflate(&s, 0) : 0; }\n'
)
_DEFLATES = _INFLATES.replace("inflateInit(&s) + inflate(&s, 0)", "deflateInit(&s, 1) + deflate(&s, 0)")
_PRINTS = (
    '#include <stdio.h>\nint main(void) {{ puts(" deflate {0} Copyright 1995-2022 Jean-loup Gailly and Mark Adler ");\n'
    'puts(" inflate {0} Copyright 1995-2022 Mark Adler "); return 0; }}\n'
)


def _without_banners(path: Path) -> Path:
    """PATH as it is where the linker left out the constants to which nothing refers."""
    data = path.read_bytes()
    for name in (b" deflate ", b" inflate "):
        at = data.find(name)
        while at >= 0:
            if data[at + len(name) : at + len(name) + 1].isdigit():
                end = data.index(b"\0", at)
                data = data[:at] + bytes(end - at) + data[end:]
            at = data.find(name, at + 1)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("source", [_INFLATES, _DEFLATES], ids=["inflate", "deflate"])
def test_a_program_without_the_banner_is_known_by_the_other_texts(source: str, tmp_path: Path) -> None:
    program = linked(tmp_path / "program", source, ["-static", "-s", "-lz"])
    (before,) = [one for one in all_found_in(program) if one.name == "zlib"]
    assert before.version == said_by(program)["version"]
    (after,) = [one for one in all_found_in(_without_banners(program)) if one.name == "zlib"]
    assert (after.version, after.proof, after.evidence[0].kind) == (None, "text", "banner")


def test_a_client_of_the_shared_library_holds_no_text_of_it(tmp_path: Path) -> None:
    """Not even where it has the same messages: so do CPython, of Expat, and Perl, of zlib."""
    own = '"need dictionary", "stream end", "file error", "stream error", "insufficient memory", "buffer error"'
    client = _INFLATES.replace("int main", f"const char *own[] = {{ {own} }};\nint main")
    assert all_found_in(linked(tmp_path / "client", client, ["-lz"])) == []
    alone = client.replace("zlibVersion()", "own[c]").partition("return")[0] + "return 0; }\n"
    assert [one.name for one in all_found_in(linked(tmp_path / "alone", alone, []))] == ["zlib"]


def _inside(path: Path, packs: Sequence[Pack]) -> Inside:
    with opened(path) as (reader, image):
        return inside(reader, image, file_facts(reader, image).file, packs)


@pytest.fixture(scope="module")
def shipped() -> Store:
    """The signatures that are brought along."""
    return Store(SHIPPED, fixed=True)


def test_where_the_text_stands_alone_the_versions_are_named_whose_code_is_not_there(
    shipped: Store, tmp_path: Path
) -> None:
    """A copy of the text cannot be told from the library built otherwise; what is known of it is said."""
    known = [one.archive for one in shipped.filed() if one.archive.library == "zlib"]
    version = next(one.version for one in known if one.architecture == "x86_64")
    decoy = linked(tmp_path / "decoy", _PRINTS.format(version), ["-static"])
    (found,) = [one for one in _inside(decoy, [shipped]).contents if one.name == "zlib"]
    assert (found.version, found.proof) == (version, "text")
    assert set(found.absent_code) == {one.version for one in known if one.architecture == "x86_64"}
    older = linked(tmp_path / "older", _PRINTS.format("1.1.4"), ["-static"])
    assert [one.absent_code for one in _inside(older, [shipped]).contents if one.name == "zlib"] == [[]]


def test_where_the_code_is_there_nothing_is_amiss(shipped: Store, tmp_path: Path) -> None:
    program = linked(tmp_path / "program", _DEFLATES, ["-static", "-lz"])
    (found,) = [one for one in _inside(program, [shipped]).contents if one.name == "zlib"]
    assert (found.proof, found.absent_code) == ("code", [])
    assert [one.absent_code for one in all_found_in(program) if one.name == "zlib"] == [[]]
