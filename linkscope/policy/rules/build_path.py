"""`build-path`: a path in the file leads into a folder of the build machine."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.model.check import Level
from linkscope.model.inspect import File
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.searchpaths import build_folder, graver
from linkscope.policy.subject import Subject


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """build_paths: whether paths of the build machine are tolerated, with a warning; false makes them errors."""

    build_paths: bool = True


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    level: Level | None = None if settings.build_paths else "error"
    for path, sources in _paths(subject.file).items():
        reason = build_folder(path)
        if reason is not None:
            message = f"{' and '.join(sources)} leads to {path}: {reason}{graver(subject)}"
            evidence = tuple(f"{source} {path!r}" for source in sources)
            yield Fault(path, message, evidence, bool(subject.privileges), level)


def _paths(file: File) -> dict[str, list[str]]:
    """Each path, with the places of the file in which it stands. An RPATH that a RUNPATH voids counts as well."""
    rows = [
        *(("RPATH", element) for element in file.rpath),
        *(("RUNPATH", element) for element in file.runpath),
        *((("PT_INTERP", file.interpreter),) if file.interpreter else ()),
        *(("NEEDED", name) for name in file.needed),
        *((("SONAME", file.soname),) if file.soname else ()),
    ]
    found: dict[str, list[str]] = {}
    for source, path in dict.fromkeys(rows):
        found.setdefault(path, []).append(source)
    return found


RULE = Rule(
    id="build-path",
    level="warning",
    summary="A path in the file leads into a build folder, a temporary folder or somebody's home.",
    why=(
        "On other machines the folder is absent, and the library is missing or another one; where somebody can make "
        "it, that one decides what the program loads. It also tells where and by whom the file was built."
    ),
    remedy=(
        "Link without `-rpath` to the build tree (CMake: CMAKE_INSTALL_RPATH, and install the file instead of copying "
        "it; libtool: relink at installation), or use `patchelf --set-rpath '$ORIGIN/../lib'`."
    ),
    check=_check,
    settings=Settings,
)
