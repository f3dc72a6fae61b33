"""LinkScope: how Linux programs are linked, and what the dynamic loader would do with them.

The public functions are those of `linkscope.analysis`, each imported when it is first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from linkscope.analysis.check import check
    from linkscope.analysis.compare import compare
    from linkscope.analysis.diff import diff
    from linkscope.analysis.inspect import inspect
    from linkscope.analysis.process import processes
    from linkscope.analysis.request import Assumptions, Depth, Looking, Running
    from linkscope.analysis.targets import targets
    from linkscope.analysis.who import who
    from linkscope.analysis.why import why
    from linkscope.policy.terms import Policy

__all__ = [
    "Assumptions",
    "Depth",
    "Looking",
    "Policy",
    "Running",
    "check",
    "compare",
    "diff",
    "inspect",
    "processes",
    "targets",
    "who",
    "why",
]
__version__ = "0.1.0"

_HOMES = {
    "Assumptions": "linkscope.analysis.request",
    "Depth": "linkscope.analysis.request",
    "Looking": "linkscope.analysis.request",
    "Policy": "linkscope.policy.terms",
    "Running": "linkscope.analysis.request",
    "check": "linkscope.analysis.check",
    "compare": "linkscope.analysis.compare",
    "diff": "linkscope.analysis.diff",
    "inspect": "linkscope.analysis.inspect",
    "processes": "linkscope.analysis.process",
    "targets": "linkscope.analysis.targets",
    "who": "linkscope.analysis.who",
    "why": "linkscope.analysis.why",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # not before it is wanted: a program has to be reached by an interrupt early

    return getattr(import_module(_HOMES[name]), name)
