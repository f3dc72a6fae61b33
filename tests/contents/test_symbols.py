"""Libraries by functions that a file defines itself; `nm` says which those are."""

import contextlib
import os
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkscope.contents import banners, symbols
from linkscope.errors import MalformedElf
from linkscope.model.inspect import Content
from tests.contents.samples import linked
from tests.elf.samples import PROGRAMS, RequireTool, ask, elf_files, spread, tool

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
# Programs and libraries of this kind of system that have another project's code in them, as their sources say.
EMBEDS = {
    r"lto-dump|/(cc1|cc1plus|lto1)$": {"libbacktrace"},  # GCC's own copy
    r"libLLVM|Polly": {"isl"},
    r"/bin/(r?bash|sh)$": {"readline"},
    r"/bin/perl": {"perl"},
    r"/bin/python3": {"python", "expat"},
    r"/bin/node$": {"brotli", "c-ares", "libuv", "llhttp", "nghttp2", "nghttp3", "ngtcp2", "openssl", "sqlite", "zlib"},
    r"preloadable_libintl": {"gettext"},
    r"libruby": {"ruby"},
}


def _found(path: str | os.PathLike[str]) -> dict[str, str]:
    """The libraries in a file by their symbols alone, with those as text."""
    contents: list[Content] = ask(symbols.contents, path)
    return {one.name: one.evidence[0].text or "" for one in contents}


def _own(path: str) -> set[str]:
    """The libraries of the tables that a file is by its soname, or its name."""
    soname = ask(lambda _, image: image.soname, path) or os.path.basename(path)
    return {
        row.name
        for row in symbols.libraries()
        if banners.is_called(banners.Library(name=row.name, sonames=symbols.sonames_of(row), banner=()), soname)
    }


def _defined(path: str, *options: str) -> set[str]:
    """The functions that a file defines, as nm has them (types T, W and i)."""
    rows = (line.split() for line in tool("nm", *options, "--defined-only", path).splitlines())
    return {row[2].partition("@")[0] for row in rows if len(row) > 2 and row[1] in "TtWi"}


def test_the_systems_libraries_are_known_by_what_they_export(require_tool: RequireTool) -> None:
    """At least forty of them here; each name that is given as evidence is one that nm shows as defined."""
    require_tool("nm")
    known = set()
    for path in elf_files(LIBRARIES):
        own, found = _own(path), _found(path)
        if own & set(found):
            known |= own & set(found)
            (name, *_) = own & set(found)
            assert set(found[name].split(", ")) <= _defined(path, "-D"), path
    assert len(known) >= 40


def test_nothing_else_is_found_in_the_systems_files() -> None:
    files = [*elf_files(LIBRARIES), *spread(elf_files(*PROGRAMS), 150)]
    assert len(files) > 100
    for path in files:
        embedded = {name for pattern, names in EMBEDS.items() if re.search(pattern, path) for name in names}
        assert set(_found(path)) - _own(path) - embedded <= ({"systemd"} if "/systemd" in path else set()), path


# Archives, a call that takes in the whole of each, and what else it needs.
ARCHIVES = {
    "zlib": ("zlib.h", "inflateInit2_(0, 0, 0, 0); deflateInit2_(0, 0, 0, 0, 0, 0, 0, 0);", ["-lz"]),
    "bzip2": ("bzlib.h", "BZ2_bzCompressInit(0, 0, 0, 0); BZ2_bzDecompressInit(0, 0, 0);", ["-lbz2"]),
    "xz": ("lzma.h", "lzma_easy_encoder(0, 6, 4); lzma_stream_decoder(0, 0, 0);", ["-llzma", "-lpthread"]),
    "expat": ("expat.h", "XML_ParserCreate_MM(0, 0, 0); XML_SetElementHandler(0, 0, 0);", ["-lexpat"]),
    "libyaml": ("yaml.h", "yaml_parser_load(0, 0); yaml_emitter_emit(0, 0);", ["-lyaml"]),
    "gmp": ("gmp.h", "__gmpz_mul(0, 0, 0);", ["-lgmp"]),
    "openssl": ("openssl/evp.h", "EVP_Digest(0, 0, 0, 0, 0, 0);", ["-lcrypto", "-ldl", "-lpthread"]),
    "sqlite": ("sqlite3.h", "sqlite3_open_v2(0, 0, 0, 0);", ["-lsqlite3", "-lm", "-ldl", "-lpthread"]),
    "libpng": ("png.h", "png_read_info(0, 0); png_create_read_struct(0, 0, 0, 0);", ["-lpng", "-lz", "-lm"]),
}
SOURCE = (
    "#include <stdio.h>\n#include <{header}>\n"
    "int {name}(int argc, char **argv) {{ if (argc > 1) {{ {use} }} return 0; }}\n"
)


def _program(name: str, folder: Path, *flags: str) -> Path:
    header, use, archives = ARCHIVES[name]
    return linked(folder / name, SOURCE.format(header=header, use=use, name="main"), [*flags, *archives])


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_static_program_defines_what_was_linked_into_it(name: str, tmp_path: Path, require_tool: RequireTool) -> None:
    path = _program(name, tmp_path, "-static")
    found = _found(path)
    assert set(found) == {name} | ({"zlib"} if name == "libpng" else set())
    assert set(found[name].split(", ")) <= _defined(str(path))
    tool(require_tool("strip"), path)
    assert _found(path) == {}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_program_that_takes_it_from_a_shared_library_does_not(name: str, tmp_path: Path) -> None:
    assert _found(_program(name, tmp_path)) == {}


def test_hidden_functions_count(tmp_path: Path, require_tool: RequireTool) -> None:
    """What a shared library keeps to itself stands in .symtab alone, as a local symbol."""
    header, use, _ = ARCHIVES["zlib"]
    flags = ["-shared", "-fPIC", "-Wl,--exclude-libs,ALL", "-Wl,-Bstatic", "-lz", "-Wl,-Bdynamic"]
    path = linked(tmp_path / "libhidden.so", SOURCE.format(header=header, use=use, name="entry"), flags)
    require_tool("nm")
    assert "inflateInit2_" not in _defined(str(path), "-D")
    assert set(_found(path)) == {"zlib"}


BOTH = "int inflateInit2_(void) { return 1; }\nint deflateInit2_(void) { return 2; }\n"
MADE = {
    "both": (BOTH, [], {"zlib"}),
    "one": ("int inflateInit2_(void) { return 1; }\n", [], set()),
    "data": ("int inflateInit2_ = 1, deflateInit2_ = 2;\n", [], set()),
    "references": (
        "extern int inflateInit2_(), deflateInit2_(); int f(void) { return inflateInit2_() + deflateInit2_(); }\n",
        [],
        set(),
    ),
    "wrappers": (BOTH, ["-Wl,--no-as-needed", "-lz"], set()),
    "itself": (BOTH, ["-Wl,-soname,libz.so.1"], {"zlib"}),
}


@pytest.mark.parametrize("name", MADE)
def test_two_functions_that_are_no_wrappers_are_a_proof(name: str, tmp_path: Path) -> None:
    source, flags, expected = MADE[name]
    assert set(_found(linked(tmp_path / "lib.so", source, ["-shared", "-fPIC", *flags]))) == expected


def test_a_name_that_is_the_end_of_another_is_seen(tmp_path: Path) -> None:
    """Linkers keep one string for both."""
    source = BOTH.replace("int ", "int my_") + BOTH
    assert set(_found(linked(tmp_path / "lib.so", source, ["-shared", "-fPIC", "-Wl,-O2"]))) == {"zlib"}


def test_a_fork_is_told_from_what_it_was_forked_from(tmp_path: Path) -> None:
    rows = {row.name: row for row in symbols.libraries()}
    for name in ("boringssl", "lua", "oniguruma"):
        row = rows[name]
        functions = "".join(f"int {symbol}(void) {{ return 0; }}\n" for symbol in row.symbols)
        flags = ["-shared", "-fPIC"]
        assert name in _found(linked(tmp_path / "plain.so", functions, flags))
        more = functions + f"int {row.without[0]}(void) {{ return 0; }}\n"
        assert name not in _found(linked(tmp_path / "fork.so", more, flags))


def test_every_function_is_one_librarys() -> None:
    names = [symbol for row in symbols.libraries() for symbol in row.symbols]
    forks = {"awslc_version_string", "awslc_api_version_num"}
    assert {name for name in names if names.count(name) > 1} <= forks
    libraries = [row.name for row in symbols.libraries()]
    assert len(libraries) == len(set(libraries)) >= 100
    assert all(re.fullmatch(r"[a-z0-9+._-]+", name) for name in libraries)


@pytest.mark.parametrize("family", ["gcc", "musl-gcc"])
def test_no_c_library_has_any_of_them(family: str, require_tool: RequireTool) -> None:
    archive = tool(require_tool(family), "-print-file-name=libc.a").strip()
    names = {row.split()[-1] for row in tool(require_tool("nm"), archive).splitlines() if row.split()[1:2] == ["T"]}
    assert len(names) > 1000
    assert not names & {symbol for row in symbols.libraries() for symbol in row.symbols}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[[library]]\nname = 'a'\nsymbols = ['b']\nsource = 'x'", "`$.library[0].symbols`"),
        ("[[library]]\nname = 'a'\nsymbols = ['b', 'c']\nsource = 'x'\nleast = 1", "`$.library[0].least`"),
        ("[[library]]\nname = 'a'\nsymbols = ['b', 'c']\nsource = 'x'\nsoname = 1", "unknown field `soname`"),
    ],
    ids=["one-symbol", "too-few", "unknown-key"],
)
def test_a_mistake_in_a_table_is_told_with_its_place(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "made.toml").write_text(text)
    with pytest.raises(msgspec.ValidationError, match=r"^made\.toml: ") as raised:
        symbols.read_libraries(str(tmp_path))
    assert place in str(raised.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return linked(tmp_path_factory.mktemp("small") / "lib.so", BOTH, ["-shared", "-fPIC", "-nostdlib"]).read_bytes()


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_tables_are_read_in_bounds(
    data: st.DataObject, small: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = bytearray(small)
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(64, len(small) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "lib.so"
    path.write_bytes(damaged)
    with contextlib.suppress(MalformedElf):
        assert set(_found(path)) <= {"zlib"}
