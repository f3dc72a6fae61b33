"""`undated-embedded`: a library that was linked into the file does not tell whether it is older than asked for."""

from __future__ import annotations

from collections.abc import Iterator

from linkscope.policy.ages import Settings, of_age
from linkscope.policy.rule import Fault, Rule
from linkscope.policy.subject import Subject


def _check(subject: Subject, settings: Settings) -> Iterator[Fault]:
    if subject.file.contents is None:
        yield Fault("", "what is linked into it cannot be told: nothing has looked for it")
    yield from of_age(subject, settings, "may be older")


RULE = Rule(
    id="undated-embedded",
    level="warning",
    summary="A library that was linked into the file does not tell its version, and may be older than asked for.",
    why=(
        "That the library is inside is certain, but not which version it is: no text in the file has the number, the "
        "module was replaced by a folder, or the version is none that can be compared. It may be an old one, and so it "
        "does not pass without a word; with the level `error`, only what is known to be new enough passes."
    ),
    remedy=(
        "Look up with which version the file was built, and waive this where that is new enough. Where it was built, "
        "`linkscope sigs add` learns the archives by which the version can be told."
    ),
    check=_check,
    settings=Settings,
    asked=("embedded",),
    needs=frozenset(("contents",)),
)
