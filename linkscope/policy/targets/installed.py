"""Whether the libraries that a file asks for are part of a minimal install."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from linkscope.policy.targets.offer import Library, Target
from linkscope.policy.targets.packages_of import package_of
from linkscope.policy.targets.reason import Reason, Weight
from linkscope.policy.targets.requirements import Need


def not_installed(target: Target, libraries: Mapping[str, Library], needs: Iterable[Need]) -> Iterator[Reason]:
    """A reason for each of NEEDS that a minimal install of TARGET does not have, or is not known to have."""
    for need in needs:
        if need.name not in libraries:
            package = package_of(target, need.name) if target.complete else None
            weight, message = _told(target, need.name, package)
            yield Reason(
                code="library",
                weight=weight,
                subject=need.name,
                message=message,
                askers=need.askers,
                package=package,
            )


def _told(target: Target, name: str, package: str | None) -> tuple[Weight, str]:
    if "/" in name:
        return "doubtful", f"needs {name} by its path, and what is there is not known"
    if not target.complete:
        return "doubtful", f"needs {name}, and whether a minimal install of {target.name} has it is not known"
    brought = f"; the package {package} brings it" if package else ""
    return "fatal", f"needs {name}, which a minimal install of {target.name} does not have{brought}"
