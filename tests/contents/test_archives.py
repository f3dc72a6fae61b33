"""Programs linked from Debian's archives: what is in them is what was linked, as they and dpkg say themselves."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.contents.samples import found_in, linked, said_by, versions_in
from tests.elf.samples import RequireTool, tool


class Linked(msgspec.Struct, frozen=True):
    """A library as a program uses it. version: an expression of C for its version, as the library says it itself."""

    archives: str
    headers: str
    version: str
    use: str = ""


# By Repology's name. All that each archive needs in its turn stands behind it.
LIBRARIES = {
    "zlib": Linked("-lz", "zlib.h", "zlibVersion()", "compress(b, &n, b, 1); uncompress(b, &n, b, 1);"),
    "bzip2": Linked("-lbz2", "bzlib.h", "BZ2_bzlibVersion()"),
    "xz": Linked(
        "-llzma", "lzma.h", "lzma_version_string()", "lzma_stream_buffer_bound(1); lzma_easy_encoder(0, 6, 4);"
    ),
    "openssl": Linked("-lssl -lcrypto -ldl -lpthread", "openssl/ssl.h", "OpenSSL_version(OPENSSL_VERSION)"),
    "sqlite": Linked(
        "-lsqlite3 -lm -ldl -lpthread", "sqlite3.h", "sqlite3_libversion()", "sqlite3_open(b, (void *)&n);"
    ),
    "expat": Linked("-lexpat", "expat.h", "XML_ExpatVersion()", "XML_ParserCreate(0);"),
    "libpng": Linked("-lpng -lz -lm", "png.h", "png_get_libpng_ver(0)", "puts(png_get_copyright(0));"),
    "gmp": Linked("-lgmp", "gmp.h", "gmp_version", "mpz_t z; mpz_init_set_ui(z, n);"),
    "libyaml": Linked("-lyaml", "yaml.h", "yaml_get_version_string()", "yaml_parser_parse((void *)b, (void *)b);"),
    "ncurses": Linked("-ltinfo", "curses.h", "curses_version()"),
    "readline": Linked("-lreadline -ltinfo", "readline/readline.h", "rl_library_version", "if (n == 7) readline(b);"),
}
NAMES = pytest.mark.parametrize("name", LIBRARIES)

# How a program may be linked; each still holds the library.
SHAPES = {
    "static": ["-static"],
    "static-pie": ["-static-pie"],
    "stripped": ["-static", "-s"],
    "gc-sections": ["-static", "-ffunction-sections", "-Wl,--gc-sections"],
    "dynamic": ["-Wl,-Bstatic", "ARCHIVES", "-Wl,-Bdynamic"],
    "one-segment": ["-static", "-Wl,-z,noseparate-code"],
}


def _source(library: Linked) -> str:
    return (
        f"#include <stdio.h>\n#include <{library.headers}>\n"
        "int main(int argc, char **argv) { unsigned long n = argc; static char b[65536];\n"
        f'if (argc > 1) {{ {library.use} }} printf("version=%s\\n", {library.version}); return 0; }}\n'
    )


def _linked(name: str, shape: str, folder: Path) -> Path:
    library = LIBRARIES[name]
    archives = library.archives.split()
    flags = SHAPES[shape]
    if "ARCHIVES" in flags:
        at = flags.index("ARCHIVES")
        flags = [*flags[:at], *archives, *flags[at + 1 :]]
    else:
        flags = [*flags, *archives]
    return linked(folder / f"{name}-{shape}", _source(library), flags)


def _number(text: str) -> str:
    """The version in what a library says of itself, as `OpenSSL 3.0.19 27 Jan 2026`."""
    found = re.search(r"\d+(\.\d+)+", text)
    assert found is not None, text
    return found[0]


@NAMES
def test_a_library_is_found_with_the_version_that_it_says_itself(name: str, tmp_path: Path) -> None:
    path = _linked(name, "static", tmp_path)
    told = _number(said_by(path)["version"])
    assert versions_in(path)[name] == (told.rpartition(".")[0] if name == "ncurses" else told)  # a date stands behind


@NAMES
def test_only_what_was_linked_is_found(name: str, tmp_path: Path) -> None:
    """Every library of the tables is a decoy for all others; those that an archive takes along were linked as well."""
    linked_too = {"glibc", name} | {"libpng": {"zlib"}, "readline": {"ncurses"}}.get(name, set())
    assert set(found_in(_linked(name, "static", tmp_path))) <= linked_too


@pytest.mark.parametrize("shape", SHAPES)
def test_however_it_is_linked(shape: str, tmp_path: Path) -> None:
    path = _linked("zlib", shape, tmp_path)
    assert versions_in(path)["zlib"] == _number(said_by(path)["version"])


def test_of_a_file_without_section_headers(require_tool: RequireTool, tmp_path: Path) -> None:
    path = _linked("zlib", "static", tmp_path)
    before = versions_in(path)
    data = bytearray(path.read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff
    data[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    path.write_bytes(data)
    assert "There are no sections" in tool(require_tool("readelf"), "-S", path)
    assert versions_in(path) == before


def test_hidden_in_a_shared_library(tmp_path: Path) -> None:
    source = _source(LIBRARIES["zlib"]).replace("int main", "int entry")
    hidden = ["-shared", "-fPIC", "-Wl,--exclude-libs,ALL", "-Wl,-Bstatic", "-lz", "-Wl,-Bdynamic"]
    path = linked(tmp_path / "libhidden.so", source, hidden)
    assert versions_in(path)["zlib"] == _number(said_by(_linked("zlib", "static", tmp_path))["version"])


# What the system's shared libraries are, with the Debian package whose upstream version they have.
SHARED = {
    "libz.so.1": "zlib",
    "libbz2.so.1.0": "bzip2",
    "liblzma.so.5": "xz",
    "libcrypto.so.3": "openssl",
    "libsqlite3.so.0": "sqlite",
    "libexpat.so.1": "expat",
    "libpng16.so.16": "libpng",
    "libjpeg.so.62": "libjpeg-turbo",
    "libtiff.so.6": "tiff",
    "libzstd.so.1": "zstd",
    "liblz4.so.1": "lz4",
    "libpcre2-8.so.0": "pcre2",
    "libgnutls.so.30": "gnutls",
    "libgcrypt.so.20": "libgcrypt",
    "libgpg-error.so.0": "libgpg-error",
    "libgmp.so.10": "gmp",
    "libtinfo.so.6": "ncurses",
    "libreadline.so.8": "readline",
    "libcurl-gnutls.so.4": "curl",
    "libssh2.so.1": "libssh2",
    "libnghttp2.so.14": "nghttp2",
    "libuv.so.1": "libuv",
    "libyaml-0.so.2": "libyaml",
    "libc.so.6": "glibc",
    "libonig.so.5": "oniguruma",
    "libbrotlidec.so.1": "brotli",
    "libxml2.so.2": "libxml2",
}


def _package(path: Path) -> str:
    """The Debian package of a library, which dpkg knows by the name that it was installed under."""
    names = [str(path), str(path).removeprefix("/usr")]
    owners = [subprocess.run(["dpkg", "-S", name], capture_output=True, text=True).stdout for name in names]
    return next(owner for owner in owners if owner).partition(": ")[0]


@pytest.mark.parametrize("soname", SHARED)
def test_a_shared_library_is_itself_in_dpkgs_version(soname: str, require_tool: RequireTool) -> None:
    """A library as a wheel brings it along has no other name for its version."""
    path = require_tool(f"/usr/lib/x86_64-linux-gnu/{soname}")
    found = versions_in(path)
    assert set(found) == {SHARED[soname]}
    version = found[SHARED[soname]]
    if version is not None:
        package = _package(Path(path).resolve())
        debian = tool("dpkg-query", "-W", "-f", "${source:Upstream-Version}", package)
        assert re.split(r"[+~]", debian)[0].startswith(version)


FixtureFile = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "family"),
    [("hello/hello-static", "glibc"), ("hello/hello-musl-static", "musl"), ("hello/hello-static-stripped", "glibc")],
)
def test_a_static_program_holds_its_c_library(name: str, family: str, fixture_file: FixtureFile) -> None:
    assert set(found_in(fixture_file(name))) == {family}


def test_a_dynamic_program_and_an_object_file_hold_none(fixture_file: FixtureFile) -> None:
    assert found_in(fixture_file("hello/hello-dynamic-pie")) == {}
    assert found_in(fixture_file("kinds/hello.o")) == {}
