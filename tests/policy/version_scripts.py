"""What libraries define from which of their releases on, as their own version scripts have it."""

import re

import msgspec


class Script(msgspec.Struct, frozen=True):
    """A library's version script, release by release.

    projects: what the sources of targets call it. source: what was read. steps: by the release that brought them, the
    highest version of each family, with all that are in no order.
    """

    projects: tuple[str, ...]
    source: str
    steps: dict[str, str]

    def release(self, text: str) -> str | None:
        """The release that a target's source names: `xz-utils 5.4.5`, `libstdc++-8.5.0-28.el8_10`."""
        names = "|".join(map(re.escape, self.projects))
        found = re.search(rf"(?<![\w-])(?:{names})(?:-\d+ | |-)(\d[\d.]*\d|\d)", text)
        return found[1] if found else None

    def defined(self, release: str) -> set[str]:
        """What the library of a release defines."""
        return set(self.steps[max((one for one in self.steps if number(one) <= number(release)), key=number)].split())


def number(release: str) -> tuple[int, ...]:
    """The release for comparison."""
    return tuple(map(int, release.split(".")))


_GCC = ("libstdc++", "gcc", "libgcc")
_LIBGCC = "gcc, libgcc/libgcc-std.ver.in, libgcc/config/i386/libgcc-glibc.ver"
SCRIPTS = {
    "liblzma.so.5": Script(
        ("xz-utils", "xz-libs"),
        "tukaani-project/xz, src/liblzma/liblzma.map, and since 5.4 liblzma_linux.map (at 242ec79c7182)",
        {
            "5.0": "XZ_5.0",
            "5.2": "XZ_5.2",
            "5.4": "XZ_5.4 XZ_5.1.2alpha",
            "5.6": "XZ_5.6.0 XZ_5.1.2alpha",
            "5.8": "XZ_5.8 XZ_5.1.2alpha",
        },
    ),
    "libz.so.1": Script(
        ("zlib",),
        "madler/zlib, zlib.map",
        {
            "1.2.5.2": "ZLIB_1.2.5.2",
            "1.2.7.1": "ZLIB_1.2.7.1",
            "1.2.9": "ZLIB_1.2.9",
            "1.2.12": "ZLIB_1.2.12",
            "1.3.2": "ZLIB_1.3.2",
        },
    ),
    "libselinux.so.1": Script(
        ("libselinux",),
        "SELinuxProject/selinux, libselinux/src/libselinux.map",
        {
            "2.0": "LIBSELINUX_1.0",
            "3.4": "LIBSELINUX_3.4",
            "3.5": "LIBSELINUX_3.5",
            "3.8": "LIBSELINUX_3.8",
            "3.9": "LIBSELINUX_3.9",
        },
    ),
    "libstdc++.so.6": Script(
        _GCC,
        "GCC's manual of libstdc++, ABI Policy and Guidelines, History (doc/xml/manual/abi.xml)",
        {
            "4.8.3": "GLIBCXX_3.4.19 CXXABI_1.3.7",
            "7.2": "GLIBCXX_3.4.24 CXXABI_1.3.11",
            "8": "GLIBCXX_3.4.25 CXXABI_1.3.11",
            "9": "GLIBCXX_3.4.26 CXXABI_1.3.12",
            "9.2": "GLIBCXX_3.4.27 CXXABI_1.3.12",
            "9.3": "GLIBCXX_3.4.28 CXXABI_1.3.12",
            "11": "GLIBCXX_3.4.29 CXXABI_1.3.13",
            "12": "GLIBCXX_3.4.30 CXXABI_1.3.13",
            "13": "GLIBCXX_3.4.31 CXXABI_1.3.14",
            "13.2": "GLIBCXX_3.4.32 CXXABI_1.3.14",
            "14": "GLIBCXX_3.4.33 CXXABI_1.3.15",
            "15": "GLIBCXX_3.4.34 CXXABI_1.3.16",
        },
    ),
    "libgcc_s.so.1 of x86_64": Script(
        _GCC,
        _LIBGCC,
        {
            "4.8": "GCC_4.8.0",
            "7": "GCC_7.0.0",
            "12": "GCC_12.0.0",
            "13": "GCC_13.0.0",
            "14": "GCC_14.0.0",
        },
    ),
    "libgcc_s.so.1 of aarch64": Script(
        _GCC,
        _LIBGCC,
        {
            "4.7": "GCC_4.7.0 GLIBC_2.0",
            "7": "GCC_7.0.0 GLIBC_2.0",
            "11": "GCC_11.0 GLIBC_2.0",
            "14": "GCC_14.0.0 GLIBC_2.0",
        },
    ),
}
