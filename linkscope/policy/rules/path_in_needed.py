"""`path-in-needed`: NEEDED holds a path instead of a soname."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.searchpaths import build_folder
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    """A path in a build folder is `build-path`'s matter."""
    for name in subject.file.needed:
        if "/" not in name or build_folder(name) is not None:
            continue
        where = "a fixed path" if name.startswith("/") else "a path below the file's own folder"
        if not name.startswith(("/", "$")):
            where = "a path from the working directory"
        evidence = (f"NEEDED {name!r}", "a name with a slash is opened as it is, and no search path counts")
        yield Fault(name, f"needs {name}, {where}", evidence, bool(subject.privileges))


RULE = Rule(
    id="path-in-needed",
    level="warning",
    summary="A library is needed by a path, not by a name that is searched for.",
    why=(
        "The linker writes the path on its command line where the library has no soname. The loader opens just that "
        "path: from another working directory, or on another machine, the library is missing."
    ),
    remedy="Link the library with `-Wl,-soname,libNAME.so.1`, and the file with `-L` and `-l`.",
    check=_check,
)
