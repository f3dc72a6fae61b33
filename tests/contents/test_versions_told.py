"""Versions that a library's own texts tell: dpkg says of which each library is, on this machine and in Debian 13."""

import os
import re
import shutil
from pathlib import Path

import pytest

from linkscope.contents import embedded
from tests.contents.samples import texts, versions_in, with_constants
from tests.contents.suites import package_files, package_version
from tests.elf.samples import ask, tool
from tests.oracle.availability import Unavailable

_FOLDER = Path("/usr/lib/x86_64-linux-gnu")
# By the library: the file here, the package of Debian 13 with such a file, and files here that need or open it.
LIBRARIES = {
    "cryptsetup": ("libcryptsetup.so.12", "libcryptsetup12", ("libmount.so.1", "/usr/bin/systemctl")),
    "elfutils": ("libdebuginfod.so.1", "libdebuginfod1t64", ("libdw.so.1", "/usr/bin/gdb")),
    "gstreamer": ("libgstreamer-1.0.so.0", "libgstreamer1.0-0", ("libgstbase-1.0.so.0", "libgstvideo-1.0.so.0")),
    "krb5": ("libkrb5.so.3", "libkrb5-3", ("libgssapi_krb5.so.2", "/usr/bin/curl")),
    "libgav1": ("libgav1.so.1", "libgav1-1", ("libavif.so.15",)),
    "nspr": ("libnspr4.so", "libnspr4", ("libnss3.so", "libssl3.so")),
    "rav1e": ("librav1e.so.0", "librav1e0.7", ("libavif.so.15",)),
    "slang": ("libslang.so.2", "libslang2", ("/usr/bin/perf",)),
    "unbound": ("libunbound.so.8", "libunbound8", ("libgnutls-dane.so.0",)),
    "z3": ("libz3.so.4", "libz3-4", ("/usr/bin/llvm-config-14", "libLLVM-14.so.1")),
}


def _upstream(version: str) -> str:
    """A package's version without epoch, revision and what Debian adds."""
    return re.sub(r"[+~](dfsg|ds).*", "", version.rpartition(":")[2].rpartition("-")[0])


def _of_dpkg(path: Path) -> str:
    if shutil.which("dpkg-query") is None:
        raise Unavailable("dpkg-query is not here")
    real = os.path.realpath(path)
    for name in (real, real.removeprefix("/usr")):
        owner = tool("sh", "-c", 'dpkg-query -S "$1" 2>/dev/null || true', "sh", name).partition(": ")[0]
        if owner:
            return _upstream(tool("dpkg-query", "-W", "-f", "${Version}", owner))
    raise Unavailable(f"{path} is of no package")


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_version_is_the_one_that_dpkg_has_of_the_package(library: str) -> None:
    path = _FOLDER / LIBRARIES[library][0]
    if not path.exists():
        raise Unavailable(f"{path.name} is not here")
    assert versions_in(path)[library] == _of_dpkg(path)


@pytest.mark.parametrize("library", LIBRARIES)
def test_so_is_it_in_the_next_release(library: str) -> None:
    name, package, _ = LIBRARIES[library]
    path = next(package_files("trixie", package).rglob(f"{name}*"))
    assert versions_in(path.resolve())[library] == _upstream(f"{package_version('trixie', package)}-1")


@pytest.mark.parametrize("library", LIBRARIES)
def test_who_needs_the_library_or_opens_it_has_no_text_of_it(library: str) -> None:
    paths = [path for client in LIBRARIES[library][2] if (path := _FOLDER / client).exists()]
    if not paths:
        raise Unavailable(f"nothing of {LIBRARIES[library][2]} is here")
    for path in paths:
        assert library not in {one.name for one in ask(embedded.contents, path)}


def test_a_hint_in_writable_data_tells_the_version_of_what_read_only_data_proves(tmp_path: Path) -> None:
    """And proves nothing itself: a buffer may hold it."""
    brand = texts("KRB5_BRAND: krb5-1.20.1-final 1.20.1 20221111")
    assert versions_in(with_constants(tmp_path / "made", brand, flags=6)) == {}
    assert versions_in(with_constants(tmp_path / "made", brand)) == {}
    proof = texts("Kerberos database constraints violated", "Bad magic number for krb5_sam_response")
    assert versions_in(with_constants(tmp_path / "made", proof + brand)) == {"krb5": "1.20.1"}
    assert versions_in(with_constants(tmp_path / "made", proof)) == {"krb5": None}


def test_libelf_has_no_text_with_its_version() -> None:
    """What the table says of it: the number of the package stands nowhere among its constants."""
    path = _FOLDER / "libelf.so.1"
    if not path.exists():
        raise Unavailable("libelf is not here")
    number = _of_dpkg(path).encode()
    assert not re.search(rb"(?<!ELFUTILS_)" + re.escape(number), path.read_bytes())
