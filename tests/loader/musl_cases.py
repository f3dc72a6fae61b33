"""musl's rules as a table: one forest a rule, and the files that musl's loader maps for it."""

from tests.oracle.elfformat import DF_1_NODEFLIB, ET_EXEC
from tests.oracle.elfwriter import program
from tests.oracle.forest import MUSL_X86_64, Forest, Node
from tests.oracle.recipe import Recipe, Symbol

# A forest, and what is mapped for its program, in order: a path below the forest's folder; after `=` the path itself;
# None for a name that leads to nothing.
Case = tuple[Forest, tuple[str | None, ...]]

_PATH_FILE = "etc/ld-musl-x86_64.path"
_LOADER = f"={MUSL_X86_64}"
_LIBC = (Symbol("__libc_start_main"), Symbol("stdin", kind="object"))


def _app(*needed: str, interp: str = MUSL_X86_64, **recipe: object) -> Node:
    return Node("bin/app", program(interp, needed=needed, **recipe))  # type: ignore[arg-type]


def _lib(path: str, *needed: str, **recipe: object) -> Node:
    return Node(path, Recipe(needed=needed, **recipe))  # type: ignore[arg-type]


def _forest(*nodes: Node, **fields: object) -> Forest:
    return Forest(nodes=nodes, **fields)  # type: ignore[arg-type]


def _ends(node: Node, pie: bool = True) -> Case:
    """A search that ends at a node which is no library, although there is one behind it."""
    return _forest(_app("liba.so", rpath="@/a:@/b", pie=pie), node, _lib("b/liba.so")), (None,)


def _taken(node: Node) -> Case:
    """A search that takes a node, although there is another one behind it."""
    return _forest(_app("liba.so", rpath="@/a:@/b"), node, _lib("b/liba.so")), ("a/liba.so",)


def _passed(node: Node) -> Case:
    """A search that goes on behind a node."""
    return _forest(_app("liba.so", rpath="@/a:@/b"), node, _lib("b/liba.so")), ("b/liba.so",)


CASES: dict[str, Case] = {
    # -- search paths
    "LD_LIBRARY_PATH comes before RPATH": (
        _forest(_app("liba.so", rpath="@/a"), _lib("a/liba.so"), _lib("b/liba.so"), library_path="@/b"),
        ("b/liba.so",),
    ),
    "LD_LIBRARY_PATH has no tokens": (
        _forest(_app("liba.so"), _lib("$ORIGIN/liba.so"), _lib("bin/liba.so"), library_path="@/$ORIGIN"),
        ("$ORIGIN/liba.so",),
    ),
    "RUNPATH is inherited by a library's own needs": (
        _forest(_app("liba.so", runpath="@/a"), _lib("a/liba.so", "libb.so"), _lib("a/libb.so")),
        ("a/liba.so", "a/libb.so"),
    ),
    "RPATH is inherited past a library with a RUNPATH": (
        _forest(_app("liba.so", rpath="@/a"), _lib("a/liba.so", "libb.so", runpath="@/none"), _lib("a/libb.so")),
        ("a/liba.so", "a/libb.so"),
    ),
    "the asker's own path comes before that of what asked for it": (
        _forest(
            _app("liba.so", rpath="@/a"),
            _lib("a/liba.so", "libb.so", rpath="@/b"),
            _lib("a/libb.so"),
            _lib("b/libb.so"),
        ),
        ("a/liba.so", "b/libb.so"),
    ),
    "RUNPATH takes the place of RPATH in the same object": (
        _forest(_app("liba.so", rpath="@/a", runpath="@/b"), _lib("a/liba.so")),
        (None,),
    ),
    "an empty RUNPATH takes it too": (
        _forest(_app("liba.so", rpath="@/a", runpath=""), _lib("a/liba.so")),
        (None,),
    ),
    "only the first object that asked passes its path on": (
        _forest(
            _app("liba.so", "libb.so", rpath="@/a"),
            _lib("a/liba.so", "libc1.so", rpath="@/x"),
            _lib("a/libb.so", "libc1.so", rpath="@/y"),
            _lib("x/libc1.so", "libd.so"),
            _lib("y/libd.so"),
        ),
        ("a/liba.so", "a/libb.so", "x/libc1.so", None),
    ),
    "an empty element does not count": (
        _forest(_app("liba.so", rpath=":", runpath="::"), _lib("liba.so"), library_path=":"),
        (None,),
    ),
    "a relative element counts from the working directory": (
        _forest(_app("liba.so", rpath="a"), _lib("w/a/liba.so"), cwd="w"),
        ("=a/liba.so",),
    ),
    "a newline separates": (
        _forest(_app("liba.so", rpath="@/none\n@/a"), _lib("a/liba.so")),
        ("a/liba.so",),
    ),
    "a semicolon does not": (
        _forest(_app("liba.so"), _lib("a/liba.so"), library_path="@/none;@/a"),
        (None,),
    ),
    "slashes stay as they are": (
        _forest(_app("liba.so", rpath="@//a/./"), _lib("a/liba.so")),
        ("/a/.//liba.so",),
    ),
    "a path that is too long for the loader's buffer is passed over": (
        _forest(_app("liba.so", rpath=f"@/a{'/.' * 250}:@/b"), _lib("a/liba.so"), _lib("b/liba.so")),
        ("b/liba.so",),
    ),
    # -- tokens
    "$ORIGIN of a program reached through a link is the real folder": (
        _forest(
            _app("liba.so", rpath="$ORIGIN"),
            Node("x/start", link="@/bin/app"),
            _lib("bin/liba.so"),
            started_as="@/x/start",
        ),
        ("bin/liba.so",),
    ),
    "$ORIGIN of a library reached through a link is the link's folder": (
        _forest(
            _app("liba.so", rpath="@/a"),
            Node("a/liba.so", link="@/b/liba.so"),
            _lib("b/liba.so", "libb.so", rpath="${ORIGIN}"),
            _lib("a/libb.so"),
            _lib("b/libb.so"),
        ),
        ("a/liba.so", "a/libb.so"),
    ),
    "$ORIGIN of a library that was found by a relative path is relative": (
        _forest(_app("a/liba.so"), _lib("a/liba.so", "libb.so", rpath="$ORIGIN/x"), _lib("a/x/libb.so")),
        ("=a/liba.so", "=a/x/libb.so"),
    ),
    "another token voids the whole path": (
        _forest(_app("liba.so", rpath="@/a:@/$LIB"), _lib("a/liba.so")),
        (None,),
    ),
    "a token has no end: $ORIGINAL": (
        _forest(_app("liba.so", rpath="$ORIGINAL"), _lib("binAL/liba.so")),
        ("binAL/liba.so",),
    ),
    "$ORIGIN counts more than once": (
        _forest(_app("liba.so", rpath="$ORIGIN/none$ORIGIN:${ORIGIN}/../a"), _lib("a/liba.so")),
        ("bin/../a/liba.so",),
    ),
    "a name has no tokens": (
        _forest(_app("$ORIGIN/liba.so"), _lib("bin/liba.so")),
        (None,),
    ),
    # -- candidates
    "a text file ends the search": _ends(Node("a/liba.so", content=b"/* GNU ld script */ INPUT(libb.so)" + b" " * 64)),
    "an empty file ends the search": _ends(Node("a/liba.so", content=b"")),
    "a cut-off file ends the search": _ends(Node("a/liba.so", content=b"\x7fELF\x02\x01\x01")),
    "a directory ends the search": _ends(Node("a/liba.so")),
    "a link to itself ends the search": _ends(Node("a/liba.so", link="liba.so")),
    "a file of the other class ends the search": _ends(_lib("a/liba.so", elf_class=32, machine=3)),
    "a file of the other byte order ends the search": _ends(_lib("a/liba.so", endian="big", machine=22)),
    "a relocatable file ends the search": _ends(_lib("a/liba.so", e_type=1)),
    "a file for another machine is taken": _taken(_lib("a/liba.so", machine=183)),
    "a PIE is taken": _taken(Node("a/liba.so", program(MUSL_X86_64))),
    "a file with fixed addresses is taken by a PIE": _taken(_lib("a/liba.so", e_type=ET_EXEC)),
    "a file with fixed addresses has no room beside another": _ends(_lib("a/liba.so", e_type=ET_EXEC), pie=False),
    "OSABI and ABIVERSION do not count": _taken(_lib("a/liba.so", osabi=9, abiversion=9)),
    "the x86 level of a file does not count": _taken(_lib("a/liba.so", isa_needed=0x4000)),
    "a link that leads nowhere is passed over": _passed(Node("a/liba.so", link="none")),
    "a folder that is a file is passed over": _passed(Node("a", content=b"")),
    "glibc-hwcaps does not count": (
        _forest(_app("liba.so", rpath="@/a"), _lib("a/glibc-hwcaps/x86-64-v2/liba.so"), _lib("a/liba.so")),
        ("a/liba.so",),
    ),
    # -- names
    "DT_SONAME does not answer for a name": (
        _forest(_app("liba.so", "libx.so", rpath="@/a"), _lib("a/liba.so", soname="libx.so")),
        ("a/liba.so", None),
    ),
    "two files with one DT_SONAME are both mapped": (
        _forest(_app("liba.so", "libb.so", rpath="@/a"), _lib("a/liba.so", soname="x"), _lib("a/libb.so", soname="x")),
        ("a/liba.so", "a/libb.so"),
    ),
    "two names of one file are one object": (
        _forest(_app("liba.so", "libb.so", rpath="@/a"), _lib("a/liba.so"), Node("a/libb.so", same="a/liba.so")),
        ("a/liba.so",),
    ),
    "what was found for one object is found for all": (
        _forest(
            _app("liba.so", "libb.so", rpath="@/a"),
            _lib("a/liba.so", "libx.so", rpath="@/x"),
            _lib("x/libx.so"),
            _lib("a/libb.so", "libx.so", rpath="@/y"),
            _lib("y/libx.so"),
        ),
        ("a/liba.so", "a/libb.so", "x/libx.so"),
    ),
    "a name with a slash is opened as it is": (
        _forest(_app("w/liba.so", rpath="@/a"), _lib("w/liba.so"), _lib("a/w/liba.so")),
        ("=w/liba.so",),
    ),
    "what was opened by its path answers to no name until a search leads to it": (
        _forest(
            _app("@/a/libreal.so", "libreal.so", "liba.so", "libreal.so", rpath="@/b"),
            _lib("a/libreal.so"),
            Node("b/liba.so", link="@/a/libreal.so"),
        ),
        ("a/libreal.so", None),
    ),
    "the program itself is no library that is loaded already": (
        _forest(_app("libapp.so", rpath="@/a"), Node("a/libapp.so", same="bin/app")),
        ("a/libapp.so",),
    ),
    "a name that is not found is asked for again": (
        _forest(_app("libx.so", "liba.so", rpath="@/a"), _lib("a/liba.so", "libx.so", rpath="@/x"), _lib("x/libx.so")),
        (None, "a/liba.so", "x/libx.so"),
    ),
    "every missing name is told": (
        _forest(_app("libx.so", "liba.so", "liby.so", rpath="@/a"), _lib("a/liba.so", "libx.so", "libz.so")),
        (None, "a/liba.so", None, None, None),
    ),
    "an empty name leads nowhere": (_forest(_app("")), (None,)),
    "a name that is too long for a file leads nowhere": (_forest(_app("l" * 256, rpath="@/a")), (None,)),
    "filters are no needs": (
        _forest(_app(filter=("liba.so",), auxiliary=("liba.so",), rpath="@/a"), _lib("a/liba.so")),
        (),
    ),
    "versions are not asked for": (
        _forest(_app("liba.so", rpath="@/a", verneed=(("liba.so", (("V9", 0),)),)), _lib("a/liba.so", verdef=("V1",))),
        ("a/liba.so",),
    ),
    "DF_1_NODEFLIB does not count": (
        _forest(_app("liba.so", flags_1=DF_1_NODEFLIB), _lib("lib/liba.so"), rooted=True),
        ("lib/liba.so",),
    ),
    # -- the loader itself
    "the loader stands where it is first asked for": (
        _forest(_app("liba.so", "libb.so", rpath="@/a"), _lib("a/liba.so", "libgone.so", "libc.so"), _lib("a/libb.so")),
        ("a/liba.so", "a/libb.so", None, _LOADER),
    ),
    "libraries that musl contains mean the loader": (
        _forest(_app("libpthread.so.0", "libm.so.6", "libxnet.", rpath="@/a"), _lib("a/libm.so.6")),
        (_LOADER,),
    ),
    "a name that only begins like one of them does not": (
        _forest(_app("libcrypt.so.1", "libm", rpath="@/a"), _lib("a/libcrypt.so.1"), _lib("a/libm")),
        ("a/libcrypt.so.1", "a/libm"),
    ),
    "the loader's own path means the loader": (
        _forest(_app("liba.so", MUSL_X86_64, "libb.so", rpath="@/a"), _lib("a/liba.so"), _lib("a/libb.so")),
        ("a/liba.so", _LOADER, "a/libb.so"),
    ),
    "the loader's file found by a search is the loader": (
        _forest(_app("ld-musl-x86_64.so.1", rpath="/lib")),
        (_LOADER,),
    ),
    "another C library found by its path is the loader": (
        _forest(_app("@/a/liba.so", "libb.so", rpath="@/a"), _lib("a/liba.so", symbols=_LIBC), _lib("a/libb.so")),
        (_LOADER, "a/libb.so"),
    ),
    "a library with one of its symbols is none": (
        _forest(_app("liba.so", rpath="@/a"), _lib("a/liba.so", symbols=_LIBC[:1]), _lib("a/libb.so")),
        ("a/liba.so",),
    ),
    # -- LD_PRELOAD
    "preloads come first, and their needs behind the program's": (
        _forest(
            _app("liba.so", rpath="@/a"),
            _lib("a/liba.so"),
            _lib("p/libp.so", "libq.so", rpath="@/p"),
            _lib("p/libq.so"),
            preload="@/p/libp.so",
        ),
        ("p/libp.so", "a/liba.so", "p/libq.so"),
    ),
    "white space and colons separate preloads, and absent ones are passed over": (
        _forest(
            _app("liba.so", rpath="@/a"),
            *(_lib(f"a/lib{name}.so") for name in "apqrs"),
            preload=" @/a/libp.so:@/a/libq.so\t@/a/gone.so\n@/a/libr.so\v@/a/libs.so;",
        ),
        ("a/libp.so", "a/libq.so", "a/libr.so", "a/liba.so"),
    ),
    "a preload is not searched for in the program's RPATH": (
        _forest(_app("liba.so", rpath="@/a"), _lib("a/liba.so"), _lib("a/libp.so"), preload="libp.so"),
        ("a/liba.so",),
    ),
    "nor are its own needs": (
        _forest(
            _app("liba.so", rpath="@/a"),
            _lib("a/liba.so"),
            _lib("a/libp.so", "libq.so"),
            _lib("a/libq.so"),
            preload="@/a/libp.so",
        ),
        ("a/libp.so", "a/liba.so", None),
    ),
    "a preload that is searched for answers to its name": (
        _forest(
            _app("libp.so", rpath="@/a"), _lib("a/libp.so"), _lib("p/libp.so"), preload="libp.so", library_path="@/p"
        ),
        ("p/libp.so",),
    ),
    "the loader can be preloaded": (
        _forest(_app("liba.so", "libc.so", rpath="@/a"), _lib("a/liba.so"), preload="libc.so"),
        (_LOADER, "a/liba.so"),
    ),
    "/etc/ld.so.preload does not count": (
        _forest(_app("liba.so"), _lib("lib/liba.so"), _lib("lib/libp.so"), rooted=True, system_preload="/lib/libp.so"),
        ("lib/liba.so",),
    ),
    # -- the system's path
    "the default folders in their order": (
        _forest(
            _app("liba.so", "libb.so", "libd.so"),
            *(_lib(f"lib/{name}") for name in ("liba.so",)),
            *(_lib(f"usr/local/lib/{name}") for name in ("liba.so", "libb.so")),
            *(_lib(f"usr/lib/{name}") for name in ("liba.so", "libb.so", "libd.so")),
            rooted=True,
        ),
        ("lib/liba.so", "usr/local/lib/libb.so", "usr/lib/libd.so"),
    ),
    "the path file takes their place": (
        _forest(
            _app("liba.so", "libb.so", "libd.so"),
            Node(_PATH_FILE, content=b"# /lib:\n/a\n\n/b:\0/lib"),
            *(_lib(path) for path in ("a/liba.so", "b/libb.so", "lib/libd.so")),
            rooted=True,
        ),
        ("a/liba.so", "b/libb.so", None),
    ),
    "the path file lies below the prefix of PT_INTERP": (
        _forest(
            _app("liba.so", interp="/opt/m/lib/ld-musl-x86_64.so.1"),
            Node(_PATH_FILE, content=b"/a"),
            Node("opt/m/etc/ld-musl-x86_64.path", content=b"/b"),
            *(_lib(path) for path in ("a/liba.so", "b/liba.so", "lib/liba.so")),
            rooted=True,
        ),
        ("b/liba.so",),
    ),
    "and where it is absent there, the default counts": (
        _forest(
            _app("liba.so", "libc.so", interp="/opt/m/lib/renamed"),
            Node(_PATH_FILE, content=b"/a"),
            *(_lib(path) for path in ("a/liba.so", "lib/liba.so")),
            rooted=True,
        ),
        ("lib/liba.so", "opt/m/lib/renamed"),
    ),
    "the loader is known by its file, not by its name": (
        _forest(
            _app("libc.so.6", "liba.so", interp="/lib64/ld-linux-x86-64.so.2"),
            _lib("usr/local/lib/liba.so"),
            rooted=True,
        ),
        ("lib64/ld-linux-x86-64.so.2", "usr/local/lib/liba.so"),
    ),
}
# Those that only root can set up: setuid files, and files that the one who starts the program may not read.
PRIVILEGED: dict[str, Case] = {
    "a file that may not be read is passed over": _passed(Node("a/liba.so", Recipe(), mode=0)),
    "a path file that may not be read is an empty one": (
        _forest(_app("liba.so"), Node(_PATH_FILE, content=b"/lib", mode=0), _lib("lib/liba.so"), rooted=True),
        (None,),
    ),
    "secure execution ignores LD_LIBRARY_PATH and LD_PRELOAD": (
        _forest(
            _app("liba.so", rpath="@/a"),
            *(_lib(path) for path in ("a/liba.so", "b/liba.so", "b/libp.so")),
            library_path="@/b",
            preload="@/b/libp.so",
            rooted=True,
            setuid=True,
        ),
        ("a/liba.so",),
    ),
    "in secure execution $ORIGIN voids the program's path": (
        _forest(_app("liba.so", rpath="@/a:$ORIGIN"), _lib("a/liba.so"), rooted=True, setuid=True),
        (None,),
    ),
    "a library keeps its $ORIGIN": (
        _forest(
            _app("liba.so", rpath="@/a"),
            _lib("a/liba.so", "libb.so", rpath="$ORIGIN/x"),
            _lib("a/x/libb.so"),
            rooted=True,
            setuid=True,
        ),
        ("a/liba.so", "a/x/libb.so"),
    ),
    "save where it is relative": (
        _forest(
            _app("a/liba.so"),
            _lib("a/liba.so", "libb.so", rpath="$ORIGIN/x"),
            _lib("a/x/libb.so"),
            rooted=True,
            setuid=True,
        ),
        ("=a/liba.so", None),
    ),
    "relative elements count in secure execution": (
        _forest(_app("liba.so", rpath="a"), _lib("a/liba.so"), rooted=True, setuid=True),
        ("=a/liba.so",),
    ),
}

# A program that starts by the default path, and what takes that path away.
DEFAULT_ONLY = (_app("liba.so"), _lib("lib/liba.so"))
UNREADABLE_PATH_FILES = {
    "a folder": Node(_PATH_FILE),
    "a link to itself": Node(_PATH_FILE, link="ld-musl-x86_64.path"),
    "an empty file": Node(_PATH_FILE, content=b""),
}
