"""What a policy calls the libraries, modules and crates that are linked into a file."""

from __future__ import annotations

from linkscope.model.inspect import Content

# A crate is often named as the library that it binds (openssl, curl, zstd), and counts its versions on its own. The
# path of a Go module is nobody else's name.
_NAMED_ALONE = frozenset(("generic", "go"))


def names_of(content: Content) -> tuple[str, ...]:
    """The names by which a policy may speak of it, the usual one first: `zlib`, `golang.org/x/crypto`, `cargo:rustls`.

    That with the ecosystem before it always counts.
    """
    full = f"{content.ecosystem}:{content.name}"
    return (content.name, full) if content.ecosystem in _NAMED_ALONE else (full,)
