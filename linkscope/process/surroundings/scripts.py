"""The script that an interpreter runs, and whether it has changed since the process started.

Which word of a command line names the script is in scripts.toml. What an interpreter loads beyond that one file is not
looked at.
"""

from __future__ import annotations

import functools
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from linkscope.errors import ProcessUnreadable
from linkscope.process import procfs
from linkscope.process.mappings import without_mark
from linkscope.process.tables import read_table
from linkscope.process.views import View

# One program that is many: what it is called with decides (busybox(1), toybox(1)).
_MANY = ("busybox", "toybox")
# No file that stays: standard input, or what a shell has opened for its child.
_NO_FILE = ("/dev/", "/proc/")
# The start of a process is known to a clock tick, rounded down: one later is still before it.
_TICKS = 1


class Interpreter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of scripts.toml, which says what its fields are."""

    name: str
    programs: str
    source: str
    examples: dict[str, str]
    refuses: list[str]
    value: str = ""
    rest: str = ""
    file: str = ""
    inline: str = ""
    module: str = ""
    words_value: tuple[str, ...] = ()
    words_file: tuple[str, ...] = ()
    words_inline: tuple[str, ...] = ()
    words_module: tuple[str, ...] = ()
    whole: bool = False
    plus: bool = False
    skip: tuple[str, ...] = ()
    endings: tuple[str, ...] = ("",)
    suffixes: tuple[str, ...] = ()
    folder: str | None = None


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    interpreter: list[Interpreter]


class Named(msgspec.Struct, frozen=True):
    """What a command line says: the script as it stands there, and who runs it."""

    interpreter: Interpreter
    word: str


class Script(msgspec.Struct, frozen=True):
    """A script. path: absolute, as seen from inside the process's root; None where it cannot be told which file it is.

    reason: why not, as a sentence without its full stop.
    """

    interpreter: str
    word: str
    path: str | None
    reason: str | None = None


class Change(msgspec.Struct, frozen=True):
    """stale: whether a restart would run another script; None where that cannot be told. reason: as in Script."""

    stale: bool | None
    reason: str


def script_of(
    pid: int, program: str, cmdline: Sequence[str], view: View, environ: Mapping[str, str] | None
) -> Script | None:
    """The script that a process runs; None where it is no interpreter, or runs no script that is a file.

    program: the path of its executable. environ: that at its start, None where it is not known.
    """
    named = script_named(program, cmdline)
    if named is None or named.word.startswith(_NO_FILE):
        return None
    if named.word.startswith("/"):
        return Script(named.interpreter.name, named.word, _script_at(named, named.word, view) or named.word)
    return _relative(pid, named, view, environ)


def _relative(pid: int, named: Named, view: View, environ: Mapping[str, str] | None) -> Script:
    """A script that was named from the working directory at the start, which nothing but PWD recalls.

    A caller that changes the directory of what it starts may leave PWD as it was.
    """
    folders = list(dict.fromkeys(folder for folder in (_cwd(pid, view), (environ or {}).get("PWD")) if folder))
    paths = [f"{folder.rstrip('/')}/{named.word}" for folder in folders if folder.startswith("/")]
    found = {_identity(path, view): path for place in paths if (path := _script_at(named, place, view))}
    if len(found) == 1:
        return Script(named.interpreter.name, named.word, *found.values())
    if len(found) > 1:
        why = f"{' and '.join(found.values())} may both be meant: the process may have changed its working directory"
    elif len(paths) == 1 and environ and "PWD" in environ:
        return Script(named.interpreter.name, named.word, paths[0])
    else:
        why = "the process may have changed its working directory, and there is no such file in the one that it has now"
    return Script(named.interpreter.name, named.word, None, why)


def _cwd(pid: int, view: View) -> str | None:
    try:
        return view.inside(procfs.link(pid, "cwd"))
    except ProcessUnreadable:
        return None


def _script_at(named: Named, place: str, view: View) -> str | None:
    """The file that is run when PLACE is named: it, it with a suffix, or one in that folder; None where none exists."""
    for suffix in ("", *named.interpreter.suffixes):
        found = view.status(place + suffix)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            return place + suffix
    folder = named.interpreter.folder
    inner = f"{place.rstrip('/')}/{folder}"
    return inner if folder and view.status(inner) is not None else None


def _identity(path: str, view: View) -> tuple[int, int] | None:
    found = view.status(path)
    return (found.st_dev, found.st_ino) if found else None


def script_named(program: str, cmdline: Sequence[str]) -> Named | None:
    """The script in a command line; None where PROGRAM or argument 0 is no interpreter, or no script is named.

    A program that has written a title over its arguments is no longer called like an interpreter.
    """
    words = list(cmdline)
    if len(words) < 2:
        return None
    name = os.path.basename(without_mark(program))
    if name in _MANY and words:
        if os.path.basename(words[0]) in _MANY:
            del words[0]
        name = os.path.basename(words[0]) if words else ""
    if len(words) < 2:
        return None
    row = _interpreter(name)
    # A login shell has a dash before its name.
    if row is None or _interpreter(os.path.basename(words[0]).removeprefix("-")) is not row:
        return None
    word = _script_word(row, iter(words[1:]))
    return Named(row, word) if word else None


@functools.cache
def _interpreters() -> list[tuple[re.Pattern[str], Interpreter]]:
    return [(re.compile(row.programs), row) for row in read_table("surroundings/scripts.toml", _Table).interpreter]


def _interpreter(name: str) -> Interpreter | None:
    return next((row for pattern, row in _interpreters() if pattern.fullmatch(name)), None)


def _script_word(row: Interpreter, words: Iterator[str]) -> str | None:
    """The word of WORDS, those after argument 0, that names the script."""
    for word in words:
        if word == "--":
            return next(words, None)
        if word in ("", "-"):
            return None
        if word[0] != "-" and not (row.plus and word[0] == "+"):
            if word in row.skip:
                continue
            return word if word.endswith(row.endings) else None
        is_whole = row.whole or word.startswith("--")
        kind, value = _word(row, word) if is_whole else _letters(row, word[1:])
        if kind == "stop":
            return None
        if kind in ("file", "value") and not value:
            value = next(words, "")
        if kind == "file":
            return value
    return None


def _word(row: Interpreter, word: str) -> tuple[str, str]:
    """What an option of a whole word is: `stop`, `file`, `value`, or `flag`; and the value behind its `=`."""
    name, _, value = word.partition("=")
    if name in row.words_inline or name in row.words_module:
        return "stop", ""
    if name in row.words_file:
        return "file", value
    return ("value" if name in row.words_value else "flag"), value


def _letters(row: Interpreter, letters: str) -> tuple[str, str]:
    """The same of letters behind one dash."""
    for place, letter in enumerate(letters, 1):
        if letter in row.inline or letter in row.module:
            return "stop", ""
        if letter in row.file:
            return "file", letters[place:]
        if letter in row.value:
            return "value", letters[place:]
        if letter in row.rest:
            break
    return "flag", ""


def change_of(pid: int, script: Script, view: View, started: float) -> Change:
    """Whether the script was written, replaced or deleted since STARTED, in seconds since the epoch.

    The time of the last change of the inode says it: whatever writes to a file or puts it in its place sets it, and
    nobody can set it otherwise; the time of the last writing may be that of a package's making (inode(7)).
    """
    if script.path is None:
        return Change(None, script.reason or "which file it is cannot be told")
    spot = view.spot(script.path)
    if spot.hidden is not None:
        return Change(None, f"it cannot be looked at: {spot.hidden}")
    found = spot.status
    if found is None:
        return Change(True, "it is deleted")
    limit = started + _TICKS / os.sysconf("SC_CLK_TCK")
    if found.st_ctime <= limit:
        return Change(False, "it has not changed since the process started")
    if found.st_mtime > limit:
        return Change(True, "it was written after the process started")
    if _holds(pid, script.path, view) == (found.st_dev, found.st_ino):
        return Change(False, "the process has it open, and it was not written since the process started")
    return Change(True, "it was put in place, or its name or permissions were changed, after the process started")


def _holds(pid: int, path: str, view: View) -> tuple[int, int] | None:
    """Device and inode of the file that the process has open under this name, as shells have; None without one."""
    try:
        for number in procfs.names_in(pid, "fd"):
            name = view.inside(procfs.link(pid, f"fd/{number}"))
            if name is not None and path in (name, without_mark(name)):
                return procfs.identity(pid, f"fd/{number}")
    except ProcessUnreadable:
        pass
    return None
