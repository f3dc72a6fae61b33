"""`store-path`: a path in the file leads into the store of Nix, Guix or Homebrew."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.rule import Fault, NoSettings, Rule
from linkscope.policy.searchpaths import store
from linkscope.policy.subject import Subject


def _check(subject: Subject, _: NoSettings) -> Iterator[Fault]:
    interpreter = subject.file.interpreter
    paths: list[tuple[str, str]] = [(element.tag, element.element) for element in subject.search_path]
    if interpreter is not None:
        paths.append(("PT_INTERP", interpreter))
    for source, path in dict.fromkeys(paths):
        reason = store(path)
        if reason is not None:
            yield Fault(path, f"{source} leads to {path}: {reason}", (f"{source} {path!r}",))


RULE = Rule(
    id="store-path",
    level="note",
    summary="A path in the file leads into the store of Nix, Guix or Homebrew.",
    why=(
        "Such a path is right where the very same package is in the store, and nowhere else: a program whose "
        "interpreter lies there does not start on another system."
    ),
    remedy="Build a release for other systems outside the store, or bundle it with what it needs.",
    check=_check,
)
