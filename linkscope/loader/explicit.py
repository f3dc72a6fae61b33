"""A start through the loader: `ld.so --library-path DIR ./app`, and how each loader reads such a command line.

Sources: glibc elf/rtld.c, dl_main and _dl_usage (options as of 2.33 to 2.42; older ones know some of them); musl
ldso/dynlink.c, __dls3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

Family = Literal["glibc", "musl"]


class ExplicitLoader(msgspec.Struct, frozen=True, kw_only=True):
    """The loader that was started as a program, and what it was told. An option that is not given is None or empty.

    path: of its file, as seen inside the root. name: what it was called by (argv[0]); glibc's and musl's answer to it
    as a library, and musl's looks for its path file in the folder above that of this name. program: the program to
    start, as given. library_path: in the place of LD_LIBRARY_PATH. preload: glibc's adds it behind LD_PRELOAD, musl's
    takes it instead. audit: each --audit, behind LD_AUDIT. inhibit_rpath: the l_name of each object whose RPATH and
    RUNPATH do not count, "" being the program's. argv0: what the program finds as its argv[0].
    hwcaps_prepend, hwcaps_mask: of the glibc-hwcaps subfolders, those tried first, and those left of the loader's own.
    """

    path: str
    name: str
    program: str
    library_path: str | None = None
    preload: str | None = None
    audit: tuple[str, ...] = ()
    inhibit_cache: bool = False
    inhibit_rpath: tuple[str, ...] = ()
    argv0: str | None = None
    hwcaps_prepend: str | None = None
    hwcaps_mask: str | None = None

    def hwcaps(self, own: tuple[str, ...]) -> tuple[str, ...]:
        """The glibc-hwcaps subfolders that are tried, best first, where the loader alone would try OWN.

        Source: glibc elf/dl-hwcaps.c, _dl_important_hwcaps; dl-hwcaps_split.c (empty names do not count).
        """
        first = tuple(name for name in (self.hwcaps_prepend or "").split(":") if name)
        if self.hwcaps_mask is not None:
            own = tuple(name for name in own if name in self.hwcaps_mask.split(":"))
        return first + own


def parse_loader_command(argv: Sequence[str], family: Family) -> tuple[ExplicitLoader, int] | None:
    """What a loader of FAMILY was told by its command line, and where in ARGV the program stands.

    None where it does not start one: --list, --verify, --help, --version, an option that it does not know, no program.
    The `path` of what comes back is only the name by which the loader was called: the command line has no other.
    """
    if not argv:
        return None
    return _for_glibc(argv) if family == "glibc" else _for_musl(argv)


_GLIBC_FIELDS = {
    "--library-path": "library_path",
    "--preload": "preload",
    "--argv0": "argv0",
    "--glibc-hwcaps-prepend": "hwcaps_prepend",
    "--glibc-hwcaps-mask": "hwcaps_mask",
}


def _for_glibc(argv: Sequence[str]) -> tuple[ExplicitLoader, int] | None:
    """A value is always the next argument; of an option given twice the last counts, save --audit.

    `--` ends the options from about 2.37 on (2.36 refuses it, 2.41 takes it, observed).
    """
    told: dict[str, Any] = {}
    at = 1
    while at < len(argv) and argv[at].startswith("--"):
        option, value = argv[at], argv[at + 1] if at + 1 < len(argv) else None
        at += 1
        if option == "--":
            break
        if option == "--inhibit-cache":
            told["inhibit_cache"] = True
            continue
        if value is None:
            return None
        at += 1
        if option == "--audit":
            told["audit"] = (*told.get("audit", ()), value)
        elif option == "--inhibit-rpath":
            told["inhibit_rpath"] = _inhibited(value)
        elif option in _GLIBC_FIELDS:
            told[_GLIBC_FIELDS[option]] = value
        else:
            return None
    if at >= len(argv):
        return None
    return ExplicitLoader(path=argv[0], name=argv[0], program=argv[at], **told), at


def _inhibited(value: str) -> tuple[str, ...]:
    """The names in the value of --inhibit-rpath (glibc elf/dl-load.c, decompose_rpath).

    A wholly empty text is one empty name, and so is what stands before or between colons, but not behind the last.
    """
    names = value.split(":")
    return tuple(names[:-1] if len(names) > 1 and not names[-1] else names)


_MUSL_FIELDS = {"library-path": "library_path", "preload": "preload", "argv0": "argv0"}


def _for_musl(argv: Sequence[str]) -> tuple[ExplicitLoader, int] | None:
    """A value stands behind `=`, or is the next argument. Called `ldd`, the loader only lists."""
    if argv[0].endswith("ldd"):
        return None
    told: dict[str, Any] = {}
    at = 1
    while at < len(argv) and argv[at].startswith("--"):
        option, equals, value = argv[at][2:].partition("=")
        at += 1
        if not option and not equals:
            break
        field = _MUSL_FIELDS.get(option)
        if field is None:
            return None
        if not equals:
            if at >= len(argv):
                return None
            value = argv[at]
            at += 1
        told[field] = value
    if at >= len(argv):
        return None
    return ExplicitLoader(path=argv[0], name=argv[0], program=argv[at], **told), at
