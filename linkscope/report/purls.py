"""The package URLs of what is inside files, and of the installed packages that own them.

Source: the package-url specification and its types; for what scanners look advisories up by, Syft and Grype.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from packageurl import PackageURL

from linkscope.model.inspect import Content
from linkscope.model.ownership import Owner

# The types of package URLs that are not called as the ecosystem.
_PURL_TYPES = {"go": "golang", "arch": "alpm", "pacman": "alpm"}
_KNOWN_TYPES = frozenset(
    "alpm apk cargo conan conda deb gem generic golang hackage hex maven npm nuget opam pypi rpm swift".split()
)
# Rust's standard library is no package of crates.io, which a `cargo` without a repository means (purl-spec, cargo). It
# comes with the compiler, and Syft calls it by that (binary cataloger, rust-standard-library-linux).
_STANDARD_LIBRARIES = {("cargo", "std"): ("generic", "rust")}
_DISTRIBUTED = frozenset(("deb", "rpm", "apk", "alpm"))  # the namespace is the distribution
_SYSTEM = re.compile(r"\((\S+)\)$")  # how the evidence of a package note ends
_VENDORS = {"rhel": "redhat"}  # by the ID of os-release(5)
_EPOCH = re.compile(r"(\d+):(.+)")


def purl_of(content: Content) -> PackageURL | None:
    """The package URL of what is inside a file; None where its ecosystem has no type of them."""
    kind = _PURL_TYPES.get(content.ecosystem, content.ecosystem)
    if kind not in _KNOWN_TYPES:
        return None
    kind, name = _STANDARD_LIBRARIES.get((kind, content.name), (kind, content.name))
    namespace, version = None, content.version
    qualifiers: dict[str, str | None] = {}
    if kind == "golang":
        namespace, _, name = name.lower().rpartition("/")  # purl-spec, golang: both are lower case
    elif kind in _DISTRIBUTED:
        namespace = _system_of(content)
        version, qualifiers = _with_epoch(kind, version)
    return _purl(kind, namespace or None, name, version, qualifiers)


def purl_of_package(owner: Owner) -> PackageURL | None:
    """The package URL of an installed package; None: damaged.

    `pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc`: distro is the release (purl-spec, deb),
    upstream the source package. Syft writes it, and Grype looks both up there: most advisories are about the source.
    """
    version, qualifiers = _with_epoch(owner.manager, owner.version)
    whose = {"arch": owner.architecture, "distro": _distro(owner), "upstream": _upstream(owner)}
    return _purl(owner.manager, _vendor(owner), owner.name, version, {**qualifiers, **whose})


def _distro(owner: Owner) -> str | None:
    return "-".join(word for word in (owner.distribution, owner.release) if word) if owner.distribution else None


def _upstream(owner: Owner) -> str | None:
    """The source package, where its name or its version is not the package's; of rpm always, by its file's name.

    Source: Syft's catalogers of Debian, Alpine and Red Hat (packageURL).
    """
    if owner.source is None or (owner.manager == "rpm" and owner.source_version is None):
        return None
    if owner.manager == "rpm":
        return f"{owner.source}-{owner.source_version}.src.rpm"
    if owner.source_version not in (None, owner.version):
        return f"{owner.source}@{owner.source_version}"
    return owner.source if owner.source != owner.name else None


def _vendor(owner: Owner) -> str | None:
    """The namespace: the distribution, but of some of rpm's whoever makes it (purl-spec, rpm; Syft, redhat)."""
    system = owner.distribution
    if owner.manager == "rpm" and system is not None:
        return "opensuse" if system.startswith("opensuse") else _VENDORS.get(system, system)
    return system


def _with_epoch(kind: str, version: str | None) -> tuple[str | None, dict[str, str | None]]:
    """The VERSION that a package URL has, and its qualifiers: of rpm the epoch is one (purl-spec, rpm)."""
    epoch = _EPOCH.fullmatch(version or "") if kind == "rpm" else None
    return (version, {}) if epoch is None else (epoch[2], {"epoch": epoch[1]})


def _purl(
    kind: str, namespace: str | None, name: str, version: str | None, qualifiers: Mapping[str, str | None]
) -> PackageURL | None:
    """None where a name or value is none, as out of a damaged file."""
    try:
        return PackageURL(kind, namespace, name, version, {key: one for key, one in qualifiers.items() if one})
    except ValueError:
        return None


def _system_of(content: Content) -> str | None:
    """The distribution that a package note names."""
    for evidence in content.evidence:
        found = _SYSTEM.search(evidence.text or "") if evidence.kind == "note" else None
        if found is not None:
            return found[1].lower()
    return None
