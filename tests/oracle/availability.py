"""What a test does when its judge is not there: a visible skip, or in CI a failure."""

from collections.abc import Mapping
from typing import Literal


class Unavailable(Exception):
    """A judge that cannot be asked here: a tool, a package archive, a privilege is missing. Its text is the reason."""


def outcome(environment: Mapping[str, str]) -> Literal["fail", "skip"]:
    """What becomes of a test that met `Unavailable`, in this environment.

    "fail" where CI is set and not empty (every CI service sets it): there, a judge that is missing hides a fault.
    """
    return "fail" if environment.get("CI") else "skip"
