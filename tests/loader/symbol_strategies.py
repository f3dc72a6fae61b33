"""Random programs with a few libraries that define, need and lack symbols and versions in every way, for hypothesis."""

import os
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from hypothesis import strategies as st

from tests.oracle import elfwriter
from tests.oracle.elfformat import DF_1_NOW
from tests.oracle.elfwriter import GLIBC_X86_64
from tests.oracle.recipe import Recipe, Symbol

LIBRARIES = ("l0.so", "l1.so", "l2.so")
_NAMES = ("f", "g", "h")
_VERSIONS = ("V1", "V2", "V3")
_WEAK = 2  # VER_FLG_WEAK
_FLAGS = st.sampled_from((0, 0, 0, _WEAK))
_STYLES: Final[tuple[Literal["sysv", "gnu", "both"], ...]] = ("sysv", "gnu", "both")
_KINDS: Final[tuple[Literal["function", "object"], ...]] = ("function", "object")


class Family(msgspec.Struct, frozen=True):
    """A program and its libraries, all in one folder."""

    program: Recipe
    libraries: tuple[Recipe, ...]

    def plant(self, folder: Path) -> Path:
        """Write the files into a folder; the program's path."""
        for recipe in self.libraries:
            elfwriter.write(folder / str(recipe.soname), recipe)
        # RPATH serves the needs of the libraries as well.
        return elfwriter.write(folder / "app", msgspec.structs.replace(self.program, rpath=os.fspath(folder)))

    def __str__(self) -> str:
        """One file a line."""
        return "\n".join(map(repr, (self.program, *self.libraries)))


def families(interp: str = GLIBC_X86_64) -> st.SearchStrategy[Family]:
    """Programs for one loader. Nothing is missing but symbols and versions."""
    program = _recipes(interp=interp, entry=True, flags_1=0x08000000)
    return st.builds(Family, program, st.tuples(*(_recipes(soname=name) for name in LIBRARIES)))


@st.composite
def _recipes(draw: st.DrawFn, /, **fixed: Any) -> Recipe:
    needed = draw(st.lists(st.sampled_from(LIBRARIES), unique=True, max_size=3))
    sources = [*needed, *draw(st.sampled_from(((), (), (), (), (), ("l2.so",), ("stray.so",))))]
    verneed = tuple(
        (file, tuple((version, draw(_FLAGS)) for version in versions))
        for file in dict.fromkeys(sources)
        if (versions := draw(st.lists(st.sampled_from((*_VERSIONS[:2], "l0.so")), unique=True, max_size=2)))
    )
    verdef = tuple(draw(st.lists(st.sampled_from(_VERSIONS), unique=True, max_size=3)))
    asked = tuple(version for _, versions in verneed for version, _ in versions)
    fixed["flags_1"] = fixed.get("flags_1", 0) | draw(st.sampled_from((0, 0, DF_1_NOW)))
    return Recipe(
        needed=tuple(needed),
        verneed=verneed,
        verdef=verdef,
        symbols=_several(draw, verdef, hidden=True),
        undefined=_several(draw, asked, hidden=False),
        hash_style=draw(st.sampled_from(_STYLES)),
        **fixed,
    )


def _several(draw: st.DrawFn, versions: tuple[str, ...], hidden: bool) -> tuple[Symbol, ...]:
    """Symbols, some of them with one of the versions."""
    chosen = draw(
        st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from((None, *versions))), unique=True, max_size=4)
    )
    return tuple(
        Symbol(
            name,
            version,
            kind=draw(st.sampled_from(_KINDS)),
            weak=draw(st.integers(0, 4)) == 0,
            hidden=hidden and version is not None and draw(st.booleans()),
        )
        for name, version in chosen
    )
