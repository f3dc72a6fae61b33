"""Libraries that are known by their functions alone: packages of Debian 12 that are not on this machine, and nm."""

import pytest

from linkscope.contents import symbols
from linkscope.model.inspect import Content
from tests.contents.debian import deb_files
from tests.elf.samples import RequireTool, ask, elf_files, tool

PACKAGES = {
    "libsecp256k1-1": "libsecp256k1",
    "liburing2": "liburing",
    "librist4": "librist",
    "libgumbo1": "gumbo-parser",
    "libnlopt0": "nlopt",
    "libenet7": "enet",
    "libslirp0": "libslirp",
    "libgsm1": "gsm",
    "libspeexdsp1": "speexdsp",
    "libserialport0": "libserialport",
    "libplist3": "libplist",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_library_is_known_by_what_its_package_exports(package: str, require_tool: RequireTool) -> None:
    require_tool("nm")
    found: dict[str, set[str]] = {}
    for path in elf_files(str(deb_files(package))):
        contents: list[Content] = ask(symbols.contents, path)
        lines = tool("nm", "-D", "--defined-only", path).splitlines()
        exported = {line.split()[-1].partition("@")[0] for line in lines}
        for one in contents:
            found[one.name] = set((one.evidence[0].text or "").split(", ")) - exported
    assert found == {PACKAGES[package]: set()}
