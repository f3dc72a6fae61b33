"""Code that many projects carry a copy of, so that finding it does not say which of them is inside."""

from __future__ import annotations

import re

# Modules of gnulib (www.gnu.org/software/gnulib, "Gnulib is intended to be the canonical source for most of the
# important 'portability' and/or common files for GNU projects"), by the names of their sources. Programs take them in
# with their own sources, and so do libraries: the coreutils of Debian 12 hold printf-parse.o of its libgnutls.a, byte
# for byte (observed). Only names that no C library has for a member of its own.
_GNULIB = frozenset(
    (
        "allocator areadlink asnprintf asprintf base64 basename-lgpl binary-io bitrotate c-ctype c-strcasecmp "
        "c-strcasestr c-strncasecmp c-strstr cloexec dirname-lgpl dup-safer exitfail fcntl fd-hook fd-safer float "
        "full-read full-write getdelim getprogname gl_array_list gl_hash_map gl_linked_list gl_list gl_map glthread "
        "hard-locale hash iconv_close iconv_open itold localcharset localename lock malloca math mbchar mbiter mbslen "
        "mbsstr mbuiter memchr2 memxor nonblocking pipe-safer printf-args printf-frexp printf-frexpl printf-parse "
        "progname quotearg read-file reallocarray safe-read safe-write setlocale_null signbitd signbitf signbitl "
        "sockets stat-time str-iconv str-iconveh striconv striconveh striconveha strnlen1 sys_socket tempname "
        "threadlib timespec trim unistd uniconv vasnprintf vasprintf verify version-etc version-etc-fsf wctype-h "
        "windows-mutex xalloc-die xasprintf xmalloc xsize xstrndup xvasprintf"
    ).split()
)
# Colin Plumb's MD5 of 1993 is in the public domain: libuuid.a and a helper of PAM hold the same (Debian 12, observed).
_OTHERS = frozenset(("md5",))
_MEMBER = re.compile(r"(?:lib[\w+-]*?_la-)?(.+?)\.(?:o|lo|ao|c\.o)")


# Members that a library has from another one, by the names of the libraries: GnuTLS carries the assembly of CRYPTOGAMS
# (A. Polyakov) that is OpenSSL's as well (GnuTLS, lib/accelerated), and libidn2 builds parts of libunistring in.
_BORROWED = {
    "gnutls": re.compile(r"(?:aes|ghash|sha\d+|vpaes)\w*(?:-\w+)*-(?:x86_64|aarch64|armv8|armx)\.o"),
    "libidn2": re.compile(r"libunistring_la-.+"),
}


def is_copied(library: str, member: str) -> bool:
    """Whether the member of an archive of the LIBRARY is by its name one that is copied from project to project.

    automake sets the library's own name before that of an object that has flags of its own (`libgnu_la-hash.o`).
    """
    borrowed = _BORROWED.get(library)
    if borrowed is not None and borrowed.fullmatch(member):
        return True
    named = _MEMBER.fullmatch(member)
    return named is not None and named[1] in _GNULIB | _OTHERS
