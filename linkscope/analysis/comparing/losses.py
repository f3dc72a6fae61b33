"""What a static program cannot do, or only with the files of the very release that it was linked with.

Only what the file shows that it uses: every static program of glibc holds code that opens libraries, used or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from linkscope.elf.calls import is_called
from linkscope.elf.rodata import found_among
from linkscope.elf.symbols import section_table
from linkscope.model.compare import Loss, LossCode
from linkscope.model.inspect import File

if TYPE_CHECKING:
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader

_FILES_AND_DNS_INSIDE = (2, 34)  # glibc NEWS 2.34: nss_files and nss_dns have become parts of libc
_SETLOCALE = frozenset((b"setlocale",))
# libstdc++ calls it whether or not a program asks it for a locale: its presence tells nothing.
_CPP_LOCALE = frozenset((b"_ZNSt6locale6globalERKS_",))
# Texts that are linked in only with the function: musl src/passwd/nscd_query.c and src/network/resolvconf.c,
# src/locale/iconv.c (its table), src/ldso/dlopen.c, src/locale/locale_map.c.
_MUSL: tuple[tuple[LossCode, tuple[bytes, ...], str], ...] = (
    (
        "nss",
        (b"/var/run/nscd/socket", b"/etc/resolv.conf"),
        (
            "looks up users or hosts in musl's way: in /etc/passwd, /etc/group and /etc/hosts, and by DNS; services "
            "of /etc/nsswitch.conf (LDAP, systemd, mDNS …) are not asked, and what only they know is not found"
        ),
    ),
    (
        "iconv",
        (b"wchart\0\0\xc6",),
        (
            "converts character sets with what musl has inside: there are no modules, and a set that is not inside is "
            "refused by iconv_open"
        ),
    ),
    (
        "dlopen",
        (b"Dynamic loading not supported",),
        (
            "calls dlopen or dlsym, and in a static program of musl that always fails ('Dynamic loading not "
            "supported'): it has no plug-ins"
        ),
    ),
    (
        "locale",
        (b"MUSL_LOCPATH",),
        (
            "sets a locale, and of that musl knows the character set UTF-8 and translated messages (MUSL_LOCPATH) "
            "alone: numbers, dates and sorting are as in C"
        ),
    ),
)
# Functions of Go's own resolver (net/dnsclient_unix.go) and of its own reading of users (os/user/lookup_unix.go, only
# without cgo), as they stand among the names for stack traces, also of a stripped program; linked in only if called.
_GO: tuple[tuple[str, str, tuple[bytes, ...]], ...] = (
    ("hosts", "in /etc/hosts and by DNS", (b"net.goLookupIPFiles", b"net.(*Resolver).goLookupIP")),
    ("users or groups", "in /etc/passwd and /etc/group", (b"os/user.findUser", b"os/user.findGroup")),
)


def losses(reader: Reader, image: Image, file: File) -> list[Loss]:
    """In the order of LossCode, each at most once; nothing of a program that is not static.

    Of a stripped program of glibc only `nss` can be told (see `elf.runtimeloads`), of a C++ one no `locale`; of musl
    all. One of Go without a C library can only lose `nss`. Raises LinkScopeError.
    """
    if file.linkage != "static":
        return []
    if file.libc.family == "glibc":
        return list(_of_glibc(reader, image, file))
    if file.libc.family == "musl":
        return list(_of_musl(reader, image))
    return list(_of_go(reader, image)) if file.toolchain and file.toolchain.language == "Go" else []


def _version(file: File) -> str | None:
    """The release of glibc inside, by what the program says itself or by its code."""
    inside = (one.version for one in file.contents or () if one.name == "glibc" and one.ecosystem == "generic")
    return file.libc.version or next(inside, None)


def _of_glibc(reader: Reader, image: Image, file: File) -> Iterator[Loss]:
    version = _version(file)
    release = f"of glibc {version}, the one inside" if version else "of the very glibc that is inside"
    told = {
        "nss": f"looks up users or hosts (getaddrinfo, getpwnam and the like): {_services(version)} a libnss_*.so.2, "
        f"opened at run time, which with libc.so.6 has to be {release}; where it is not there, what only that service "
        "knows is not found",
        "iconv": "converts character sets: of all but ASCII, UTF-8, UCS-2 and UCS-4 the converters are opened at run "
        f"time from the system's gconv folder, and with libc.so.6 have to be {release}; without them iconv_open fails",
        "dlopen": f"opens libraries itself (dlopen): they need the system's libc.so.6, which has to be {release}",
    }
    table = section_table(reader, image)
    is_cpp = table is not None and bool(table.names_among(_CPP_LOCALE))
    known = (problem.subject.split(", ") for problem in file.problems if problem.code == "loads-at-run-time")
    ways = {way for ways in known for way in ways}
    for code in ("nss", "iconv", "dlopen"):
        if code in ways:
            yield Loss(code=code, message=told[code])
    if table is None or is_cpp or not is_called(reader, image, table, _SETLOCALE):
        return
    yield Loss(
        code="locale",
        message="sets a locale: its files (/usr/lib/locale) are the system's, and the converter of a character set "
        f"that is neither ASCII nor UTF-8 is opened from its gconv folder, all of which have to be {release}; without "
        "them it stays in C",
    )


def _services(version: str | None) -> str:
    """How the sentence about name services begins."""
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) if version else ()
    if number >= _FILES_AND_DNS_INSIDE:
        return "all that /etc/nsswitch.conf names but `files` and `dns`, which are inside, is"
    return "all that /etc/nsswitch.conf names is" if number else "what /etc/nsswitch.conf names is"


def _of_musl(reader: Reader, image: Image) -> Iterator[Loss]:
    found = found_among(reader, image, [text for _, texts, _ in _MUSL for text in texts])
    for code, texts, message in _MUSL:
        if found.intersection(texts):
            yield Loss(code=code, message=message)


def _of_go(reader: Reader, image: Image) -> Iterator[Loss]:
    """Without cgo there is no libc to ask: /etc/nsswitch.conf is read for the order of what Go does itself."""
    found = found_among(reader, image, [name for _, _, names in _GO for name in names])
    asked = [(what, where) for what, where, names in _GO if found.intersection(names)]
    if asked:
        yield Loss(
            code="nss",
            message=f"looks up {' and '.join(what for what, _ in asked)} in Go's own way: "
            f"{', and '.join(where for _, where in asked)}; services of /etc/nsswitch.conf (LDAP, systemd, mDNS …) are "
            "not asked, and what only they know is not found",
        )
