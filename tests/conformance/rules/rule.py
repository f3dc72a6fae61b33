"""What a rule is: a forest, and what the loader maps for its program."""

from typing import Any, Final, Literal

import msgspec

from linkscope.analysis.request import Depth
from tests.oracle import roots
from tests.oracle.elfwriter import GLIBC_X86_64, program
from tests.oracle.forest import Forest, Node
from tests.oracle.recipe import Recipe

MUSL_FILE: Final = "/usr/lib/x86_64-linux-musl/libc.so"
_LDCONFIG = "/sbin/ldconfig"

LOADER: Final = f"={GLIBC_X86_64}"  # as an expected path: glibc from 2.41 on lists itself though nothing refers to it

# What is mapped, in order: a path below the forest's folder; after `=` the path itself; None for a name that leads to
# nothing, so that the program does not start.
Mapped = tuple[str | None, ...]


class Refused(msgspec.Struct, frozen=True):
    """The loader gives up, with these words among its last."""

    words: str


class Decided(msgspec.Struct, frozen=True):
    """What is mapped depends on the CPU, or on how the loader was built: the loader alone knows."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. release: a key of `roots.RELEASES`, whose loader it is about; None for this machine's.

    symbols: it shows only when symbols are bound (`inspect --symbols`, `ldd -r`). by_exit_code: of a tool's answer, its
    exit code counts.
    """

    forest: Forest
    expected: Mapped | Refused | Decided
    libc: Literal["glibc", "musl"] = "glibc"
    release: str | None = None
    symbols: bool = False
    by_exit_code: bool = False

    @property
    def depth(self) -> Depth:
        """How deep LinkScope has to look."""
        return Depth(symbols=self.symbols)

    def loader_and_ldconfig(self) -> tuple[str, str]:
        """The files of this machine that are the loader of a rooted forest, and what writes its cache."""
        if self.libc == "musl":
            return MUSL_FILE, _LDCONFIG
        return roots.loader_and_ldconfig(self.release) if self.release else (GLIBC_X86_64, _LDCONFIG)

    def paths(self, base: str) -> list[str | None] | None:
        """What is mapped, for a forest in the folder `base`, "" where that is the root; None where it is not said."""
        if not isinstance(self.expected, tuple):
            return None
        return [path and (path[1:] if path.startswith("=") else f"{base}/{path}") for path in self.expected]


def app(*needed: str, **recipe: Any) -> Node:
    """The program that needs these; `interp` and `pie` are those of `elfwriter.program`, the others a recipe's."""
    return Node("bin/app", program(needed=needed, **recipe))


def lib(path: str, *needed: str, **recipe: Any) -> Node:
    """A library at a path, without a DT_SONAME unless it is given."""
    return Node(path, Recipe(needed=needed, **recipe))


def rule(*nodes: Node, to: Mapped | Refused | Decided, release: str | None = None, **fields: Any) -> Rule:
    """The rule that a forest of these nodes shows; `fields` are the forest's others."""
    return Rule(forest=Forest(nodes=nodes, **fields), expected=to, release=release)
