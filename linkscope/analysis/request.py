"""What a user asks for, as values: the circumstances to assume, and how much work to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances in which the program would be started (CONTRACT: options of every analysing command).

    root: a directory seen as `/`. cwd, library_path, preload: None means the caller's own (or `/`, nothing and
    nothing with another root). clean_env: no environment variable counts. cpu: a glibc-hwcaps level such as
    `x86-64-v2`; None means the CPU at hand, or the baseline for another architecture.
    """

    root: str = "/"
    cwd: str | None = None
    secure: Literal["auto", "yes", "no"] = "auto"
    library_path: str | None = None
    preload: str | None = None
    clean_env: bool = False
    cpu: str | None = None


class Looking(msgspec.Struct, frozen=True, kw_only=True):
    """How closely to look at processes.

    objects: list them. memory: what they cost (smaps, which takes the kernel time). verify_text: compare code in memory
    with the files. tree: the whole family, with the channels inside. stale_only: nothing but what must be restarted.
    scripts: whether an interpreter's script changed. kernel: whether a newer kernel is installed. user: only processes
    of this user, a name as the document has it; None: everybody's. contents: what is inside the program's own file, or,
    if `unpack`, what was packed into it.
    """

    objects: bool = True
    memory: bool = True
    verify_text: bool = False
    tree: bool = False
    stale_only: bool = False
    scripts: bool = False
    kernel: bool = False
    user: str | None = None
    contents: bool = False
    unpack: bool = False


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """What is done beyond the plain answer.

    unpack: of a packed file, contents are those of what was packed. store: the user's signatures with which contents
    are found, None: where they usually are. shipped: whether the pack that LinkScope brings along counts as well.
    """

    symbols: bool = False
    contents: bool = False
    unpack: bool = False
    cross_check: bool = False
    follow_scripts: bool = False
    store: str | None = None
    shipped: bool = True


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """How `compare` runs the programs.

    arguments: of each of them. input: the file that each run reads from its start; None: nothing. output: where their
    standard output goes while they are measured. accepted: the exit
    codes that are a good end. rounds: how many runs of each; None: until the medians are known well. copies: how many
    are there at once when memory is looked at. timeout: seconds for one run. serve: the port on which they serve, 0 for
    a free one; None: they are no servers. connections: how many are open at once when a server's memory is looked at.
    estimated: is called with a sentence that says how often each is started and how long that takes, once it is known.
    """

    arguments: tuple[str, ...] = ()
    rounds: int | None = None
    copies: tuple[int, ...] = (1, 4, 16)
    timeout: float = 10.0
    serve: int | None = None
    connections: tuple[int, ...] = (1, 8)
    input: str | None = None
    accepted: tuple[int, ...] = (0,)
    output: Literal["null", "pipe", "file"] = "null"
    estimated: Callable[[str], None] = lambda _estimate: None
