"""`linkscope policy init`: what files are like now, for a first policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from linkscope.analysis.circumstances import environment_for, reason_for, system_for
from linkscope.analysis.inspect import TOO_MUCH, Run, error_of
from linkscope.analysis.release import Member, members
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.subject import FileSubject
from linkscope.errors import LinkScopeError
from linkscope.model.document import AnalysisError
from linkscope.policy.evaluate import Evaluation
from linkscope.policy.initial import Observed, demanding, observed

_AS_IT_IS = Assumptions()


def observe_each(paths: Sequence[str], assumptions: Assumptions = _AS_IT_IS) -> Iterator[Observed | AnalysisError]:
    """One result a file, in the order in which `check_each` has them. Raises RootUnusable and BadAssumption."""
    system = system_for(assumptions)
    run = Run(system, environment_for(assumptions, system, {}), Depth())
    demands = Evaluation(demanding(), frozenset())
    with ExitStack() as opened:
        for path in paths:
            for member in members(path, run, opened):
                yield _observed(member, demands, rooted=assumptions.root != "/")


def _observed(member: Member | AnalysisError, demands: Evaluation, *, rooted: bool) -> Observed | AnalysisError:
    if isinstance(member, AnalysisError):
        return member
    path, run = member.where.shown, member.run
    try:
        subject = FileSubject(run, run.examined(member.where), rooted, member.kept, member.bundle)
        return observed(subject, demands)
    except LinkScopeError as error:
        return error_of(path, reason_for(error, path, run.system))
    except (MemoryError, RecursionError):  # the boundary of one file
        return error_of(path, TOO_MUCH)
