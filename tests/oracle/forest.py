"""A forest: a program, libraries and whatever else lies about, as one value that can be written, asked about, printed.

Names are relative to the forest's own folder. In texts that a loader reads (search paths, NEEDED, links, variables) the
sign @ stands for that folder: its path, or nothing where the forest is a root of its own.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.oracle import runner, trace
from tests.oracle.answers import Trace
from tests.oracle.elfwriter import GLIBC_X86_64, encode
from tests.oracle.recipe import Recipe
from tests.oracle.runner import NOBODY, Request
from tests.oracle.start import Start, start
from tests.oracle.trace import Question

MUSL_X86_64 = "/lib/ld-musl-x86_64.so.1"
_LDCONFIG = "/sbin/ldconfig"
_TEXTS = ("rpath", "runpath", "audit")
_LISTS = ("needed", "auxiliary", "filter")


class Node(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """Something at a path, of exactly one kind.

    recipe: an ELF file. content: a file of these bytes. link: a symbolic link to this text. same: a hard link to the
    node of this path. Without any: a folder. mode: the permission bits.
    """

    path: str
    recipe: Recipe | None = None
    content: bytes | None = None
    link: str | None = None
    same: str | None = None
    mode: int = 0o755

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.recipe is None and self.content is None and self.link is None and self.same is None


class Forest(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """A program (the node `program`) and its surroundings.

    started_as: the path that the program is started by, from the folder `cwd`. library_path, preload: the variables;
    None: not set. rooted: the forest is a root of its own, with a loader in it, the folders `conf` in its ld.so.conf
    (None: no cache at all) and `system_preload` as its /etc/ld.so.preload; `late` nodes come, and the paths `removed`
    go, once ldconfig has run. setuid: root owns the program, which gains its rights; another user starts it.
    """

    nodes: tuple[Node, ...]
    program: str = "bin/app"
    started_as: str = "@/bin/app"
    cwd: str = ""
    library_path: str | None = None
    preload: str | None = None
    rooted: bool = False
    conf: tuple[str, ...] | None = None
    system_preload: str | None = None
    late: tuple[Node, ...] = ()
    removed: tuple[str, ...] = ()
    setuid: bool = False

    def __repr__(self) -> str:
        """The forest as Python, a node a line, and only what is not as in a plain one."""
        lines = []
        for name, value in _changed(self):
            if name in ("nodes", "late"):
                inner = "".join(f"        {node!r},\n" for node in value)
                lines.append(f"    {name}=(\n{inner}    ),\n")
            else:
                lines.append(f"    {name}={value!r},\n")
        return f"Forest(\n{''.join(lines)})"

    @property
    def program_recipe(self) -> Recipe:
        """What the program is."""
        found = next(node.recipe for node in self.nodes if node.path == self.program)
        assert found is not None
        return found

    @property
    def for_ordinary_user(self) -> bool:
        """Whether the answer is another one for root, who may read everything, than for an ordinary user."""
        return self.setuid or any(not node.mode & 0o444 for node in self.nodes)

    def write(self, base: Path, loader: str = GLIBC_X86_64, ldconfig: str = _LDCONFIG) -> "Planted":
        """Write the forest into the empty folder `base`.

        loader, ldconfig: for a root of its own, the files of this machine that are its loader (glibc's or musl's, as
        the program asks for) and what writes its cache.
        """
        planted = Planted(forest=self, base=os.fspath(base))
        os.makedirs(os.path.join(base, self.cwd), exist_ok=True)
        for node in self.nodes:
            planted.plant(node)
        if self.rooted:
            planted.furnish(loader, ldconfig)
        for node in self.late:
            planted.plant(node)
        for name in self.removed:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(base, name))
        if self.setuid:
            os.chmod(os.path.join(base, self.program), 0o4755)
        return planted

    @contextlib.contextmanager
    def planted(self, loader: str = GLIBC_X86_64, ldconfig: str = _LDCONFIG) -> Iterator["Planted"]:
        """The forest, written into a folder that every user can enter, and that is gone at the end."""
        with tempfile.TemporaryDirectory(prefix="forest-") as folder:
            os.chmod(folder, 0o755)
            yield self.write(Path(folder), loader, ldconfig)

    def expected(self, base: Path) -> Trace:
        """What the loader says in trace mode about the forest that was written into `base`."""
        return Planted(forest=self, base=os.fspath(base)).trace()


class Planted(msgspec.Struct, frozen=True):
    """A forest that lies in a folder."""

    forest: Forest
    base: str

    def text(self, text: str) -> str:
        """A text of the forest, with the folder in the place of @."""
        return text.replace("@", "" if self.forest.rooted else self.base)

    @property
    def program(self) -> str:
        """The path that the program is started by, as seen from `cwd` (and inside the root)."""
        return self.text(self.forest.started_as)

    @property
    def root(self) -> str | None:
        """The root folder; None where it is the machine's own."""
        return self.base if self.forest.rooted else None

    @property
    def cwd(self) -> str:
        """The working directory, as seen inside the root."""
        return os.path.join("/" if self.forest.rooted else self.base, self.forest.cwd)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that are set."""
        named = {"LD_LIBRARY_PATH": self.forest.library_path, "LD_PRELOAD": self.forest.preload}
        return {name: self.text(value) for name, value in named.items() if value is not None}

    @property
    def user(self) -> int | None:
        """The user who asks: another one than root, where that makes a difference; None: the one who runs the tests."""
        return NOBODY if self.forest.for_ordinary_user and os.geteuid() == 0 else None

    @property
    def question(self) -> Question:
        """How to ask the loader about the program."""
        return Question(root=self.root, env=self.environment, cwd=self.cwd, user=self.user)

    def trace(self) -> Trace:
        """The loader's answer without starting the program. Not for a setuid one, which would simply be started."""
        if self.forest.program_recipe.interp == MUSL_X86_64:
            return trace.musl_list(self.program, msgspec.structs.replace(self.question, loader=MUSL_X86_64))
        return trace.trace(self.program, self.question)

    def start(self) -> Start:
        """A real start of the program."""
        return start(self.program, self.question)

    @contextlib.contextmanager
    def as_asked(self, folder: str | None = None) -> Iterator[None]:
        """Make this process stand in `folder` (None: the working directory asked about), and act as the user who asks.

        The way back is a descriptor: that user need not be able to reach the folder from which the tests run.
        """
        before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chdir(self.cwd if folder is None else folder)
            with self.as_user():
                yield
        finally:
            os.fchdir(before)
            os.close(before)

    @contextlib.contextmanager
    def as_user(self) -> Iterator[None]:
        """Make this process act as the user who asks, for files and folders."""
        if self.user is None:
            yield
            return
        os.seteuid(self.user)
        try:
            yield
        finally:
            os.seteuid(0)

    def plant(self, node: Node) -> None:
        """Write one node, with the folders above it; a link that ldconfig has put there gives way."""
        path = os.path.join(self.base, node.path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.islink(path):
            os.unlink(path)
        if node.link is not None:
            os.symlink(self.text(node.link), path)
        elif node.same is not None:
            os.link(os.path.join(self.base, node.same), path)
        elif node.is_folder:
            os.makedirs(path, exist_ok=True)
            os.chmod(path, node.mode)
        else:
            with open(path, "xb") as file:
                file.write(encode(self._placed(node.recipe)) if node.recipe is not None else node.content or b"")
                os.fchmod(file.fileno(), node.mode)

    def _placed(self, recipe: Recipe) -> Recipe:
        """The recipe with the folder in the place of @ in all its texts."""
        changes: dict[str, Any] = {name: self.text(text) for name in _TEXTS if (text := getattr(recipe, name))}
        changes.update({name: tuple(map(self.text, texts)) for name in _LISTS if (texts := getattr(recipe, name))})
        if recipe.dynamic_order:
            changes["dynamic_order"] = tuple((tag, self.text(text)) for tag, text in recipe.dynamic_order)
        return msgspec.structs.replace(recipe, **changes)

    def furnish(self, loader: str, ldconfig: str) -> None:
        """Make the folder a root: its loader, its configuration, and the cache that ldconfig makes of it."""
        forest, base = self.forest, Path(self.base)
        inside = base / (forest.program_recipe.interp or "").lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        real = os.path.realpath(loader)
        versioned = os.path.basename(real)
        if versioned.startswith("ld-2."):  # until 2.33 the loader was a link to ld-2.31.so, which tells its version
            inside.symlink_to(versioned)
        shutil.copy2(real, inside.resolve())
        (base / "etc").mkdir(exist_ok=True)
        if forest.system_preload is not None:
            (base / "etc/ld.so.preload").write_text(self.text(forest.system_preload))
        if forest.conf is not None:
            (base / "etc/ld.so.conf").write_text("".join(f"{self.text(name)}\n" for name in forest.conf))
            done = runner.run(Request(argv=(ldconfig, "-r", self.base), private=True))
            assert done.status == 0, done


def _changed(forest: Forest) -> list[tuple[str, Any]]:
    """The fields that are not as in a plain forest."""
    plain = Forest(nodes=())
    fields = ((name, getattr(forest, name)) for name in Forest.__struct_fields__)
    return [(name, value) for name, value in fields if value != getattr(plain, name)]
