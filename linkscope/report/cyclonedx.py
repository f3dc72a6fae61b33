"""Files and what is inside them as a CycloneDX 1.6 SBOM: what was found, what proves it, and what depends on what.

Components are the files that were asked about, the libraries that their loader would map, and what is inside the
files, each once, however many files hold it, and by however many paths a file is met: those are its occurrences.
A file that an installed package brought along has that package's version and package URL, by which vulnerabilities are
looked up; several files may be of one package. What a file itself is, is no component below it.
Source: the CycloneDX 1.6 JSON reference; the package-url types.

Two runs over the same files give the same bytes: the serial number is derived from the content (RFC 9562, UUID version
5), and the time is SOURCE_DATE_EPOCH (reproducible-builds.org), or left out where that is not set.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
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

from linkscope.model.document import text
from linkscope.model.inspect import ClosureEntry, Content, Evidence, File
from linkscope.model.ownership import Owner
from linkscope.report.escape import exact
from linkscope.report.purls import purl_of, purl_of_package

Digest = Callable[[str], str | None]
"""SHA-256 of the file at a path, in hexadecimal; None where it cannot be read."""
RealPath = Callable[[str], str | None]
"""The path of the same file without symlinks; None where nothing stands there, as for a member of a package."""
Owners = Callable[[Iterable[str]], Mapping[str, Owner | None]]
"""The installed package of each of these real paths; None where it is nobody's."""


class Known(NamedTuple):
    """What is known of files beyond the answers about them."""

    digest: Digest
    real: RealPath
    owners: Owners


# How each kind of evidence was come by, and LinkScope's own order of what it proves: no probabilities. The texts of a
# library may have been copied without its code; all the more where that was looked for.
_METHODS: dict[str, tuple[AnalysisTechnique, str]] = {
    "note": (AnalysisTechnique.MANIFEST_ANALYSIS, "1"),
    "go-buildinfo": (AnalysisTechnique.MANIFEST_ANALYSIS, "1"),
    "rust-audit": (AnalysisTechnique.MANIFEST_ANALYSIS, "1"),
    "fingerprint": (AnalysisTechnique.HASH_COMPARISON, "0.95"),
    "symbol": (AnalysisTechnique.BINARY_ANALYSIS, "0.9"),
    "banner": (AnalysisTechnique.BINARY_ANALYSIS, "0.6"),
    "rust-path": (AnalysisTechnique.BINARY_ANALYSIS, "0.6"),
    "comment": (AnalysisTechnique.BINARY_ANALYSIS, "0.6"),
    "bundle": (AnalysisTechnique.MANIFEST_ANALYSIS, "0.9"),
}
_OTHER = (AnalysisTechnique.BINARY_ANALYSIS, "0.5")
_WITHOUT_CODE = "0.3"
_TYPES = {"executable": ComponentType.APPLICATION, "shared-library": ComponentType.LIBRARY}


def render(files: Iterable[File], known: Known, version: str, epoch: int | None) -> str:
    """The whole SBOM of FILES. version: LinkScope's own. epoch: its time, seconds since 1970; None: it tells none."""
    inventory = _Inventory(known)
    for file in files:
        inventory.add(file)
    inventory.find_owners()
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


class _FilePart:
    """One file on its way. asked, mapped: the exact paths by which it was asked about, and met in a closure."""

    def __init__(self, name: str, kind: ComponentType) -> None:
        self.name = name
        self.kind = kind
        self.file: File | None = None
        self.asked: dict[str, None] = {}
        self.mapped: dict[str, None] = {}
        self.hashes: list[HashType] = []
        self.owner: Owner | None = None
        self.itself: list[Content] = []

    @property
    def reference(self) -> str:
        """It is called as it was asked for, else by its real path."""
        return f"file:{_encoded(next(iter((*self.asked, *self.mapped))))}"

    def component(self) -> Component:
        """The file as a component."""
        facts = [*(_facts(self.file) if self.file is not None else ()), *_package_facts(self.owner)]
        paths = dict.fromkeys((*self.asked, *self.mapped))
        facts += (("itself", _content_reference(content)) for content in self.itself)
        version, purl, identity = self._identity()
        return Component(
            type=self.kind,
            name=self.name,
            version=version,
            purl=purl,
            bom_ref=self.reference,
            hashes=self.hashes,
            evidence=ComponentEvidence(
                identity=identity,
                occurrences=[_occurrence(self.reference, path) for path in paths],
            ),
            properties=[Property(name=f"linkscope:{name}", value=value) for name, value in facts],
        )

    def _identity(self) -> tuple[str | None, PackageURL | None, list[Identity]]:
        """Version, package URL and why: of the package that has installed the file, else by what it says itself."""
        if self.owner is not None:
            purl = purl_of_package(self.owner)
            return self.owner.version, purl, [] if purl is None else [_installed(self.owner, purl)]
        own = min(self.itself, key=lambda content: content.ecosystem == "generic", default=None)
        return (None, None, []) if own is None else (own.version, purl_of(own), [_concluded([own])])


class _Inventory:
    """The files by their real paths, what is inside of them by its reference, and the edges between all of them."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._there: set[str] = set()
        self._files: dict[str, _FilePart] = {}
        self._contents: dict[str, dict[str, Content]] = {}
        self._libraries: dict[str, set[str]] = {}
        self._inside: dict[str, set[str]] = {}

    def add(self, file: File) -> None:
        """A file that was asked about; it may be a library of another one, or another one by another path."""
        path = exact(file.path, file.path_bytes)
        kind = _TYPES.get(file.kind, ComponentType.FILE)
        key, part = self._part(path, file.path, kind)
        if part.file is None:
            part.name, part.kind, part.file = file.path, kind, file
        part.asked[path] = None
        libraries = self._libraries.setdefault(key, set())
        libraries.update(self._library(entry) for entry in file.closure if entry.path is not None)
        inside = self._inside.setdefault(key, set())
        part.itself = [content for content in file.contents or () if content.itself]
        for content in file.contents or ():
            if content.itself:
                continue
            reference = _content_reference(content)
            self._contents.setdefault(reference, {})[path] = content
            inside.add(reference)

    def _library(self, entry: ClosureEntry) -> str:
        """The key of a library of a closure."""
        path = entry.realpath or entry.path or entry.requested
        if entry.path_bytes is not None:
            path = exact(path, entry.path_bytes)
        key, part = self._part(path, entry.soname, ComponentType.LIBRARY)
        part.mapped[path] = None
        return key

    def _part(self, path: str, name: str, kind: ComponentType) -> tuple[str, _FilePart]:
        """The file at PATH with its key, entered unless it is there."""
        real = self._known.real(path)
        key = real or path
        if real is not None:
            self._there.add(real)
        part = self._files.get(key)
        if part is None:
            part = self._files[key] = _FilePart(name, kind)
            digest = self._known.digest(path)
            part.hashes = [] if digest is None else [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
        return key, part

    def find_owners(self) -> None:
        """Enters the package of each file, once all of them are there: a package manager's whole database is read."""
        for key, owner in self._known.owners(sorted(self._there)).items():
            self._files[key].owner = owner

    def components(self) -> list[Component]:
        """All of them."""
        held = (_component(reference, found) for reference, found in self._contents.items())
        return [*(part.component() for part in self._files.values()), *held]

    def dependencies(self) -> list[Dependency]:
        """Every component with those that it depends on; a file depends on its libraries, and on what is in it."""
        edges: dict[str, list[str]] = {reference: [] for reference in self._contents}
        for key, part in self._files.items():
            libraries = {self._files[one].reference for one in self._libraries.get(key, ())}
            edges[part.reference] = sorted(libraries | self._inside.get(key, set()))
        return [
            Dependency(ref=BomRef(reference), dependencies=[Dependency(ref=BomRef(name)) for name in names])
            for reference, names in edges.items()
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


def _package_facts(owner: Owner | None) -> Iterable[tuple[str, str]]:
    """The package by its bare names, by which the advisories of distributions go: most are about source packages."""
    if owner is not None:
        yield "package", owner.name
        if owner.source is not None:
            yield "package-source", owner.source


def _installed(owner: Owner, purl: PackageURL) -> Identity:
    """That a package manager's database names the file."""
    words = (owner.name, owner.version, owner.architecture)
    said = f"installed: {owner.manager} {' '.join(word for word in words if word)}"
    method = Method(technique=AnalysisTechnique.MANIFEST_ANALYSIS, confidence=Decimal(1), value=said)
    return Identity(field=IdentityField.PURL, confidence=Decimal(1), concluded_value=purl.to_string(), methods=[method])


def _component(reference: str, found: dict[str, Content]) -> Component:
    """What is inside files. found: as it was found in each, by its exact path."""
    content = next(iter(found.values()))
    return Component(
        type=ComponentType.LIBRARY,
        name=content.name,
        version=content.version,
        purl=purl_of(content),
        bom_ref=reference,
        evidence=ComponentEvidence(
            identity=[_concluded(found.values())], occurrences=[_occurrence(reference, path) for path in sorted(found)]
        ),
        properties=[Property(name=f"linkscope:{name}", value=value) for name, value in _remarks(found)],
    )


def _concluded(found: Collection[Content]) -> Identity:
    """What is the same in several files, or in one, by all that proves it there."""
    content = next(iter(found))
    purl = purl_of(content)
    methods: dict[tuple[str, str], Method] = {}
    for one in found:
        for evidence in one.evidence:
            key, method = (evidence.kind, _proof(evidence)), _method(evidence, one)
            methods[key] = max(methods.get(key, method), method, key=lambda method: method.confidence or 0)
    return Identity(
        field=IdentityField.NAME if purl is None else IdentityField.PURL,
        confidence=max((method.confidence for method in methods.values()), default=None),
        concluded_value=content.name if purl is None else purl.to_string(),
        methods=methods.values(),
    )


def _remarks(found: dict[str, Content]) -> Iterable[tuple[str, str]]:
    """What was not there, and whose archives have the same code: where the version is doubted, not what was linked."""
    for path, one in sorted(found.items()):
        if one.absent_code:
            yield "code-not-found", f"{', '.join(one.absent_code)}: none of its code in {text(path)}"
    proofs = (evidence for one in found.values() for evidence in one.evidence if evidence.package)
    for package, system in sorted({(proof.package or "", proof.distribution or "") for proof in proofs}):
        yield "same-code-in", f"{package} of {system}" if system else package


def _occurrence(reference: str, path: str) -> Occurrence:
    """With a reference of its own, by which the library orders them: without one, by where they lie in memory."""
    return Occurrence(location=text(path), bom_ref=f"{reference} in {_encoded(path)}")


def _encoded(path: str) -> str:
    """An exact PATH as text that no other path has: a byte of no UTF-8 is `%FF`, and so `%` is `%25` (RFC 3986, 2.1).

    The library gives one of two components with the same reference a random one.
    """
    path = path.replace("%", "%25")
    if path == text(path):
        return path
    return "".join(f"%{ord(one) - 0xDC00:02X}" if "\udc80" <= one <= "\udcff" else one for one in path)


def _method(evidence: Evidence, content: Content) -> Method:
    technique, confidence = _METHODS.get(evidence.kind, _OTHER)
    confidence = _WITHOUT_CODE if content.absent_code else confidence
    return Method(technique=technique, confidence=Decimal(confidence), value=_proof(evidence))


def _proof(evidence: Evidence) -> str:
    """EVIDENCE in words: its kind, its text, and how much of which archive was found."""
    words = [f"{evidence.kind}:", *(word for word in (evidence.text, evidence.archive, evidence.package) if word)]
    if evidence.sections_matched is not None:
        words.append(f"{evidence.sections_matched} of {evidence.sections_total} sections")
    if evidence.bytes_matched is not None:
        words.append(f"{evidence.bytes_matched} bytes")
    return " ".join(words)


def _content_reference(content: Content) -> str:
    purl = purl_of(content)
    return purl.to_string() if purl else f"{content.ecosystem}:{content.name}@{content.version or ''}"
