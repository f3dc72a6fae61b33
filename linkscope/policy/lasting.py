"""Globs for files of a release that mean the same files of the next one, whose packages have other names."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Collection, Iterator

from linkscope.model.document import PACKED
from linkscope.policy.globs import escaped, matches

_CHANGES = "\0"  # stands for what another release has otherwise; no path has one
_ARCHITECTURE = r"[-._](?:x86_64|x64|amd64|i[3-6]86|x86|aarch64|arm64|arm(?:hf|el|v\w+)|ppc64(?:le|el)|s390x|riscv64)"
_ENDING = r"(?:\.(?:whl|deb|rpm|apk|zip|tar|tgz|txz|tbz2?|jar|conda)|\.tar\.\w+)"
# NAME-VERSION... or NAME_VERSION..., as in wheels (PEP 427), of dpkg (deb(7)), rpm and most archives of sources.
_PACKAGE = re.compile(rf"(?P<name>.+?[-_])v?\d.*?(?P<architecture>{_ARCHITECTURE})?(?P<ending>{_ENDING})")
_IN_MEMBERS = (
    (re.compile(r"(?:-[0-9a-f]{8})+(?=\.so)"), f"-{_CHANGES}"),  # auditwheel's, of the file's content
    (re.compile(r"\.so\.\d[\w.]*$"), f".so.{_CHANGES}"),
    (re.compile(r"(?<=\.)(cpython-|pypy).*(?=\.so$)"), rf"\1{_CHANGES}"),  # PEP 3149
    (re.compile(r"[-_]v?\d+(?:\.\d+)+$"), f"-{_CHANGES}"),
)


class Lasting:
    """Globs for some of the files at PATHS, none of which means another one of these."""

    def __init__(self, paths: Collection[str]) -> None:
        self._paths = sorted(paths)

    def globs(self, own: Collection[str]) -> list[str]:
        """Those for OWN; a folder stands for the files in it where there are several, and no other."""
        own = frozenset(own)
        others = [path for path in self._paths if path not in own]
        foreign = {folder for path in others for folder in _folders(path)}
        inside = Counter(folder for path in own for folder in _folders(path))
        found: dict[str, None] = {}
        for path in sorted(own):
            whole = next((one for one in _folders(path) if one not in foreign and inside[one] > 1), None)
            named, end = (path, "") if whole is None else (whole, "/**")
            variants = (variant + end for variant in _variants(named))
            literal = escaped(named) + end
            found[next((one for one in variants if one == literal or not _means_any(one, others)), literal)] = None
        return list(found)


def _folders(path: str) -> list[str]:
    """The folders in which PATH lies, the outermost first; the root and the working directory are none."""
    parts = path.split("/")
    return [folder for i in range(1, len(parts)) if (folder := "/".join(parts[:i])).strip("./")]


def _means_any(glob: str, paths: list[str]) -> bool:
    """Whether GLOB means one of PATHS, which are sorted: those are tried that begin as it does."""
    prefix = re.split(r"[*?\[]", glob, maxsplit=1)[0]
    for i in range(bisect.bisect_left(paths, prefix), len(paths)):
        if not paths[i].startswith(prefix):
            return False
        if matches(paths[i], glob):
            return True
    return False


def _variants(path: str) -> Iterator[str]:
    """Globs for PATH, the one that holds for most releases first: without versions and hashes where it is in a package,
    then with the architecture in the package's name, then with that name as it is.
    """
    for package in (_anything, _architecture, _itself):
        inside, parts = False, []
        for part in path.split("/"):
            if part.endswith(PACKED):
                parts.append(package(part.removesuffix(PACKED)) + PACKED)
            else:
                parts.append(_member(part) if inside else part)
            inside = inside or part.endswith(PACKED)
        yield escaped("/".join(parts)).replace(_CHANGES, "*")


def _anything(name: str) -> str:
    return _renamed(name, r"\g<name>" + _CHANGES + r"\g<ending>")


def _architecture(name: str) -> str:
    return _renamed(name, r"\g<name>" + _CHANGES + r"\g<architecture>\g<ending>")


def _itself(name: str) -> str:
    return name


def _renamed(name: str, template: str) -> str:
    found = _PACKAGE.fullmatch(name)
    return name if found is None else found.expand(template)


def _member(name: str) -> str:
    for pattern, replacement in _IN_MEMBERS:
        name = pattern.sub(replacement, name)
    return name
