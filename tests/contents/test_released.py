"""Files that other projects released, whose programs say themselves which libraries are inside them."""

import os
import re
from pathlib import Path

import pytest

from linkscope.elf.image import Image
from tests.contents import released
from tests.contents.samples import found_in
from tests.elf.samples import RequireTool, ask, elf_files, tool


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
    keys |= {"simdutf": "simdutf", "ada-url": "ada", "uvwasi": "uvwasi"}
    found = found_in(path)
    assert {"nodejs", "v8", "openssl", "zlib"} <= set(found) <= set(keys)
    for name, content in found.items():
        said = tool(str(path), "-p", f"process.versions['{keys[name]}']").strip()
        told = [proof.text or "" for proof in content.evidence]
        # It has two of zlib, and says the newer one.
        assert content.version is None or said.startswith(content.version) or any(said[:5] in text for text in told)
