"""Random forests for hypothesis: what a loader can meet around a program, most of them such that the program starts."""

from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

from tests.oracle import elfformat
from tests.oracle.elfwriter import GLIBC_X86_64, program
from tests.oracle.forest import Forest, Node
from tests.oracle.recipe import Recipe

# Names that libraries have and are asked for by. Two differ only in how a number is written (the cache compares
# numbers), two have characters that separate elsewhere.
NAMES = ("liba.so", "libb.so.1", "libc2.so", "libd.so.2", "libe.so", "libd.so.02", "lib f.so", "libg:.so")
FOLDERS = ("bin", "a", "b", "a/sub", "lib/x86_64-linux-gnu", "x86_64", "sp ace", "o\udcffdd")
# Names of libraries that AUXILIARY and FILTER ask for. They ask for none themselves: in a ring of filters, every glibc
# crashes or runs out of memory (2.31, 2.36 and 2.41, observed).
FILTEES = ("libx.so", "liby.so.3")
SYSTEM_FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib", "usr/lib", "usr/lib/sub", "opt/l")
LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "junk")
# Folders that glibc looks into below each folder of a search path; those without glibc-hwcaps up to 2.36 only.
BELOW = (*(f"glibc-hwcaps/{level}" for level in LEVELS), "tls", "x86_64", "tls/x86_64", "avx512_1", "haswell")
ROOT_FOLDERS = (*SYSTEM_FOLDERS, *FOLDERS[:3])
# A link to the program, links to folders, one to itself (ELOOP), and one to nothing.
LINKS = (
    Node("start", link="bin/app"),
    *(Node("ln", link="a/sub"), Node("bl", link="@/b"), Node("loop", link="loop"), Node("gone", link="none")),
)

# Elements of search paths that lead nowhere, or by a way of their own.
ODD_ELEMENTS = (
    *("", ".", "a", "b/", "../a", "@/a/", "@//b", "@/a/./", "@/ln/../b", "@/ln", "@/bl", "@/b/../a", "@/none/../a"),
    *("@/$LIB", "@/${LIB}", "@/a/../$LIB", "@/$PLATFORM", "@/${PLATFORM}/", "$LIB", "$PLATFORM"),
    *("$ORIGIN", "$ORIGIN/", "${ORIGIN}", "$ORIGIN/../ln", "${ORIGIN}/../a/sub/..", "$ORIGIN/../../$ORIGIN"),
    *("$ORIGINAL", "${ORIGINAL}", "$ORIGIN.x", "@/$ORIGIN", "${ORIGIN", "$FOO/a", "@/a$FOO", "${FOO}", "$", "$$ORIGIN"),
    *("@/none", "@/loop", "@/gone", "@/a/liba.so", "@/bin/app", "/", "//", "@/lib", "@"),
)

# Recipes and contents of candidates that the loader passes over, and of those at which it stops.
PASSED_OVER = (Recipe(elf_class=32, machine=3), Recipe(machine=183), Recipe(endian="big"))
# (A wrong byte order is refused only where the machine is right when read in this machine's order; an ISA level that no
# CPU has is refused by a start, and not by trace mode.)
REFUSED = (
    Recipe(endian="big", machine=62 << 8),
    Recipe(osabi=9),
    Recipe(abiversion=9),
    Recipe(e_type=1),
    Recipe(e_type=elfformat.ET_EXEC),
    program(),
    Recipe(isa_needed=0x4000),
)
REFUSED_CONTENTS = (b"", b"text\n", b"\x7fELF\x02\x01\x01" + bytes(100))

_Value = TypeVar("_Value")


@st.composite
def weighted(draw: st.DrawFn, *choices: tuple[int, st.SearchStrategy[_Value]]) -> _Value:
    """A value of one of the strategies, each as often as its weight says; the first is the simplest."""
    numbers = [number for number, (weight, _) in enumerate(choices) for _ in range(weight)]
    return draw(choices[draw(st.sampled_from(numbers))][1])


def sometimes(strategy: st.SearchStrategy[_Value], one_in: int) -> st.SearchStrategy[_Value | None]:
    """A value of the strategy once in so many times, else None."""
    return weighted((one_in - 1, st.none()), (1, strategy))


def elements(folders: tuple[str, ...]) -> st.SearchStrategy[str]:
    """One element of a search path: mostly a folder of the forest, by its own path or from $ORIGIN."""
    forms = st.sampled_from(("@/{}", "$ORIGIN/../{}", "${{ORIGIN}}/../{}"))
    return weighted((3, st.builds(str.format, forms, st.sampled_from(folders))), (1, st.sampled_from(ODD_ELEMENTS)))


@st.composite
def search_paths(draw: st.DrawFn, folders: tuple[str, ...], separators: str = ":") -> str:
    """The text of an RPATH, RUNPATH or LD_LIBRARY_PATH. Most of them have every folder in it somewhere."""
    found = draw(st.lists(elements(folders), max_size=3))
    if draw(st.sampled_from((True, True, True, False))):
        found += draw(st.permutations([f"@/{folder}" for folder in folders]))
    return draw(st.sampled_from(separators)).join(found)


@st.composite
def needs(draw: st.DrawFn, names: tuple[str, ...], folders: tuple[str, ...], sizes: tuple[int, ...]) -> tuple[str, ...]:
    """NEEDED strings, as many as one of `sizes`: names of libraries; few with a slash, fewer still that are nowhere."""
    forms = st.sampled_from(("@/{}/{}", "$ORIGIN/../{}/{}", "./{}/{}", "{}/{}"))
    with_slash = st.builds(str.format, forms, st.sampled_from(folders), st.sampled_from(names))
    odd = st.sampled_from(("libgone.so", "$ORIGIN", "lib$LIB.so", "@/loop/liba.so"))
    one = weighted((60, st.sampled_from(names)), (3, with_slash), (1, odd))
    return tuple(draw(one) for _ in range(draw(st.sampled_from(sizes))))


@st.composite
def filters(draw: st.DrawFn, folders: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The AUXILIARY or FILTER of a recipe, mostly neither; one in three has its filtee's name with a folder."""
    kind = draw(sometimes(st.sampled_from(("auxiliary", "filter")), 12))
    with_slash = st.builds("$ORIGIN/../{}/{}".format, st.sampled_from(folders), st.sampled_from(FILTEES))
    return {kind: (draw(weighted((2, st.sampled_from(FILTEES)), (1, with_slash))),)} if kind else {}


@st.composite
def recipes(draw: st.DrawFn, name: str, names: tuple[str, ...], folders: tuple[str, ...]) -> Recipe:
    """What a library of this file name says. Its DT_SONAME may be none, or another library's name."""
    fields: dict[str, Any] = {
        "soname": draw(weighted((4, st.just(name)), (2, st.none()), (1, st.sampled_from((*names, "other.so"))))),
        "needed": draw(needs(names, folders, (0, 1, 2))),
        "rpath": draw(sometimes(search_paths(folders), 4)),
        "runpath": draw(sometimes(search_paths(folders), 5)),
        "flags_1": draw(weighted((9, st.just(0)), (1, st.just(elfformat.DF_1_NODEFLIB)))),
    }
    if name not in FILTEES:
        fields |= draw(filters(folders))
    return Recipe(**fields)


@st.composite
def candidates(draw: st.DrawFn, path: str, names: tuple[str, ...], folders: tuple[str, ...]) -> Node:
    """What stands at a path where a library might: one; else what is passed over, or refused."""
    name = path.rpartition("/")[2]
    library = st.builds(Node, st.just(path), recipes(name, names, folders))
    refused = st.sampled_from((*(Node(path, recipe) for recipe in REFUSED), *_refused_contents(path)))
    return draw(
        weighted(
            (40, library),
            (4, st.sampled_from([Node(path, recipe) for recipe in PASSED_OVER])),
            (1, st.builds(Node, st.just(path), recipes(name, names, folders), mode=st.just(0))),
            (1, st.sampled_from((Node(path, link="none"), Node(path, link=name)))),
            (2, refused),
        )
    )


def _refused_contents(path: str) -> list[Node]:
    """Candidates that are no ELF file: empty, text, cut off, a folder."""
    return [*(Node(path, content=content) for content in REFUSED_CONTENTS), Node(path)]


@st.composite
def libraries(draw: st.DrawFn, names: tuple[str, ...], folders: tuple[str, ...]) -> tuple[Node, ...]:
    """Candidates for each name, in up to three folders or below them, and links of both kinds to some."""
    nodes: dict[str, Node] = {}
    for name in names:
        for folder in draw(st.lists(st.sampled_from(folders), min_size=1, max_size=3, unique=True)):
            below = draw(sometimes(st.sampled_from(BELOW), 5))
            path = "/".join(filter(None, (folder, below, name)))
            nodes[path] = draw(candidates(path, names, folders))
    files = [node.path for node in nodes.values() if node.recipe is not None]
    for path in draw(st.lists(st.sampled_from(files or ["none"]), max_size=3, unique=True)):
        other = f"{draw(st.sampled_from(folders))}/{draw(st.sampled_from(names))}"
        if other not in nodes:
            hard = path in nodes and draw(st.booleans())
            nodes[other] = Node(other, same=path) if hard else Node(other, link=f"@/{path}")
    return tuple(nodes.values())


@st.composite
def filtees(draw: st.DrawFn, names: tuple[str, ...], folders: tuple[str, ...]) -> tuple[Node, ...]:
    """Libraries for AUXILIARY and FILTER to find, in a folder each; as needy as others."""
    places = [f"{draw(st.sampled_from(folders))}/{name}" for name in FILTEES]
    return tuple(Node(path, draw(recipes(path.rpartition("/")[2], names, folders))) for path in places)


@st.composite
def programs(draw: st.DrawFn, interp: str, names: tuple[str, ...], folders: tuple[str, ...], pathless: int) -> Recipe:
    """What the program says: it needs something, and has an RPATH, save `pathless` in four."""
    fields: dict[str, Any] = {
        "needed": draw(needs(names, folders, (1, 2, 3, 4))),
        "rpath": draw(weighted((4 - pathless, search_paths(folders)), (pathless, st.none()))),
        "runpath": draw(sometimes(search_paths(folders), 4)),
    }
    fields |= draw(filters(folders))
    return program(interp, pie=draw(weighted((4, st.just(True)), (1, st.just(False)))), **fields)


def preloads(names: tuple[str, ...], folders: tuple[str, ...], separators: str) -> st.SearchStrategy[str]:
    """The text of LD_PRELOAD or /etc/ld.so.preload: names and paths."""
    paths = st.builds("@/{}/{}".format, st.sampled_from(folders), st.sampled_from(names))
    odd = st.sampled_from(("libgone.so", "$ORIGIN/../a/liba.so", "# liba.so"))
    one = weighted((3, st.sampled_from(names)), (3, paths), (1, odd))
    return st.builds(str.join, st.sampled_from(separators), st.lists(one, min_size=1, max_size=3))


@st.composite
def forests(
    draw: st.DrawFn,
    *,
    folders: tuple[str, ...] = FOLDERS,
    pathless: int = 1,
    libc: str = GLIBC_X86_64,
    setuid: bool = False,
) -> Forest:
    """A forest on this machine, whose program has the loader `libc`. Most of its programs start."""
    names = tuple(draw(st.permutations(NAMES))[: draw(st.sampled_from((1, 2, 3, 4, 5, 6)))])
    app = Node("bin/app", draw(programs(libc, names, folders, pathless)))
    return Forest(
        nodes=(app, *LINKS, *draw(libraries(names, folders)), *draw(filtees(names, folders))),
        started_as=draw(weighted((4, st.just("@/bin/app")), (1, st.just("@/start")), (1, st.just("@/bin/../bin/app")))),
        cwd=draw(st.sampled_from(("", "a", "bin"))),
        library_path=draw(weighted((1, search_paths(folders, ":;")), (pathless, st.none()))),
        preload=draw(sometimes(preloads(names, folders, " :"), 5)),
        setuid=setuid,
    )


@st.composite
def rooted_forests(draw: st.DrawFn, *, libc: str = GLIBC_X86_64, setuid: bool = False) -> Forest:
    """A forest that is a root of its own: with default folders, a cache that may be stale, and /etc/ld.so.preload."""
    forest = draw(forests(folders=ROOT_FOLDERS, pathless=3, libc=libc, setuid=setuid))
    names = tuple(dict.fromkeys(node.path.rpartition("/")[2] for node in forest.nodes[len(LINKS) + 1 :]))
    configured = st.lists(st.sampled_from([f"/{name}" for name in ROOT_FOLDERS]), unique=True)
    late = draw(weighted((2, st.just(0)), (1, st.integers(1, len(names)))))
    nodes = forest.nodes[: len(forest.nodes) - late]
    removable = st.sampled_from([node.path for node in nodes[len(LINKS) + 1 :] if not node.is_folder] or ["none"])
    return msgspec.structs.replace(
        forest,
        nodes=nodes,
        late=forest.nodes[len(nodes) :],
        rooted=True,
        conf=draw(weighted((4, configured.map(tuple)), (1, st.none()))),
        system_preload=draw(sometimes(preloads(names, ROOT_FOLDERS, " \n:"), 6)),
        removed=draw(weighted((2, st.just(())), (1, st.lists(removable, max_size=2, unique=True).map(tuple)))),
    )
