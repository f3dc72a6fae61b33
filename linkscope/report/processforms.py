"""How the answers for processes make up their document."""

from __future__ import annotations

from linkscope.model.pid import FamilyTree, PidDocument, Process, ProcessError
from linkscope.report.json import Form

_KEYS: dict[type, str] = {Process: "processes", FamilyTree: "trees", ProcessError: "errors"}

PROCESSES = Form(PidDocument(processes=[], trees=None, errors=[]), _KEYS)
"""Without families."""
FAMILIES = Form(PidDocument(processes=[], trees=[], errors=[]), _KEYS)
"""With them (`--tree`)."""
