"""What `test_real_starts.py` starts, and where what is said of it is known to differ from what happens, and why."""

from typing import Final

import msgspec

from tests.policy.real_starts import Sample

# The roots, each with the target that it is an example of.
DEBIAN: Final = {f"debian:{release}/minimal": f"debian:{release}" for release in (11, 12, 13)}
ARM64: Final = {f"debian:{release}/minimal/arm64": f"debian:{release}" for release in (11, 12, 13)}
MUSL: Final = {"musl:1.2.2": "alpine:3.14", "musl:1.2.3": "alpine:3.17", "musl:1.2.5": "alpine:3.21"}
LARGE: Final = ("debian:11", "debian:12", "debian:13")

_FLOORS: Final = """
glibc-2.2.5 glibc-2.14 glibc-2.17 glibc-2.28 glibc-2.30 glibc-2.32 glibc-2.33 glibc-2.34 glibc-2.35 glibc-2.36
glibc-2.38 glibc-2.39 glibc-2.41 glibc-2.99 glibc-private weak-2.36 address-2.36 relr relr-unsaid relr-unsaid-versions
libm-2.2.5 libm-2.16 libm-2.29 libm-2.38 libdl-2.2.5 libpthread-2.2.5 libpthread-2.34
absent-lazy absent-now absent-address absent-weak plain plain-absent-lazy plain-absent-now plain-absent-address
cxx-3.4 cxx-3.4.29 cxx-3.4.30 cxx-3.4.31 cxx-3.4.32 cxx-3.4.33 cxx-3.4.99 cxxabi-1.3.13 cxxabi-1.3.15 cxxabi-float128
gcc-3.0 gcc-12.0.0 gcc-14.0.0 zlib-1.2.9 zlib-1.2.12 zlib-9.9 zlib-absent xz-5.2 xz-5.4 crypt ssl-3 ssl-1.1 curl
brings-plain brings-2.36 brings-deeper-2.36 brings-lost brings-zlib brings-nowhere brings-old brings-absent-lazy
brings-absent-now brings-frozen unversioned-lazy unversioned-now
interpreter-absent interpreter-other interpreter-link isa-v2 isa-v3 isa-v4
"""
_FLOORS_MUSL: Final = """
musl-plain musl-1.2.2 musl-1.2.3 musl-1.2.4 musl-1.2.5 musl-weak musl-absent musl-curl musl-relr
"""
_FLOORS_ARM64: Final = """
glibc-2.17 glibc-2.28 glibc-2.33 glibc-2.34 glibc-2.36 glibc-2.38 glibc-2.41 weak-2.36 absent-now
"""
_OTHERS: Final = """
hello/hello-dynamic-pie hello/hello-dynamic-nonpie hello/hello-sysv-hash hello/hello-static hello/hello-static-pie
hello/hello-musl-dynamic-pie hello/hello-musl-dynamic-nonpie hello/hello-musl-static hello/hello-musl-static-pie
hello/hello-go hello/hello-go-pie hello/hello-rust hello/hello-cpp policy/musl-newer versions/relr
"""
# Programs of the roots themselves, each with arguments with which it says something and ends.
_SMALL: Final = "apt-get bash dpkg dpkg-deb find findmnt getconf grep ls lsblk perl sed sort tar"
_LARGE: Final = "curl file gawk gdb git nano openssl rsync sqlite3 ssh tmux"
_ARGUMENTS: Final = {"openssl": ("version",), "ssh": ("-V",), "tmux": ("-V",)}


def _of_roots(names: str, suffix: str) -> list[Sample]:
    return [
        Sample(f"debian:{release}{suffix}:/usr/bin/{name}", _ARGUMENTS.get(name, ("--version",)))
        for release in (11, 12, 13)
        for name in names.split()
    ]


_ANYWHERE = [Sample(name) for name in _OTHERS.split()] + [Sample("floors/glibc-2.2.5"), Sample("floors/musl-plain")]
BUILT: Final = list(dict.fromkeys([Sample(f"floors/{name}") for name in _FLOORS.split()] + _ANYWHERE))
BUILT_MUSL: Final = list(dict.fromkeys([Sample(f"floors/{name}") for name in _FLOORS_MUSL.split()] + _ANYWHERE))
BUILT_ARM64: Final = [Sample(f"floors/arm64/{name}") for name in _FLOORS_ARM64.split()]
PROGRAMS: Final = _of_roots(_SMALL, "/minimal") + _of_roots(_LARGE, "")
PROGRAMS_ARM64: Final = _of_roots(_SMALL, "/minimal/arm64")
PROGRAMS_LARGE: Final = _of_roots(_LARGE, "")


class Difference(msgspec.Struct, frozen=True):
    """Samples of which something else is said than happens, in these roots (all those of the table, where none is
    named), and why.
    """

    samples: str
    why: str
    roots: tuple[str, ...] = ()


# Of which `targets` says that it cannot be told: a processor may have more than the target asks for, or less; and what
# has no versions is bound sooner or later.
DOUBTFUL: Final = ("isa-v2", "isa-v3", "isa-v4", "unversioned-lazy", "unversioned-now")
OF_TARGETS: Final = (
    Difference(
        "zlib-absent",
        "of libraries with versions these are known, and not each symbol; other than glibc's and GCC's may change them",
        tuple(DEBIAN),
    ),
    Difference("arm64/absent-now", "nothing is bound where there is no loader for the file", tuple(ARM64)),
    Difference(
        "debian:11/minimal:/usr/bin/apt-get debian:11/minimal/arm64:/usr/bin/apt-get",
        "the same: libapt-private.so.0.0 changes its symbols, and its version stays APTPRIVATE_0.0",
        ("debian:12/minimal", "debian:12/minimal/arm64"),
    ),
    Difference("libm-2.16", "of a family the highest version is known, and not which are left out", tuple(DEBIAN)),
    Difference(
        "unversioned-now",
        "a library without versions that is brought along is a doubt: glibc before 2.41 ends if it has to bind one",
        tuple(DEBIAN)[:2],
    ),
)
