"""The document of processes that is written piece by piece is the document."""

import msgspec
import pytest

from linkscope.model.pid import FamilyTree, PidDocument, Process, ProcessError
from linkscope.report.json import lines, streamed
from linkscope.report.processforms import FAMILIES, PROCESSES
from tests.report.processes import hostile, process

_EVIL, _TREE = hostile("\x1b[31m\u202ecafé")
_ERROR = ProcessError(pid=99, error="no such process")


@pytest.mark.parametrize(
    "results",
    [[], [_EVIL], [_ERROR], [_TREE], [process(), _TREE, _ERROR, _EVIL, _TREE, _ERROR, process()]],
    ids=["nothing", "a process", "an error", "a tree", "many"],
)
@pytest.mark.parametrize("families", [True, False])
def test_the_streamed_document_is_the_encoded_document(
    results: list[Process | FamilyTree | ProcessError], families: bool
) -> None:
    if not families:
        results = [result for result in results if not isinstance(result, FamilyTree)]
    document = PidDocument(
        processes=[result for result in results if isinstance(result, Process)],
        trees=[result for result in results if isinstance(result, FamilyTree)] if families else None,
        errors=[result for result in results if isinstance(result, ProcessError)],
    )
    assert b"".join(streamed(results, FAMILIES if families else PROCESSES)) == msgspec.json.encode(document) + b"\n"


def test_a_line_for_each_process_and_each_family() -> None:
    written = list(lines([_EVIL, _ERROR, _TREE], (Process, FamilyTree)))
    assert written == [msgspec.json.encode(_EVIL) + b"\n", msgspec.json.encode(_TREE) + b"\n"]
