"""`build-path`: a path in the file leads into a folder of the build machine."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from linkscope.model.check import Level
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.searchpaths import build_folder
from linkscope.policy.subject import Subject


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """build_paths: whether paths of the build machine are tolerated, with a warning; false makes them errors."""

    build_paths: bool = True


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    level: Level | None = None if settings.build_paths else "error"
    for source, path in _paths(subject):
        reason = build_folder(path)
        if reason is not None:
            message = f"{source} leads to {path}: {reason}"
            yield Fault(path, message, (f"{source} {path!r}",), bool(subject.privileges), level)


def _paths(subject: Subject) -> Iterator[tuple[str, str]]:
    """Each path once: where it stands in the file, and the path."""
    yield from dict.fromkeys((element.tag, element.element) for element in subject.search_path)
    file = subject.file
    if file.interpreter is not None:
        yield "PT_INTERP", file.interpreter
    for name in file.needed:
        yield "NEEDED", name
    if file.soname is not None:
        yield "SONAME", file.soname


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
