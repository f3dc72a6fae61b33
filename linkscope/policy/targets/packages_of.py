"""The package of a distribution that brings a library which a minimal install lacks, where that is known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec

from linkscope.policy.targets.data import FOLDER, DataFault, Row, Source
from linkscope.policy.targets.offer import Target


class _Release(Row, frozen=True):
    release: str
    source: str
    packages: dict[str, str]  # by package: sonames, parted by spaces


class _File(Row, frozen=True):
    distribution: str
    sources: dict[str, Source]
    releases: tuple[_Release, ...]


def package_of(target: Target, soname: str) -> str | None:
    """The package of TARGET's release with that library; None where none is known."""
    return _packages(target.distribution).get(target.release, {}).get(soname)


@cache
def _packages(distribution: str) -> Mapping[str, Mapping[str, str]]:
    """By release and soname; nothing for a distribution without a file. Read only where something is missing."""
    path = FOLDER / "packages" / f"{distribution}.toml"
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise DataFault(str(path), str(error)) from error
    for row in file.releases:
        if row.source not in file.sources:
            raise DataFault(str(path), f"release {row.release}: no source is called {row.source}")
    return {
        row.release: {soname: package for package, sonames in row.packages.items() for soname in sonames.split()}
        for row in file.releases
    }
