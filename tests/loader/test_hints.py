"""Each hint says what is true: what it names as the remedy is done to the files, and the real loader then finds all.

@ stands for the folder of a case, as in the forests; `app` is bin/app.
"""

import os
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from linkscope.analysis.circumstances import environment_for, place, system_for
from linkscope.analysis.request import Assumptions
from linkscope.elf.image import read_image
from linkscope.loader.program import Program
from linkscope.loader.remedies.hints import hints_for_missing
from linkscope.loader.start import start
from tests.oracle.elfformat import DF_1_NODEFLIB
from tests.oracle.elfwriter import program
from tests.oracle.forest import MUSL_X86_64, Forest, Node, Planted
from tests.oracle.recipe import Recipe

I386, AARCH64 = 3, 183


class Case(msgspec.Struct, frozen=True):
    """A forest in which something is missing, the first hint about it, and (where the hint is no recipe) its remedy."""

    forest: Forest
    hint: str
    remedy: Callable[[Forest], Forest] | None = None


def _app(**recipe: Any) -> Node:
    return Node("bin/app", recipe=program(**recipe))


def _library(path: str, **recipe: Any) -> Node:
    return Node(path, recipe=Recipe(**recipe))


def _forest(*nodes: Node, **forest: Any) -> Forest:
    return Forest(nodes=nodes, **forest)


def _recipe(forest: Forest, path: str) -> Recipe:
    (recipe,) = (node.recipe for node in forest.nodes if node.path == path)
    assert recipe is not None
    return recipe


def _replaced(forest: Forest, path: str, **changes: Any) -> Forest:
    """The forest with one node's recipe changed."""
    recipe = msgspec.structs.replace(_recipe(forest, path), **changes)
    nodes = [msgspec.structs.replace(node, recipe=recipe) if node.path == path else node for node in forest.nodes]
    return msgspec.structs.replace(forest, nodes=tuple(nodes))


def _with(*nodes: Node) -> Callable[[Forest], Forest]:
    """The remedy that puts these nodes in the place of those at their paths."""
    paths = [node.path for node in nodes]

    def remedy(forest: Forest) -> Forest:
        kept = [node for node in forest.nodes if node.path not in paths]
        return msgspec.structs.replace(forest, nodes=(*kept, *nodes))

    return remedy


def _ldconfig_last(forest: Forest) -> Forest:
    """Once more ldconfig, when all files are there."""
    return msgspec.structs.replace(forest, nodes=(*forest.nodes, *forest.late), late=(), removed=())


MID = _library("lib/libmid.so", needed=("libleaf.so",))
LEAF = _library("leaf/libleaf.so", soname="libleaf.so")
ROOTED: dict[str, Any] = {"rooted": True, "started_as": "/bin/app", "conf": ("/opt/l",)}

CASES = {
    "a RUNPATH is not inherited": Case(
        _forest(_app(needed=("libmid.so",), runpath="$ORIGIN/../lib:$ORIGIN/../leaf"), MID, LEAF),
        "libmid.so has no RUNPATH of its own, and the RUNPATH of @/bin/app, whose folder @/bin/../leaf holds "
        "libleaf.so, is not inherited: link libmid.so with -Wl,-rpath,'$ORIGIN/../leaf', "
        "or link @/bin/app with RPATH instead (-Wl,--disable-new-dtags)",
    ),
    "an absolute RUNPATH is named absolute": Case(
        _forest(_app(needed=("libmid.so",), runpath="@/lib:@/leaf"), MID, LEAF),
        "libmid.so has no RUNPATH of its own, and the RUNPATH of @/bin/app, whose folder @/leaf holds libleaf.so, "
        "is not inherited: link libmid.so with -Wl,-rpath,'@/leaf', or ",
    ),
    "the asker's RUNPATH leads elsewhere": Case(
        _forest(
            _app(needed=("libmid.so",), runpath="@/lib:@/leaf"),
            _library("lib/libmid.so", needed=("libleaf.so",), runpath="@/none"),
            LEAF,
        ),
        "the RUNPATH of libmid.so does not lead to it, and that of @/bin/app, whose folder @/leaf holds libleaf.so, "
        "is not inherited: add '@/leaf' to the RUNPATH of libmid.so",
    ),
    "a RUNPATH cancels the RPATHs above": Case(
        _forest(
            _app(needed=("libmid.so",), rpath="@/lib:@/leaf"),
            _library("lib/libmid.so", needed=("libleaf.so",), runpath="@/none"),
            LEAF,
        ),
        "libmid.so has a RUNPATH, so that the RPATH of @/bin/app, whose folder @/leaf holds libleaf.so, "
        "does not count for it: add '@/leaf' to the RUNPATH of libmid.so",
    ),
    "RPATH beside RUNPATH is ignored": Case(
        _forest(_app(needed=("libmid.so",), rpath="@/lib:@/leaf", runpath="@/lib"), MID, LEAF),
        "@/bin/app has an RPATH and a RUNPATH, so that its RPATH, whose folder @/leaf holds libleaf.so, is ignored: "
        "link libmid.so with -Wl,-rpath,'@/leaf'",
    ),
    "RPATH beside RUNPATH in the asker": Case(
        _forest(_app(needed=("libleaf.so",), rpath="@/leaf", runpath="@/lib"), LEAF),
        "@/bin/app has an RPATH and a RUNPATH, so that its RPATH, whose folder @/leaf holds libleaf.so, is ignored: "
        "add '@/leaf' to the RUNPATH of @/bin/app",
    ),
    "an empty RUNPATH": Case(
        _forest(_app(needed=("libleaf.so",), rpath="@/leaf", runpath=""), LEAF),
        "@/bin/app has an RPATH and a RUNPATH, so that its RPATH, whose folder @/leaf holds libleaf.so, is ignored: "
        "add '@/leaf' to the RUNPATH of @/bin/app",
    ),
    "another library's RUNPATH": Case(
        _forest(
            _app(needed=("libmid.so", "libable.so"), runpath="@/lib"),
            MID,
            _library("lib/libable.so", needed=("libleaf.so",), runpath="$ORIGIN/../leaf"),
            LEAF,
        ),
        "the RUNPATH of libable.so, whose folder @/lib/../leaf holds libleaf.so, does not serve libmid.so: "
        "link libmid.so with -Wl,-rpath,'$ORIGIN/../leaf'",
    ),
    "no default folders": Case(
        _forest(_app(needed=("libc.so.6",), flags_1=DF_1_NODEFLIB)),
        "@/bin/app is linked with -z nodefaultlib, so that /lib/x86_64-linux-gnu/libc.so.6 does not count for it: "
        "link @/bin/app with -Wl,-rpath,'/lib/x86_64-linux-gnu', or link it without that",
    ),
    "a relative element": Case(
        _forest(_app(needed=("libleaf.so",), runpath="lib"), _library("bin/lib/libleaf.so"), cwd="elsewhere"),
        "replace 'lib' in the RUNPATH of @/bin/app by '$ORIGIN/lib', which leads to libleaf.so "
        "(a relative folder is taken from the working directory)",
    ),
    "a relative element that begins above the program": Case(
        _forest(_app(needed=("libleaf.so",), runpath="leaf"), LEAF, cwd="elsewhere"),
        "replace 'leaf' in the RUNPATH of @/bin/app by '$ORIGIN/../leaf', which leads to libleaf.so ",
    ),
    "a relative RUNPATH is not inherited": Case(
        _forest(_app(needed=("libmid.so",), runpath="lib:leaf"), MID, LEAF),
        "libmid.so has no RUNPATH of its own, and the RUNPATH of @/bin/app, whose folder leaf holds libleaf.so, "
        "is not inherited: link libmid.so with -Wl,-rpath,'$ORIGIN/../leaf', or ",
    ),
    "a token with a letter too few": Case(
        _forest(_app(needed=("libleaf.so",), runpath="$ORIGN/../leaf"), LEAF),
        "replace '$ORIGN/../leaf' in the RUNPATH of @/bin/app by '$ORIGIN/../leaf', which leads to libleaf.so "
        "(there is no such token)",
    ),
    "a misspelt token in braces": Case(
        _forest(_app(needed=("libleaf.so",), runpath="@/none:${ORIGINS}/../leaf"), LEAF),
        "replace '${ORIGINS}/../leaf' in the RUNPATH of @/bin/app by '${ORIGIN}/../leaf', which leads to libleaf.so ",
    ),
    "a $ too many": Case(
        _forest(_app(needed=("libleaf.so",), runpath="$$ORIGIN/../leaf"), LEAF),
        "replace '$$ORIGIN/../leaf' in the RUNPATH of @/bin/app by '$ORIGIN/../leaf', which leads to libleaf.so "
        "(the escape of the $ was kept)",
    ),
    "make has eaten $O": Case(
        _forest(_app(needed=("libleaf.so",), runpath="@/none:RIGIN/../leaf"), LEAF),
        "replace 'RIGIN/../leaf' in the RUNPATH of @/bin/app by '$ORIGIN/../leaf', which leads to libleaf.so "
        "(make has replaced $O, which $$O would have kept from it)",
    ),
    "the shell has eaten $ORIGIN": Case(
        _forest(_app(needed=("libleaf.so",), rpath="/../leaf"), LEAF),
        "replace '/../leaf' in the RPATH of @/bin/app by '$ORIGIN/../leaf', which leads to libleaf.so "
        "(the shell may have replaced $ORIGIN by nothing)",
    ),
    "an escape was kept": Case(
        _forest(_app(needed=("libleaf.so",), runpath="\\$ORIGIN/../leaf"), LEAF),
        "replace '\\$ORIGIN/../leaf' in the RUNPATH of @/bin/app by '$ORIGIN/../leaf', which leads to libleaf.so "
        "(the escape of the $ was kept)",
    ),
    "quotes were kept": Case(
        _forest(_app(needed=("libleaf.so",), runpath="'$ORIGIN/../leaf'"), LEAF),
        "replace ''$ORIGIN/../leaf'' in the RUNPATH of @/bin/app by '$ORIGIN/../leaf', which leads to libleaf.so "
        "(the quotes were kept)",
    ),
    "a token in small letters": Case(
        _forest(_app(needed=("libmid.so",), rpath="@/lib:${origin}/../leaf"), MID, LEAF),
        "replace '${origin}/../leaf' in the RPATH of @/bin/app by '${ORIGIN}/../leaf', which leads to libleaf.so "
        "(tokens are written in capitals)",
    ),
    "another separator": Case(
        _forest(_app(needed=("libleaf.so",), runpath="@/none;@/leaf"), LEAF),
        "'@/none;@/leaf' in the RUNPATH of @/bin/app is one element, since only : separates them: '@/leaf' alone would "
        "lead to it",
    ),
    "the origin of a link to a library": Case(
        _forest(
            _app(needed=("libmid.so",), runpath="@/link"),
            _library("lib/libmid.so", needed=("libleaf.so",), runpath="$ORIGIN/../lib/leaf"),
            _library("far/lib/leaf/libleaf.so"),
            Node("far/lib/libmid.so", same="lib/libmid.so"),
            Node("link/libmid.so", link="../far/lib/libmid.so"),
        ),
        "$ORIGIN of libmid.so is @/link, that of the link by which it is found, not that of the file itself "
        "(@/far/lib), from which '$ORIGIN/../lib/leaf' in the RUNPATH of libmid.so would lead to libleaf.so: write "
        "@/far/lib/../lib/leaf",
    ),
    "the origin of a program started by a link": Case(
        _forest(
            _app(needed=("libleaf.so",), runpath="$ORIGIN/parts"),
            _library("start/parts/libleaf.so"),
            Node("start/app", link="../bin/app"),
            started_as="@/start/app",
        ),
        "$ORIGIN of @/start/app is @/bin, not that of the link by which it is started (@/start), from which "
        "'$ORIGIN/parts' in the RUNPATH of @/start/app would lead to libleaf.so: write @/start/parts",
    ),
    "a token that is none": Case(
        _forest(_app(needed=("libleaf.so",), runpath="$LIBRARIES"), _library("far/away/libleaf.so")),
        "'$LIBRARIES' in the RUNPATH of @/bin/app keeps its $ as it is: only $ORIGIN, $LIB and $PLATFORM are replaced",
        lambda forest: _replaced(forest, "bin/app", runpath="@/far/away"),
    ),
    "another class": Case(
        _forest(
            _app(needed=("libleaf.so",), runpath="@/leaf"),
            _library("leaf/libleaf.so", elf_class=32, machine=I386),
        ),
        "@/leaf/libleaf.so is passed over: it is 32-bit 386, the program is 64-bit x86_64 "
        "(wrong ELF class: ELFCLASS32)",
        _with(LEAF),
    ),
    "another machine": Case(
        _forest(_app(needed=("libleaf.so",), runpath="@/leaf"), _library("leaf/libleaf.so", machine=AARCH64)),
        "@/leaf/libleaf.so is passed over: it is 64-bit aarch64, the program is 64-bit x86_64",
        _with(LEAF),
    ),
    "no permission": Case(
        _forest(_app(needed=("libleaf.so",), runpath="@/leaf"), Node("leaf/libleaf.so", recipe=Recipe(), mode=0)),
        "@/leaf/libleaf.so is passed over: there is no permission to read it",
        _with(LEAF),
    ),
    "a link to nothing": Case(
        _forest(_app(needed=("libleaf.so",), runpath="@/leaf"), Node("leaf/libleaf.so", link="libleaf.so.1")),
        "@/leaf/libleaf.so is a link to libleaf.so.1, and that does not exist",
        _with(Node("leaf/libleaf.so", link="libleaf.so.1"), _library("leaf/libleaf.so.1")),
    ),
    "a link to itself": Case(
        _forest(_app(needed=("libleaf.so",), runpath="@/leaf"), Node("leaf/libleaf.so", link="libleaf.so")),
        "@/leaf/libleaf.so is a link that leads back to itself",
        _with(LEAF),
    ),
    "links in a ring": Case(
        _forest(
            _app(needed=("libleaf.so",), runpath="@/leaf"),
            Node("leaf/libleaf.so", link="libring.so"),
            Node("leaf/libring.so", link="libleaf.so"),
        ),
        "@/leaf/libleaf.so is a link that leads back to itself",
        _with(LEAF),
    ),
    "a file that ends the search": Case(
        _forest(
            _app(needed=("libleaf.so",), runpath="@/first:@/leaf"), Node("first/libleaf.so", content=b"text\n"), LEAF
        ),
        "@/first/libleaf.so is text (perhaps a linker script), and ends the search: "
        "take it away, or put the right library in its place",
        lambda forest: msgspec.structs.replace(forest, removed=("first/libleaf.so",)),
    ),
    "beside the program": Case(
        _forest(_app(needed=("libleaf.so",)), _library("bin/libleaf.so")),
        "@/bin holds libleaf.so, and @/bin/app does not look there: link @/bin/app with -Wl,-rpath,'$ORIGIN'",
    ),
    "in a folder beside the program's": Case(
        _forest(_app(needed=("libleaf.so",), rpath="@/none"), _library("lib/libleaf.so")),
        "@/lib holds libleaf.so, and @/bin/app does not look there: add '$ORIGIN/../lib' to the RPATH of @/bin/app",
    ),
    "beside the library that asks": Case(
        _forest(_app(needed=("libmid.so",), runpath="@/lib"), MID, _library("lib/deep/libleaf.so")),
        "@/lib/deep holds libleaf.so, and libmid.so does not look there: link libmid.so with -Wl,-rpath,'$ORIGIN/deep'",
    ),
    "the nearest that lacks a version is left out": Case(
        _forest(
            _app(needed=("libleaf.so",), verneed=(("libleaf.so", (("V_2", 0),)),)),
            _library("bin/libleaf.so", soname="libleaf.so", verdef=("V_1",)),
            _library("lib/libleaf.so", soname="libleaf.so", verdef=("V_1", "V_2")),
        ),
        "@/lib holds libleaf.so, and @/bin/app does not look there: link @/bin/app with -Wl,-rpath,'$ORIGIN/../lib'",
    ),
    "all that is near lacks a version": Case(
        _forest(
            _app(needed=("libleaf.so",), verneed=(("libleaf.so", (("V_2", 0), ("V_3", 0))),)),
            _library("bin/libleaf.so", soname="libleaf.so", verdef=("V_1", "V_2")),
        ),
        "@/bin/libleaf.so does not serve: it lacks V_3, needed by @/bin/app",
        _with(
            _app(needed=("libleaf.so",), verneed=(("libleaf.so", (("V_2", 0), ("V_3", 0))),), runpath="$ORIGIN"),
            _library("bin/libleaf.so", soname="libleaf.so", verdef=("V_1", "V_2", "V_3")),
        ),
    ),
    "a link of that name is missing": Case(
        _forest(
            _app(needed=("libleaf.so.1",), runpath="@/leaf"), _library("leaf/libleaf.so.1.0", soname="libleaf.so.1")
        ),
        "@/leaf/libleaf.so.1.0 is this library, and the link to it is missing "
        "(ln -s libleaf.so.1.0 @/leaf/libleaf.so.1)",
    ),
    "another version": Case(
        _forest(
            _app(needed=("libleaf.so.1",), runpath="@/leaf"),
            _library("leaf/libleaf.so.2", soname="libleaf.so.2"),
            Node("leaf/libleaf.so", link="libleaf.so.2"),
        ),
        "only libleaf.so.2 (@/leaf/libleaf.so) is here, another version: install libleaf.so.1, or link @/bin/app anew",
        lambda forest: _replaced(forest, "bin/app", needed=("libleaf.so.2",)),
    ),
    "a relative path as the name": Case(
        _forest(_app(needed=("parts/libleaf.so",)), _library("bin/parts/libleaf.so")),
        "@/bin/app needs it by a relative path, which is taken from the working directory (@): it would be found from "
        "@/bin",
        lambda forest: msgspec.structs.replace(forest, cwd="bin"),
    ),
    "nothing anywhere": Case(
        _forest(_app(needed=("libleaf.so",))),
        "libleaf.so is not in any folder nearby either: install what provides it",
        _with(_app(needed=("libleaf.so",), runpath="@/leaf"), LEAF),
    ),
    "a folder that the cache does not know": Case(
        _forest(_app(needed=("libleaf.so",)), late=(_library("opt/l/libleaf.so"),), **ROOTED),
        "/opt/l, which /etc/ld.so.conf names, holds libleaf.so, and the loader's cache does not know it: run ldconfig",
        _ldconfig_last,
    ),
    "a cache entry whose file is gone": Case(
        _forest(
            _app(needed=("libleaf.so",)),
            _library("opt/l/libleaf.so", soname="libleaf.so"),
            removed=("opt/l/libleaf.so",),
            **ROOTED,
        ),
        "the loader's cache names /opt/l/libleaf.so, and that file is gone: reinstall what it belongs to",
        _ldconfig_last,
    ),
    "a cache entry whose file has moved to another folder of the configuration": Case(
        _forest(
            _app(needed=("libleaf.so",)),
            _library("opt/l/libleaf.so", soname="libleaf.so"),
            late=(_library("opt/m/libleaf.so", soname="libleaf.so"),),
            removed=("opt/l/libleaf.so",),
            **{**ROOTED, "conf": ("/opt/l", "/opt/m")},
        ),
        "/opt/m, which /etc/ld.so.conf names, holds libleaf.so, and the loader's cache still names /opt/l/libleaf.so, "
        "and that file is gone: run ldconfig",
        lambda forest: _ldconfig_last(
            msgspec.structs.replace(forest, nodes=tuple(node for node in forest.nodes if "opt/l" not in node.path))
        ),
    ),
    "a subfolder of a default folder": Case(
        _forest(_app(needed=("libleaf.so",)), _library("usr/lib/own/libleaf.so"), **ROOTED),
        "/usr/lib/own holds libleaf.so, and is not searched: link /bin/app with -Wl,-rpath,'/usr/lib/own'",
    ),
    "musl drops a whole list": Case(
        _forest(_app(interp=MUSL_X86_64, needed=("libleaf.so",), runpath="$LIB:@/leaf"), LEAF),
        "musl drops the whole RUNPATH of @/bin/app for a $ that is not $ORIGIN: without the other elements, '@/leaf' "
        "would lead to libleaf.so",
        lambda forest: _replaced(forest, "bin/app", runpath="@/leaf"),
    ),
}

# What an ordinary user does with a setuid program.
SECURE_CASES = {
    "LD_LIBRARY_PATH in secure execution": Case(
        _forest(_app(needed=("libleaf.so",)), LEAF, library_path="@/leaf", setuid=True),
        "LD_LIBRARY_PATH, whose folder @/leaf holds libleaf.so, does not count in secure execution (setuid, file "
        "capabilities): link @/bin/app with -Wl,-rpath,'@/leaf'",
    ),
    "$ORIGIN in secure execution": Case(
        _forest(_app(needed=("libleaf.so",), runpath="$ORIGIN/../leaf"), LEAF, setuid=True),
        "'$ORIGIN/../leaf' of @/bin/app, which leads to libleaf.so, does not count in secure execution (setuid, file "
        "capabilities): write @/bin/../leaf without $ORIGIN",
    ),
    "a relative element in secure execution": Case(
        _forest(_app(needed=("libleaf.so",), runpath="leaf"), _library("bin/leaf/libleaf.so"), setuid=True),
        "replace 'leaf' in the RUNPATH of @/bin/app by '@/bin/leaf', which leads to libleaf.so (a relative folder is "
        "taken from the working directory, and $ORIGIN does not count in secure execution)",
    ),
    "beside a program in secure execution": Case(
        _forest(_app(needed=("libleaf.so",), rpath="@/none"), _library("lib/libleaf.so"), setuid=True),
        "@/lib holds libleaf.so, and @/bin/app does not look there: add '@/lib' to the RPATH of @/bin/app",
    ),
    "beside a library in secure execution, whose own $ORIGIN counts": Case(
        _forest(_app(needed=("libmid.so",), runpath="@/lib"), MID, _library("lib/deep/libleaf.so"), setuid=True),
        "@/lib/deep holds libleaf.so, and libmid.so does not look there: link libmid.so with -Wl,-rpath,'$ORIGIN/deep'",
    ),
    "beside a program in secure execution under musl": Case(
        _forest(_app(interp=MUSL_X86_64, needed=("libleaf.so",)), _library("lib/libleaf.so"), setuid=True),
        "@/lib holds libleaf.so, and @/bin/app does not look there: link @/bin/app with -Wl,-rpath,'@/lib'",
    ),
}


def _first_hint(planted: Planted) -> str:
    return _hints(planted)[0]


def _hints(planted: Planted) -> list[str]:
    """The hints about the first thing that is missing, with @ for the case's folder."""
    base = planted.base
    with planted.as_asked(base if planted.root else planted.cwd):
        assumptions = Assumptions(
            root=planted.root or "/",
            cwd=planted.cwd,
            library_path=planted.environment.get("LD_LIBRARY_PATH", ""),
            preload=planted.environment.get("LD_PRELOAD", ""),
            secure="yes" if planted.forest.setuid else "auto",
            clean_env=True,
        )
        system = system_for(assumptions)
        where = place(planted.program, system)
        with system.open(where.inside) as reader:
            image = read_image(reader)
            system.remember(image, reader.head)
        environment = environment_for(assumptions, system, {})
        started = start(
            system, Program(image, where.inside, where.shown, system.root.locate(where.inside)), environment
        )
        missing = next(one for one in started.link_map.objects if one.image is None and one.role == "library")
        return [hint.replace(base, "@") for hint in hints_for_missing(started, missing)]


def _done(forest: Forest, hint: str) -> Forest:
    """The forest after what a hint says in so many words has been done."""
    if match := re.search(r"link (\S+) with -Wl,-rpath,'(.*?)'", hint):
        return _replaced(forest, _path_of(forest, match[1]), runpath=match[2])
    if match := re.search(r"add '(.*?)' to the (RUNPATH|RPATH) of (\S+)", hint):
        path, tag = _path_of(forest, match[3]), match[2].lower()
        there = getattr(_recipe(forest, path), tag)
        return _replaced(forest, path, **{tag: f"{there}:{match[1]}" if there else match[1]})
    if match := re.search(r"ln -s (\S+) @/(\S+)\)", hint):
        return msgspec.structs.replace(forest, nodes=(*forest.nodes, Node(match[2], link=match[1])))
    element = r"'([^ ]*?)'(?: in the RU?N?PATH)? of (\S+?),? "
    if match := re.search(element, hint):
        meant = re.search(r"(?:: |by )'(.*)'(?: alone|, which leads)", hint) or re.search(r"write (\S+)", hint)
        assert meant is not None
        path = _path_of(forest, match[2])
        recipe = _recipe(forest, path)
        tag, text = ("runpath", recipe.runpath) if recipe.runpath is not None else ("rpath", recipe.rpath)
        assert text is not None
        return _replaced(forest, path, **{tag: text.replace(match[1], meant[1])})
    raise AssertionError(f"nothing to be done in {hint!r}")


def _path_of(forest: Forest, called: str) -> str:
    """The node of an object that a hint names: the program by a path, a library by its file name."""
    name = called.rpartition("/")[2]
    return next(node.path for node in forest.nodes if node.recipe and node.path.rpartition("/")[2] == name)


def _missing(planted: Planted) -> bool:
    answer = planted.start().answer if planted.forest.setuid else planted.trace()
    return bool(answer.missing or answer.fatal)


@pytest.mark.parametrize("name", CASES)
def test_what_the_hint_says_mends_it(name: str) -> None:
    _judge(CASES[name])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program setuid for another user")
@pytest.mark.parametrize("name", SECURE_CASES)
def test_what_the_hint_says_mends_it_in_secure_execution(name: str) -> None:
    _judge(SECURE_CASES[name])


def _judge(case: Case) -> None:
    with case.forest.planted() as planted:
        assert _missing(planted)
        hint = _first_hint(planted)
    assert hint.startswith(case.hint)
    mended = case.remedy(case.forest) if case.remedy is not None else _done(case.forest, hint)
    with mended.planted() as planted:
        assert not _missing(planted), f"{hint}\n{mended}"


# What mends it by itself is all that is said, whatever lies near besides.
ALONE = (
    "a RUNPATH is not inherited",
    "a relative element",
    "a token with a letter too few",
    "a $ too many",
    "a link to itself",
    "a link to nothing",
    "a folder that the cache does not know",
    "a cache entry whose file has moved to another folder of the configuration",
    "beside the program",
)


@pytest.mark.parametrize("name", ALONE)
def test_a_folder_nearby_is_offered_only_where_nothing_better_is_known_and_only_one(name: str) -> None:
    forest = CASES[name].forest
    nearby = [_library(f"{folder}/libleaf.so", soname="libleaf.so") for folder in ("bin/near", "lib64", "bin/other")]
    with msgspec.structs.replace(forest, nodes=(*forest.nodes, *nearby)).planted() as planted:
        (hint,) = _hints(planted)
    assert hint.startswith(CASES[name].hint)


def test_the_other_remedy_for_a_runpath_that_is_not_inherited() -> None:
    """RPATH in the program instead: it serves its libraries too."""
    forest = CASES["a RUNPATH is not inherited"].forest
    recipe = forest.program_recipe
    with _replaced(forest, "bin/app", runpath=None, rpath=recipe.runpath).planted() as planted:
        assert not _missing(planted)
