"""One question about many files, divided among processes, with the answers in the order of the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec

Item = TypeVar("Item")
Asked = TypeVar("Asked", contravariant=True)
Answer = TypeVar("Answer", bound=msgspec.Struct)

_WORTH_DIVIDING = 128
_LEARNT_FROM = 8
_ENDED = "the process that analysed it was ended, for its use of memory perhaps"


class Question(Protocol[Asked, Answer]):
    """What is asked of each item. kinds: the types of the answers, at most 256."""

    kinds: tuple[type[Answer], ...]

    def answer(self, item: Asked) -> Answer:
        """The answer for one item; nothing is raised."""

    def share(self, item: Asked) -> int:
        """Equal for items that had better be asked of the same process, as the names of one file."""

    def lost(self, item: Asked, reason: str) -> Answer:
        """The answer for an item whose process ended before it had one."""


def divided(question: Question[Item, Answer], items: Sequence[Item], workers: int) -> Iterator[Answer]:
    """The answers for ITEMS, in their order, made when asked for; what is learnt for one serves the others.

    workers: processes among which many items are divided, for a caller without other threads.
    """
    if workers == 1 or len(items) < _WORTH_DIVIDING:
        yield from map(question.answer, items)
        return
    from linkscope.inventory.executors import in_processes  # one file does not need it

    head = len(items) // _LEARNT_FROM
    yield from map(question.answer, items[:head])  # what the loader's cache and the common libraries say is read once
    rest = items[head:]

    def encoded(item: Item) -> bytes:
        answer = question.answer(item)
        return bytes((question.kinds.index(type(answer)),)) + msgspec.msgpack.encode(answer)

    for item, frame in zip(rest, in_processes(encoded, rest, workers, question.share), strict=True):
        if frame is None:
            yield question.lost(item, _ENDED)
        else:
            yield msgspec.msgpack.decode(frame[1:], type=question.kinds[frame[0]])
