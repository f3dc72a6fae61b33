"""Files that other projects released, whose programs say themselves which libraries are inside them."""

import os
import re
from pathlib import Path

import pytest

from linkscope.elf.image import Image
from tests.contents import released
from tests.contents.samples import found_in, versions_in
from tests.elf.samples import RequireTool, ask, elf_files, tool


def _inside(package: str) -> dict[str, set[str | None]]:
    """The versions of each library in all files of a package, its bundled ones among them."""
    found: dict[str, set[str | None]] = {}
    for path in elf_files(os.fspath(released.site())):
        if Path(path).relative_to(released.site()).parts[0].split(".")[0] == package:
            for name, version in versions_in(path).items():
                found.setdefault(name, set()).add(version)
    return found


# The folder of a package, and an expression of Python's for what it says: versions by Repology's names.
SAYS = {
    "apsw": '{"sqlite": __import__("apsw").sqlite_lib_version()}',
    "cryptography": '{"openssl": __import__("cryptography.hazmat.backends.openssl", fromlist=["x"])'
    ".backend.openssl_version_text()}",
    "lz4": '{"lz4": __import__("lz4").library_version_string()}',
    "pillow": '(lambda f: {"tiff": f.version("libtiff"), "libjpeg-turbo": f.version("libjpeg_turbo")})'
    '(__import__("PIL.features", fromlist=["x"]))',
    "pycurl": '(lambda v: {"curl": v("libcurl"), "openssl": v("OpenSSL"), "libssh": v("libssh")})'
    '(lambda n: __import__("re").search(n + "/([0-9.]+[a-z]?)", __import__("pycurl").version)[1])',
    "uvloop": '(lambda n: {"libuv": f"{n >> 16}.{n >> 8 & 255}.{n & 255}"})'
    '(__import__("uvloop.loop", fromlist=["x"]).libuv_get_version())',
    "zstandard": '{"zstd": ".".join(map(str, __import__("zstandard").ZSTD_VERSION))}',
}
# What is inside and says no version of its own, or that the file itself does not tell.
UNTOLD = {"lxml": {"libxml2", "libxslt"}, "psycopg2_binary": {"postgresql"}}


@pytest.mark.parametrize("package", SAYS)
def test_a_wheel_holds_what_its_package_says(package: str) -> None:
    found = _inside(package)
    for name, version in released.says(SAYS[package]).items():
        number = re.search(r"\d+\.\d+\.\d+[a-z]?", version)
        assert number is not None
        assert found[name] - {None} == {number[0]}, name  # symbols tell no version


@pytest.mark.parametrize("package", UNTOLD)
def test_a_library_without_a_version_in_it_is_named_all_the_same(package: str) -> None:
    found = _inside(package)
    assert all(found[name] == {None} for name in UNTOLD[package])


def _soname(_: object, image: Image) -> str | None:
    return image.soname


def test_a_bundled_library_is_what_its_name_says() -> None:
    """auditwheel keeps the soname, with a hash: nothing else may be found in one, but what is linked into it."""
    named = {"libcrypto": "openssl", "liblzma": "xz", "libpng16": "libpng", "libtiff": "tiff", "libpcre": "pcre"}
    named |= {"libsodium": "libsodium", "libssh2": "libssh2", "libpcre2-8": "pcre2"}
    met = set()
    for path in elf_files(os.fspath(released.site())):
        name = re.sub(r"-[0-9a-f]{8}\.so.*", "", ask(_soname, path) or "")
        if name in named:
            met.add(name)
            assert set(found_in(path)) == {named[name]}, path
    assert met == set(named)


def test_node_holds_what_it_says_itself(require_tool: RequireTool) -> None:
    path = Path(require_tool("node")).resolve()
    if path.stat().st_size < 1 << 24:
        pytest.skip("this node is a small program with its libraries outside")
    keys = {"nodejs": "node", "openssl": "openssl", "v8": "v8", "icu": "icu", "c-ares": "ares", "libuv": "uv"}
    keys |= {"nghttp2": "nghttp2", "zlib": "zlib", "brotli": "brotli", "llhttp": "llhttp"}
    found = found_in(path)
    assert {"nodejs", "v8", "openssl", "zlib"} <= set(found) <= set(keys)
    for name, content in found.items():
        said = tool(str(path), "-p", f"process.versions['{keys[name]}']").strip()
        told = [proof.text or "" for proof in content.evidence]
        # It has two of zlib, and says the newer one.
        assert content.version is None or said.startswith(content.version) or any(said[:5] in text for text in told)
