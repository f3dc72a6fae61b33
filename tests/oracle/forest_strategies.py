"""Random forests for hypothesis: what a loader can meet around a program, most of them such that the program starts."""

import functools
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


@functools.lru_cache(maxsize=1024)
def _sampled(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of the values; remembered, for strategies are slow to make, and these are asked for again and again."""
    return st.sampled_from(values)


def _pick(draw: st.DrawFn, values: tuple[_Value, ...]) -> _Value:
    """One of the values; the first is the simplest."""
    picked: _Value = draw(_sampled(values))
    return picked


def _several(draw: st.DrawFn, values: tuple[_Value, ...], least: int, most: int) -> tuple[_Value, ...]:
    """Some of the values, no value twice."""
    return tuple(draw(st.lists(_sampled(values), min_size=least, max_size=most, unique=True)))


def _once_in(draw: st.DrawFn, times: int) -> bool:
    """True once in so many times; False is the simpler."""
    return _pick(draw, tuple(range(times))) == times - 1


def element(draw: st.DrawFn, folders: tuple[str, ...]) -> str:
    """One element of a search path: mostly a folder of the forest, by its own path or from $ORIGIN."""
    if _once_in(draw, 4):
        return _pick(draw, ODD_ELEMENTS)
    return _pick(draw, ("@/{}", "$ORIGIN/../{}", "${{ORIGIN}}/../{}")).format(_pick(draw, folders))


def search_path(draw: st.DrawFn, folders: tuple[str, ...], separators: tuple[str, ...] = (":",)) -> str:
    """The text of an RPATH, RUNPATH or LD_LIBRARY_PATH. Most of them have every folder in it, in some order."""
    found = [element(draw, folders) for _ in range(_pick(draw, (0, 1, 2, 3)))]
    if not _once_in(draw, 7):
        # A turn and a mirror image can bring any two of them into either order.
        turn, step = _pick(draw, tuple(range(len(folders)))), _pick(draw, (1, -1))
        found += [f"@/{folder}" for folder in (folders[turn:] + folders[:turn])[::step]]
    return _pick(draw, separators).join(found)


def need(draw: st.DrawFn, names: tuple[str, ...], folders: tuple[str, ...]) -> str:
    """One NEEDED string: the name of a library; rarely with a slash, more rarely one that is nowhere."""
    name = _pick(draw, names)
    if not _once_in(draw, 16):
        return name
    if _once_in(draw, 4):
        return _pick(draw, ("libgone.so", "$ORIGIN", "lib$LIB.so", "@/loop/liba.so"))
    return _pick(draw, ("@/{}/{}", "$ORIGIN/../{}/{}", "./{}/{}", "{}/{}")).format(_pick(draw, folders), name)


def filtering(draw: st.DrawFn, recipe: Recipe, folders: tuple[str, ...]) -> Recipe:
    """The recipe, once in a while with an AUXILIARY or a FILTER; one in three of them names a folder."""
    if not _once_in(draw, 12):
        return recipe
    kind, filtee = _pick(draw, ("auxiliary", "filter")), _pick(draw, FILTEES)
    name = f"$ORIGIN/../{_pick(draw, folders)}/{filtee}" if _once_in(draw, 3) else filtee
    return msgspec.structs.replace(recipe, **{kind: (name,)})


def library(draw: st.DrawFn, name: str, names: tuple[str, ...], folders: tuple[str, ...]) -> Recipe:
    """What a library of this file name says. Its DT_SONAME may be none, or another library's name."""
    recipe = Recipe(
        soname=_pick(draw, (name, name, name, name, None, None, _pick(draw, (*names, "other.so")))),
        needed=tuple(need(draw, names, folders) for _ in range(_pick(draw, (0, 1, 2)))),
        rpath=search_path(draw, folders) if _once_in(draw, 4) else None,
        runpath=search_path(draw, folders) if _once_in(draw, 5) else None,
        flags_1=elfformat.DF_1_NODEFLIB if _once_in(draw, 10) else 0,
    )
    return recipe if name in FILTEES else filtering(draw, recipe, folders)


def candidate(draw: st.DrawFn, path: str, names: tuple[str, ...], folders: tuple[str, ...]) -> Node:
    """What stands at a path where a library might: one; else what is passed over, refused, or may not be read."""
    name = path.rpartition("/")[2]
    kind = _pick(draw, ("library",) * 40 + ("passed over",) * 4 + ("refused",) * 2 + ("unreadable", "link"))
    if kind == "passed over":
        return Node(path, _pick(draw, PASSED_OVER))
    if kind == "refused":
        refused = _pick(draw, (*REFUSED, *REFUSED_CONTENTS, None))
        return Node(path, refused) if isinstance(refused, Recipe) else Node(path, content=refused)
    if kind == "link":
        return Node(path, link=_pick(draw, ("none", name)))
    recipe = library(draw, name, names, folders)
    return Node(path, recipe, mode=0) if kind == "unreadable" else Node(path, recipe)


def libraries(draw: st.DrawFn, names: tuple[str, ...], folders: tuple[str, ...]) -> tuple[Node, ...]:
    """Candidates for each name, in up to three folders and below them, and links of both kinds to some."""
    nodes: dict[str, Node] = {}
    for name in names:
        for folder in _several(draw, folders, 1, 3):
            paths = [f"{folder}/{name}"]
            if _once_in(draw, 4):
                paths.insert(_pick(draw, (0, 1)), f"{folder}/{_pick(draw, BELOW)}/{name}")
            for path in paths[: _pick(draw, (2, 2, 1))]:
                nodes[path] = candidate(draw, path, names, folders)
    files = tuple(node.path for node in nodes.values() if node.recipe is not None)
    for _ in range(_pick(draw, (0, 1, 2, 3)) if files else 0):
        path = draw(st.sampled_from(files))
        other = f"{_pick(draw, folders)}/{_pick(draw, names)}"
        if other not in nodes:
            nodes[other] = Node(other, link=f"@/{path}") if _once_in(draw, 2) else Node(other, same=path)
    return tuple(nodes.values())


def filtees(draw: st.DrawFn, names: tuple[str, ...], folders: tuple[str, ...]) -> tuple[Node, ...]:
    """Libraries for AUXILIARY and FILTER to find, in a folder each; as needy as others."""
    return tuple(Node(f"{_pick(draw, folders)}/{name}", library(draw, name, names, folders)) for name in FILTEES)


def needy_program(
    draw: st.DrawFn, interp: str, names: tuple[str, ...], folders: tuple[str, ...], pathless: int
) -> Recipe:
    """What the program says: it needs something, and has an RPATH, save `pathless` in four."""
    recipe = program(
        interp,
        pie=not _once_in(draw, 5),
        needed=tuple(need(draw, names, folders) for _ in range(_pick(draw, (1, 2, 3, 4)))),
        rpath=search_path(draw, folders) if _pick(draw, (0, 1, 2, 3)) < 4 - pathless else None,
        runpath=search_path(draw, folders) if _once_in(draw, 4) else None,
    )
    return filtering(draw, recipe, folders)


def preloads(draw: st.DrawFn, names: tuple[str, ...], folders: tuple[str, ...], separators: tuple[str, ...]) -> str:
    """The text of LD_PRELOAD or /etc/ld.so.preload: names and paths."""
    found = []
    for _ in range(_pick(draw, (1, 2, 3))):
        name = _pick(draw, names)
        if _once_in(draw, 6):
            name = _pick(draw, ("libgone.so", "$ORIGIN/../a/liba.so", "# liba.so"))
        elif _once_in(draw, 2):
            name = f"@/{_pick(draw, folders)}/{name}"
        found.append(name)
    return _pick(draw, separators).join(found)


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
    turn, size = _pick(draw, tuple(range(len(NAMES)))), _pick(draw, (1, 2, 3, 4, 5, 6))
    names = (NAMES[turn:] + NAMES[:turn])[:size]
    app = Node("bin/app", needy_program(draw, libc, names, folders, pathless))
    return Forest(
        nodes=(app, *LINKS, *libraries(draw, names, folders), *filtees(draw, names, folders)),
        started_as=_pick(draw, ("@/bin/app",) * 4 + ("@/start", "@/bin/../bin/app")),
        cwd=_pick(draw, ("", "a", "bin")),
        library_path=search_path(draw, folders, (":", ";")) if _once_in(draw, 1 + pathless) else None,
        preload=preloads(draw, names, folders, (" ", ":")) if _once_in(draw, 5) else None,
        setuid=setuid,
    )


@st.composite
def rooted_forests(draw: st.DrawFn, *, libc: str = GLIBC_X86_64, setuid: bool = False) -> Forest:
    """A forest that is a root of its own: with default folders, a cache that may be stale, and /etc/ld.so.preload."""
    forest = draw(forests(folders=ROOT_FOLDERS, pathless=3, libc=libc, setuid=setuid))
    own = len(LINKS) + 1
    names = tuple(dict.fromkeys(node.path.rpartition("/")[2] for node in forest.nodes[own:]))
    late = _pick(draw, (1, 2, 3)) if _once_in(draw, 3) else 0
    nodes = forest.nodes[: len(forest.nodes) - late]
    files = tuple(node.path for node in nodes[own:] if not node.is_folder)
    return msgspec.structs.replace(
        forest,
        nodes=nodes,
        late=forest.nodes[len(nodes) :],
        rooted=True,
        conf=None if _once_in(draw, 5) else _several(draw, tuple(f"/{name}" for name in ROOT_FOLDERS), 0, 9),
        system_preload=preloads(draw, names, ROOT_FOLDERS, (" ", "\n", ":")) if _once_in(draw, 6) else None,
        removed=_several(draw, files, 0, 2) if _once_in(draw, 3) else (),
    )
