"""The policies of the installed auditwheel, as its own files have them: the judge of the rows about tags of wheels.

`python -m tests.policy.wheel_policies manylinux` prints a data file made from them.
"""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.oracle.availability import Unavailable

_SOURCES = {
    "manylinux": "PEP 600, and auditwheel's policy/manylinux-policy.json",
    "musllinux": "PEP 656, and auditwheel's policy/musllinux-policy.json",
}


def policies(family: str) -> list[dict[str, Any]]:
    """auditwheel's policies for `manylinux` or `musllinux`, the strictest first, `linux` left out.

    Raises Unavailable where auditwheel is not installed.
    """
    found = importlib.util.find_spec("auditwheel")
    if found is None or found.origin is None:
        raise Unavailable("auditwheel is not installed")
    rows = json.loads((Path(found.origin).parent / "policy" / f"{family}-policy.json").read_bytes())
    kept = [row for row in rows if row["name"] != "linux"]
    return sorted(kept, key=lambda row: -row["priority"])


def libraries_of(row: dict[str, Any], architecture: str) -> list[str]:
    """The libraries that a policy allows; musl's own is asked for by another name on each architecture."""
    musl = {"i686": "x86", "armv7l": "armv7"}.get(architecture, architecture)
    return [f"libc.musl-{musl}.so.1" if name == "libc.so" else name for name in row["lib_whitelist"]]


def _lines(family: str) -> Iterator[str]:
    yield f"# What the tags {family}_X_Y allow: printed by `python -m tests.policy.wheel_policies {family}`, and a test"
    yield "# compares it with auditwheel. A release says what it adds to the one before."
    yield f'distribution = "{family}"\nkind = "wheels"\nlibc = "{"glibc" if family == "manylinux" else "musl"}"'
    yield 'install = "the libraries that a wheel may take from the system"\n\n[sources.auditwheel]'
    yield f'text = "{_SOURCES[family]}"\nconfidence = "verified"\n\n[machines]'
    before: dict[str, Any] = {"symbol_versions": {}, "lib_whitelist": [], "blacklist": {}}
    for row in policies(family):
        yield from _release(family, row, before)
        before = row


def _release(family: str, row: dict[str, Any], before: dict[str, Any]) -> Iterator[str]:
    release = row["name"].removeprefix(f"{family}_")
    names = [alias.removeprefix(family).strip("_") for alias in row["aliases"]]
    yield f'\n[[releases]]\nrelease = "{release}"\nlibc = "{release.replace("_", ".")}"\nsource = "auditwheel"'
    yield f"names = {json.dumps(names)}\ncomplete = true"
    gone = [name for name in before["symbol_versions"] if name not in row["symbol_versions"]]
    if gone:
        yield f"without = {json.dumps(gone)}"
    for name in row["symbol_versions"]:
        if name not in before["symbol_versions"]:
            yield f'[releases.machines.{name}]\nsource = "auditwheel"'
    yield from _allowed(row, before)
    for name, families in row["symbol_versions"].items():
        known = before["symbol_versions"].get(name, {})
        new = {one: [v for v in versions if v not in known.get(one, [])] for one, versions in families.items()}
        added = {one: versions for one, versions in new.items() if versions or one not in known}
        if added:
            yield f"[releases.versions.{name}]"
            yield from (f'{one} = "{" ".join(versions)}"' for one, versions in sorted(added.items()))
    if row["blacklist"] != before["blacklist"]:
        yield "[releases.forbidden]"
        yield from (f'"{lib}" = "{" ".join(symbols)}"' for lib, symbols in sorted(row["blacklist"].items()))


def _allowed(row: dict[str, Any], before: dict[str, Any]) -> Iterator[str]:
    new = [name for name in row["lib_whitelist"] if name not in before["lib_whitelist"]]
    plain = sorted(name for name in new if name != "libc.so")
    if plain:
        yield '[[releases.libraries]]\npackage = ""\nsource = "auditwheel"\n[releases.libraries.offers]'
        yield from (f'"{name}" = ""' for name in plain)
    if "libc.so" in row["lib_whitelist"]:
        for name in row["symbol_versions"]:
            if name not in before["symbol_versions"]:
                yield f'[[releases.libraries]]\npackage = ""\nsource = "auditwheel"\non = ["{name}"]'
                yield f'offers = {{ "{libraries_of(row, name)[row["lib_whitelist"].index("libc.so")]}" = "" }}'


if __name__ == "__main__":
    for line in _lines(sys.argv[1]):
        print(line)
