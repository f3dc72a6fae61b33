"""Whether the libraries that a file asks for are part of a minimal install."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from linkscope.policy.targets.offer import Library, Target
from linkscope.policy.targets.reason import Reason
from linkscope.policy.targets.requirements import Need


def not_installed(target: Target, libraries: Mapping[str, Library], needs: Iterable[Need]) -> Iterator[Reason]:
    """A reason for each of NEEDS that a minimal install of TARGET does not have, or is not known to have."""
    for need in needs:
        library = libraries.get(need.name)
        if library is not None and library.installed:
            continue
        message, weight = f"needs {need.name}, which a minimal install of {target.name} does not have", "fatal"
        if library is not None:
            message += f"; the package {library.package} brings it"
        elif "/" in need.name:
            message, weight = f"needs {need.name} by its path, and what is there is not known", "doubtful"
        elif not target.complete:
            message = f"needs {need.name}, and whether a minimal install of {target.name} has it is not known"
            weight = "doubtful"
        yield Reason(
            code="library",
            weight="fatal" if weight == "fatal" else "doubtful",
            subject=need.name,
            message=message,
            askers=need.askers,
        )
