"""Files and what is inside them as a CycloneDX 1.6 SBOM: what was found, what proves it, and what depends on what.

Components are the files that were asked about, the libraries that their loader would map, and what is inside the
files, each once, however many files hold it. Source: the CycloneDX 1.6 JSON reference; the package-url types.

Two runs over the same files give the same bytes: the serial number is derived from the content (RFC 9562, UUID version
5), and the time is SOURCE_DATE_EPOCH (reproducible-builds.org), or left out where that is not set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.component_evidence import (
    AnalysisTechnique,
    ComponentEvidence,
    Identity,
    IdentityField,
    Method,
    Occurrence,
)
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from linkscope.model.inspect import ClosureEntry, Content, Evidence, File
from linkscope.report.escape import exact

Digest = Callable[[str], str | None]
"""SHA-256 of the file at a path, in hexadecimal; None where it cannot be read."""

# How each kind of evidence was come by, and LinkScope's own order of what it proves: no probabilities.
_METHODS: dict[str, tuple[AnalysisTechnique, str]] = {
    "note": (AnalysisTechnique.MANIFEST_ANALYSIS, "1"),
    "go-buildinfo": (AnalysisTechnique.MANIFEST_ANALYSIS, "1"),
    "rust-audit": (AnalysisTechnique.MANIFEST_ANALYSIS, "1"),
    "fingerprint": (AnalysisTechnique.HASH_COMPARISON, "0.95"),
    "symbol": (AnalysisTechnique.BINARY_ANALYSIS, "0.9"),
    "banner": (AnalysisTechnique.BINARY_ANALYSIS, "0.8"),
    "rust-path": (AnalysisTechnique.BINARY_ANALYSIS, "0.7"),
    "comment": (AnalysisTechnique.BINARY_ANALYSIS, "0.8"),
    "bundle": (AnalysisTechnique.MANIFEST_ANALYSIS, "0.9"),
}
_OTHER = (AnalysisTechnique.BINARY_ANALYSIS, "0.5")
_TYPES = {"executable": ComponentType.APPLICATION, "shared-library": ComponentType.LIBRARY}
# The types of package URLs that are not called as the ecosystem.
_PURL_TYPES = {"go": "golang", "arch": "alpm", "pacman": "alpm"}
_KNOWN_TYPES = frozenset(
    "alpm apk cargo conan conda deb gem generic golang hackage hex maven npm nuget opam pypi rpm swift".split()
)
_DISTRIBUTED = frozenset(("deb", "rpm", "apk", "alpm"))  # the namespace is the distribution
_SYSTEM = re.compile(r"\((\S+)\)$")  # how the evidence of a package note ends
_EPOCH = re.compile(r"(\d+):(.+)")


def render(files: Iterable[File], digest: Digest, version: str, epoch: int | None) -> str:
    """The whole SBOM of FILES. version: LinkScope's own. epoch: its time, seconds since 1970; None: it tells none."""
    inventory = _Inventory(digest)
    for file in files:
        inventory.add(file)
    bom = Bom(
        components=inventory.components(),
        dependencies=inventory.dependencies(),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(epoch or 0, UTC),
            tools=ToolRepository(
                components=[Component(type=ComponentType.APPLICATION, name="linkscope", version=version)]
            ),
            lifecycles=[PredefinedLifecycle(phase=LifecyclePhase.POST_BUILD)],
        ),
        serial_number=UUID(int=0),
    )
    if epoch is None:
        bom.metadata.timestamp = None  # type: ignore[assignment]  # the schema asks for none
    bom.serial_number = uuid5(NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


class _Inventory:
    """The components by their references, and the edges between them."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._files: dict[str, Component] = {}
        self._contents: dict[str, tuple[Content, dict[str, list[Evidence]]]] = {}
        self._edges: dict[str, set[str]] = {}

    def add(self, file: File) -> None:
        """A file that was asked about; it may be a library of an earlier one."""
        path = exact(file.path, file.path_bytes)
        reference = _file_reference(file.path)
        self._files[reference] = Component(
            type=_TYPES.get(file.kind, ComponentType.FILE),
            name=file.path,
            bom_ref=reference,
            hashes=self._hashes(path),
            evidence=ComponentEvidence(occurrences=[_occurrence(reference, file.path)]),
            properties=[Property(name=f"linkscope:{name}", value=value) for name, value in _facts(file)],
        )
        edges = self._edges.setdefault(reference, set())
        edges.update(self._library(entry) for entry in file.closure if entry.path is not None)
        for content in file.contents or ():
            edges.add(self._content(content, file.path))

    def _library(self, entry: ClosureEntry) -> str:
        """The reference of a library of a closure, which is entered unless it is there."""
        path = entry.realpath or entry.path or entry.requested
        reference = _file_reference(path)
        if reference not in self._files:
            self._files[reference] = Component(
                type=ComponentType.LIBRARY,
                name=entry.soname,
                bom_ref=reference,
                hashes=self._hashes(path),
                evidence=ComponentEvidence(occurrences=[_occurrence(reference, path)]),
            )
        return reference

    def _content(self, content: Content, path: str) -> str:
        """The reference of what is inside the file at PATH, whose evidence is added to what was known of it."""
        reference = _content_reference(content)
        _, proofs = self._contents.setdefault(reference, (content, {}))
        proofs.setdefault(path, []).extend(content.evidence)
        return reference

    def _hashes(self, path: str) -> list[HashType]:
        digest = self._digest(path)
        return [] if digest is None else [HashType(alg=HashAlgorithm.SHA_256, content=digest)]

    def components(self) -> list[Component]:
        """All of them."""
        held = (_component(reference, content, proofs) for reference, (content, proofs) in self._contents.items())
        return [*self._files.values(), *held]

    def dependencies(self) -> list[Dependency]:
        """Every component with those that it depends on; a file depends on its libraries, and on what is in it."""
        parts = {component.bom_ref.value or "": component for component in self.components()}
        return [
            Dependency(
                ref=component.bom_ref,
                dependencies=[Dependency(ref=parts[name].bom_ref) for name in sorted(self._edges.get(reference, ()))],
            )
            for reference, component in parts.items()
        ]


def _facts(file: File) -> Iterable[tuple[str, str]]:
    """What CycloneDX has no place for."""
    yield "kind", file.kind
    if file.linkage is not None:
        yield "linkage", file.linkage
    yield "libc", " ".join(word for word in (file.libc.family, file.libc.version) if word)
    if file.build_id is not None:
        yield "build-id", file.build_id
    for name in file.missing:
        yield "missing", name
    for problem in file.problems:
        if problem.code == "packed":
            yield "packed", problem.message


def _component(reference: str, content: Content, proofs: dict[str, list[Evidence]]) -> Component:
    purl = purl_of(content)
    methods = {(evidence.kind, _proof(evidence)): _method(evidence) for found in proofs.values() for evidence in found}
    field = IdentityField.NAME if purl is None else IdentityField.PURL
    identity = Identity(
        field=field,
        confidence=max((method.confidence for method in methods.values()), default=None),
        concluded_value=content.name if purl is None else purl.to_string(),
        methods=methods.values(),
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=content.name,
        version=content.version,
        purl=purl,
        bom_ref=reference,
        evidence=ComponentEvidence(
            identity=[identity], occurrences=[_occurrence(reference, path) for path in sorted(proofs)]
        ),
    )


def _occurrence(reference: str, path: str) -> Occurrence:
    """With a reference of its own, by which the library orders them: without one, by where they lie in memory."""
    return Occurrence(location=path, bom_ref=f"{reference} in {path}")


def _method(evidence: Evidence) -> Method:
    technique, confidence = _METHODS.get(evidence.kind, _OTHER)
    return Method(technique=technique, confidence=Decimal(confidence), value=_proof(evidence))


def _proof(evidence: Evidence) -> str:
    """EVIDENCE in words: its kind, its text, and how much of which archive was found."""
    words = [f"{evidence.kind}:", *(word for word in (evidence.text, evidence.archive, evidence.package) if word)]
    if evidence.sections_matched is not None:
        words.append(f"{evidence.sections_matched} of {evidence.sections_total} sections")
    if evidence.bytes_matched is not None:
        words.append(f"{evidence.bytes_matched} bytes")
    return " ".join(words)


def purl_of(content: Content) -> PackageURL | None:
    """The package URL of what is inside a file; None where its ecosystem has no type of them."""
    kind = _PURL_TYPES.get(content.ecosystem, content.ecosystem)
    if kind not in _KNOWN_TYPES:
        return None
    namespace, name, version = None, content.name, content.version
    qualifiers: dict[str, str] = {}
    if kind == "golang":
        namespace, _, name = name.lower().rpartition("/")  # purl-spec, golang: both are lower case
    elif kind in _DISTRIBUTED:
        namespace = _system_of(content)
        epoch = _EPOCH.fullmatch(version or "")
        if kind == "rpm" and epoch is not None:  # purl-spec, rpm: the epoch is a qualifier
            qualifiers, version = {"epoch": epoch[1]}, epoch[2]
    try:
        return PackageURL(kind, namespace or None, name, version, qualifiers)
    except ValueError:  # a name out of a damaged file
        return None


def _system_of(content: Content) -> str | None:
    """The distribution that a package note names."""
    for evidence in content.evidence:
        found = _SYSTEM.search(evidence.text or "") if evidence.kind == "note" else None
        if found is not None:
            return found[1].lower()
    return None


def _file_reference(path: str) -> str:
    return f"file:{path}"


def _content_reference(content: Content) -> str:
    purl = purl_of(content)
    return purl.to_string() if purl else f"{content.ecosystem}:{content.name}@{content.version or ''}"
