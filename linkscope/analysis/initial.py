"""`linkscope policy init`: what files are like now, for a first policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from linkscope.analysis.release import answer, members_of
from linkscope.analysis.request import Assumptions, Depth
from linkscope.model.document import AnalysisError
from linkscope.policy.evaluate import Evaluation
from linkscope.policy.initial import Observed, demanding, observed

_AS_IT_IS = Assumptions()


def observe_each(paths: Sequence[str], assumptions: Assumptions = _AS_IT_IS) -> Iterator[Observed | AnalysisError]:
    """One result a file, in the order in which `check_each` has them. Raises RootUnusable and BadAssumption."""
    demands = Evaluation(demanding(), frozenset())
    with ExitStack() as opened:
        for member in members_of(paths, assumptions, Depth(), opened):
            yield answer(member, lambda subject: observed(subject, demands), rooted=assumptions.root != "/")
