"""SBOMs: valid by CycloneDX's own strict schema, read back by its own library, the same bytes for the same files."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from linkscope.model.inspect import Content, Evidence
from linkscope.model.ownership import Owner
from tests.cli.conftest import Linkscope, environment
from tests.cli.conftest import linkscope as linkscope
from tests.contents.samples import linked
from tests.elf.samples import tool
from tests.oracle.availability import Unavailable
from tests.report.documents import hostile, library, program

try:
    from cyclonedx.model.bom import Bom
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from packageurl import PackageURL

    from linkscope.report.cyclonedx import Known, render
    from linkscope.report.purls import purl_of, purl_of_package
except ModuleNotFoundError:
    pytestmark = pytest.mark.skip("cyclonedx-python-lib is not installed (linkscope[sbom])")

FixtureFile = Callable[[str], Path]


def _content(name: str, version: str | None = None, ecosystem: str = "generic", *proofs: Evidence) -> Content:
    return Content(name=name, ecosystem=ecosystem, version=version, evidence=list(proofs))


def _valid(text: str) -> dict[str, Any]:
    """The document, after the strict validator has found nothing wrong with it."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    try:
        assert validator.validate_str(text) is None
    except Exception as error:
        if "MissingOptionalDependency" in type(error).__name__:
            raise Unavailable("cyclonedx-python-lib[json-validation] is not installed") from error
        raise
    document: dict[str, Any] = json.loads(text)
    return document


def _rendered(*files: Any, epoch: int | None = None) -> str:
    known = Known(lambda path: hashlib.sha256(path.encode()).hexdigest(), lambda _: None, lambda _: {})
    return render(files, known, "1.0", epoch)


BANNER = Evidence(kind="banner", text="deflate 1.2.13 Copyright")
PRINTED = Evidence(kind="fingerprint", archive="libz.a", sections_matched=6, sections_total=15, bytes_matched=36030)
ZLIB = _content("zlib", "1.2.13", "generic", BANNER, PRINTED)


def test_a_program_from_the_command_line_is_a_valid_sbom(linkscope: Linkscope, tmp_path: Path) -> None:
    source = "#include <zlib.h>\nint main(int n, char **v) { unsigned long m = n; return compress(*v, &m, *v, 1); }\n"
    app = linked(tmp_path / "app", source, ["-static", "-lz"])
    ran = linkscope("inspect", "--format", "cyclonedx", "app")
    assert (ran.returncode, ran.stderr) == (0, b"")
    parts = {part["bom-ref"]: part for part in _valid(ran.stdout.decode())["components"]}
    file = parts["file:app"]
    assert file["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(app.read_bytes()).hexdigest()}]
    (zlib,) = (part for part in parts.values() if part["name"] == "zlib")
    assert PackageURL.from_string(zlib["purl"]).version == zlib["version"]


def test_libraries_of_the_closure_are_what_a_program_depends_on(
    linkscope: Linkscope, fixture_file: FixtureFile
) -> None:
    app = fixture_file("chain/diamond/app")
    document = _valid(linkscope("inspect", "--format", "cyclonedx", str(app)).stdout.decode())
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in document["dependencies"]}
    names = {Path(reference).name for reference in edges[f"file:{app}"]}
    judge = subprocess.run(["readelf", "-dW", app], capture_output=True, text=True, check=True).stdout
    assert names >= {"libleft.so", "libright.so", "libleaf.so"}
    assert all(f"[{name}]" in judge for name in ("libleft.so", "libright.so"))
    assert {part["bom-ref"] for part in document["components"]} == set(edges)
    for part in document["components"]:
        path = Path(part["bom-ref"].removeprefix("file:"))
        assert part["hashes"][0]["content"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_is_read_back_with_its_evidence() -> None:
    document = _valid(_rendered(program([], path="app", contents=[ZLIB])))
    bom = Bom.from_json(document)  # type: ignore[attr-defined]  # made by a decorator
    (part,) = (part for part in bom.components if part.name == "zlib")
    assert part.purl == PackageURL("generic", None, "zlib", "1.2.13")
    (identity,) = part.evidence.identity
    assert {method.technique.value for method in identity.methods} == {"binary-analysis", "hash-comparison"}
    assert any("6 of 15 sections" in method.value and "libz.a" in method.value for method in identity.methods)
    assert str(identity.confidence) == "0.95"
    assert [occurrence.location for occurrence in part.evidence.occurrences] == ["app"]
    assert bom.validate()


def test_what_two_files_hold_is_one_component_with_both_occurrences() -> None:
    document = _valid(_rendered(*(program([], path=name, contents=[ZLIB]) for name in ("one", "two"))))
    (part,) = (part for part in document["components"] if part["name"] == "zlib")
    assert [occurrence["location"] for occurrence in part["evidence"]["occurrences"]] == ["one", "two"]
    edges = {edge["ref"]: edge.get("dependsOn") for edge in document["dependencies"]}
    assert edges == {"file:one": [part["bom-ref"]], "file:two": [part["bom-ref"]], part["bom-ref"]: None}


def test_a_file_that_is_met_by_several_paths_is_one_component(linkscope: Linkscope, tmp_path: Path) -> None:
    """As a library of the program, by its soname's symlink, and by its own name."""
    app = linked(tmp_path / "app", "#include <zlib.h>\nint main(void) { return *zlibVersion(); }\n", ["-lz"])
    judge = subprocess.run(["ldd", app], capture_output=True, text=True, check=True).stdout
    (link,) = (words[2] for words in map(str.split, judge.splitlines()) if words[0] == "libz.so.1")
    real = str(Path(link).resolve())
    assert real != link
    whole = [
        linkscope("inspect", "--format", "cyclonedx", *paths) for paths in (("app", link, real), (link, real, "app"))
    ]
    for ran in whole:
        document = _valid(ran.stdout.decode())
        digest = hashlib.sha256(Path(real).read_bytes()).hexdigest()
        (part,) = (part for part in document["components"] if digest in str(part.get("hashes")))
        assert part["bom-ref"] == f"file:{link}"
        assert sorted(one["location"] for one in part["evidence"]["occurrences"]) == sorted({link, real})
        edges = {edge["ref"]: edge.get("dependsOn", []) for edge in document["dependencies"]}
        assert part["bom-ref"] in edges["file:app"]
        assert set(edges) == {part["bom-ref"] for part in document["components"]}
        assert not any(part.get("purl", "").startswith("pkg:generic/zlib") for part in document["components"])
        assert any(one["value"].startswith("pkg:generic/zlib@") for one in part["properties"]), "it is zlib itself"


NOTED = _content("hello", "2.10-3", "deb", Evidence(kind="note", text="deb hello 2.10-3 (debian)"))


def test_what_a_file_is_itself_is_no_component_below_it_and_tells_what_no_package_does() -> None:
    own = msgspec.structs.replace(NOTED, itself=True)
    plain = msgspec.structs.replace(_content("hello", "2.10", "generic", BANNER), itself=True)
    document = _valid(_rendered(program([], path="app", contents=[own, plain, ZLIB])))
    parts = {part["bom-ref"]: part for part in document["components"]}
    app, zlib = parts.pop("file:app"), parts.pop("pkg:generic/zlib@1.2.13")
    assert parts == {}
    assert (app["version"], app["purl"], zlib["version"]) == ("2.10-3", "pkg:deb/debian/hello@2.10-3", "1.2.13")
    assert [one["value"] for one in app["properties"] if one["name"] == "linkscope:itself"] == [
        "pkg:deb/debian/hello@2.10-3",
        "pkg:generic/hello@2.10",
    ]
    (edge,) = (one["dependsOn"] for one in document["dependencies"] if one["ref"] == "file:app")
    assert edge == ["pkg:generic/zlib@1.2.13"]


def test_an_installed_file_has_the_version_of_its_package_and_not_what_it_is_itself() -> None:
    owner = Owner(manager="deb", name="hello", version="2.10-4", distribution="debian")
    known = Known(lambda _: None, lambda path: path, lambda paths: dict.fromkeys(paths, owner))
    own = msgspec.structs.replace(NOTED, itself=True)
    (app,) = _valid(render([program([], path="app", contents=[own])], known, "1.0", None))["components"]
    assert (app["version"], app["purl"]) == ("2.10-4", "pkg:deb/debian/hello@2.10-4?distro=debian")


def _dpkg_owner(path: str) -> str:
    """PACKAGE[:ARCHITECTURE] of the file at PATH; dpkg may know it by its name before /usr was merged."""
    for name in (path, path.removeprefix("/usr")):
        ran = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if ran.returncode == 0:
            return ran.stdout.partition(": ")[0]
    raise AssertionError(f"dpkg knows no owner of {path}")


def _owned(document: dict[str, Any], root: str = "") -> dict[str, tuple[str | None, str | None]]:
    """The version and the package URL of each file, by its path below ROOT without symlinks."""
    return {
        os.path.realpath(root + place["location"]).removeprefix(root): (part.get("version"), part.get("purl"))
        for part in document["components"]
        if part["bom-ref"].startswith("file:")
        for place in part["evidence"]["occurrences"]
    }


def test_a_library_and_a_program_have_the_package_that_dpkg_names(linkscope: Linkscope) -> None:
    if shutil.which("dpkg-query") is None:
        raise Unavailable("dpkg-query is not here")
    document = _valid(linkscope("inspect", "--format", "cyclonedx", shutil.which("dpkg-query") or "").stdout.decode())
    owned = _owned(document)
    assert any("libc.so" in path for path in owned)
    system = platform.freedesktop_os_release()
    distro = "-".join(system[key] for key in ("ID", "VERSION_ID") if key in system)
    for path, (version, purl) in owned.items():
        package = _dpkg_owner(path)
        form = "${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}"
        name, judged, architecture, source, built = tool("dpkg-query", "-W", "-f", form, package).split()
        assert version == judged
        upstream = f"{source}@{built}" if built != judged else source if source != name else None
        found = PackageURL.from_string(purl or "")
        told = {"arch": architecture, "distro": distro, **({"upstream": upstream} if upstream else {})}
        assert found == PackageURL("deb", system["ID"], name, judged, told)
    bom = Bom.from_json(document)  # type: ignore[attr-defined]  # made by a decorator
    assert bom.validate()


def test_a_file_that_is_nobodys_has_no_package(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    app = fixture_file("chain/diamond/app")
    document = _valid(linkscope("inspect", "--format", "cyclonedx", str(app)).stdout.decode())
    owned = {os.path.basename(path): found for path, found in _owned(document).items()}
    assert owned["app"] == owned["libleft.so"] == (None, None)


def test_below_another_root_its_own_packages_count_and_its_own_system(linkscope: Linkscope, tmp_path: Path) -> None:
    """An image of Alpine as apk-tools 2.14 describes it, with the same paths as here and other owners."""
    image = tmp_path / "image"
    linked(tmp_path / "app", '#include <stdio.h>\nint main(void) { return puts("") == EOF; }\n', [])
    listed = subprocess.run(["ldd", tmp_path / "app"], capture_output=True, text=True, check=True).stdout.split()
    for path in {word for word in listed if word.startswith("/")}:
        (image / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, image / path[1:])
    (image / "usr/bin").mkdir(parents=True)
    shutil.copy(tmp_path / "app", image / "usr/bin/app")
    (libc,) = (path for path in listed if path.endswith("/libc.so.6"))
    (image / "lib/apk/db").mkdir(parents=True)
    (image / "lib/apk/db/installed").write_text(
        "P:gcompat\nV:1.1.0-r4\nA:x86_64\no:compat\nF:usr\nF:usr/bin\nR:app\n"
        f"F:{os.path.dirname(libc)[1:]}\nR:libc.so.6\n\n"
    )
    (image / "etc").mkdir()
    (image / "etc/os-release").write_text('NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\n')
    ran = linkscope("inspect", "--format", "cyclonedx", "--root", str(image), "/usr/bin/app")
    owned = _owned(_valid(ran.stdout.decode()), str(image))
    expected = ("1.1.0-r4", "pkg:apk/alpine/gcompat@1.1.0-r4?arch=x86_64&distro=alpine-3.20.3&upstream=compat")
    assert owned.pop("/usr/bin/app") == owned.pop(os.path.normpath(libc)) == expected
    assert set(owned.values()) == {(None, None)}


def test_a_database_of_packages_that_cannot_be_read_is_told_in_one_line(linkscope: Linkscope, tmp_path: Path) -> None:
    app = linked(tmp_path / "app", "int main(void) { return 0; }\n", ["-static"])
    (tmp_path / "root/var/lib/rpm").mkdir(parents=True)
    (tmp_path / "root/var/lib/rpm/rpmdb.sqlite").write_bytes(b"no database".ljust(4096))
    shutil.copy(app, tmp_path / "root/app")
    ran = linkscope("inspect", "--format", "cyclonedx", "--root", "root", "/app")
    assert ran.returncode == 0
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith("linkscope: /var/lib/rpm: rpm's database cannot be read: ")
    _valid(ran.stdout.decode())


@pytest.mark.parametrize(
    ("owner", "purl"),
    [
        (("deb", "libstdc++6", "1:12.2~x-14+b1", "arm64", "ubuntu"), "pkg:deb/ubuntu/libstdc%2B%2B6@1:12.2~x-14%2Bb1"),
        (("rpm", "openssl-libs", "1:3.2.2-3.fc41", "x86_64", "fedora"), "pkg:rpm/fedora/openssl-libs@3.2.2-3.fc41"),
        (("rpm", "glibc", "2.40-3.fc41", "x86_64", None), "pkg:rpm/glibc@2.40-3.fc41"),
        (("apk", "musl", None, None, "alpine"), "pkg:apk/alpine/musl"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_package_urls_of_installed_packages_have_epoch_and_architecture_in_their_places(
    owner: tuple[Any, ...], purl: str
) -> None:
    """purl-spec: of deb the epoch is a part of the version, of rpm a qualifier."""
    manager, name, version, architecture, system = owner
    found = purl_of_package(
        Owner(manager=manager, name=name, version=version, architecture=architecture, distribution=system)
    )
    assert found is not None
    parsed = PackageURL.from_string(found.to_string())
    expected = {
        "epoch": "1" if manager == "rpm" and ":" in version else None,
        "arch": architecture,
        "distro": system,  # of which no release is known
    }
    assert parsed.qualifiers == {key: value for key, value in expected.items() if value}
    assert found.to_string().partition("?")[0] == purl


@pytest.mark.parametrize(
    ("owner", "purl"),
    [
        (
            Owner(
                manager="deb",
                name="libc6",
                version="2.36-9+deb12u14",
                architecture="amd64",
                source="glibc",
                distribution="debian",
                release="12",
            ),
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12&upstream=glibc",
        ),
        (
            Owner(
                manager="deb",
                name="bash",
                version="5.2.15-2+b2",
                architecture="amd64",
                source="bash",
                source_version="5.2.15-2",
                distribution="debian",
                release="12",
            ),
            "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12&upstream=bash%405.2.15-2",
        ),
        (
            Owner(manager="deb", name="sed", version="4.9-1", source="sed", distribution="debian"),
            "pkg:deb/debian/sed@4.9-1?distro=debian",
        ),
        (
            Owner(
                manager="apk",
                name="libcrypto3",
                version="3.3.2-r0",
                architecture="x86_64",
                source="openssl",
                distribution="alpine",
                release="3.20.3",
            ),
            "pkg:apk/alpine/libcrypto3@3.3.2-r0?arch=x86_64&distro=alpine-3.20.3&upstream=openssl",
        ),
        (
            Owner(
                manager="rpm",
                name="openssl-libs",
                version="1:3.2.2-3",
                architecture="x86_64",
                source="openssl",
                source_version="3.2.2-3",
                distribution="fedora",
                release="41",
            ),
            "pkg:rpm/fedora/openssl-libs@3.2.2-3?arch=x86_64&distro=fedora-41&epoch=1&upstream=openssl-3.2.2-3.src.rpm",
        ),
        (
            Owner(manager="rpm", name="bash", version="5.1.8-9.el9", distribution="rhel", release="9.4"),
            "pkg:rpm/redhat/bash@5.1.8-9.el9?distro=rhel-9.4",
        ),
        (
            Owner(manager="rpm", name="bash", version="5.2-1", distribution="opensuse-leap", release="15.6"),
            "pkg:rpm/opensuse/bash@5.2-1?distro=opensuse-leap-15.6",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Owner) else "",
)
def test_package_urls_of_installed_packages_are_those_that_scanners_look_up(owner: Owner, purl: str) -> None:
    """As Syft writes them for the same packages: the release and the source package decide which advisories hold."""
    found = purl_of_package(owner)
    assert found is not None
    assert found.to_string() == purl
    assert PackageURL.from_string(purl) == found


def test_whose_archives_have_the_same_code_is_told() -> None:
    proof = msgspec.structs.replace(PRINTED, package="zlib1g-dev 1:1.2.13.dfsg-1", distribution="debian 12")
    files = [program([], path=name, contents=[_content("zlib", None, "generic", proof)]) for name in ("one", "two")]
    (part,) = (part for part in _valid(_rendered(*files))["components"] if part["name"] == "zlib")
    assert part["properties"] == [
        {"name": "linkscope:same-code-in", "value": "zlib1g-dev 1:1.2.13.dfsg-1 of debian 12"}
    ]
    assert part["purl"] == "pkg:generic/zlib"


def _confidence(*contents: Content) -> tuple[str, list[str]]:
    files = [program([], path=f"app{number}", contents=[content]) for number, content in enumerate(contents)]
    (part,) = (part for part in _valid(_rendered(*files))["components"] if part["name"] == "zlib")
    (identity,) = part["evidence"]["identity"]
    return identity["confidence"], [one["value"] for one in part.get("properties", [])]


def test_texts_alone_prove_less_than_code_and_least_where_that_was_looked_for() -> None:
    text = _content("zlib", "1.2.13", "generic", BANNER)
    absent = msgspec.structs.replace(text, absent_code=["1.2.11", "1.3.1"])
    (alone, _), (both, _), (least, said) = _confidence(text), _confidence(ZLIB), _confidence(absent)
    assert least < alone < both
    assert said == ["1.2.11, 1.3.1: none of its code in app0"]
    assert _confidence(absent, ZLIB) == (both, said)


@pytest.mark.parametrize(
    ("content", "purl"),
    [
        (_content("zlib", "1.2.13"), "pkg:generic/zlib@1.2.13"),
        (_content("zlib"), "pkg:generic/zlib"),
        (_content("golang.org/x/Crypto", "v0.17.0", "go"), "pkg:golang/golang.org/x/crypto@v0.17.0"),
        (_content("stdlib", "1.22.1", "go"), "pkg:golang/stdlib@1.22.1"),
        (_content("rustls", "0.23.5", "cargo"), "pkg:cargo/rustls@0.23.5"),
        (
            _content("hello", "2.10-3", "deb", Evidence(kind="note", text="deb hello 2.10-3 (debian)")),
            "pkg:deb/debian/hello@2.10-3",
        ),
        (
            _content("bash", "1:5.2-1", "rpm", Evidence(kind="note", text="rpm bash 1:5.2-1 (fedora)")),
            "pkg:rpm/fedora/bash@5.2-1?epoch=1",
        ),
        (_content("something", "1", "no such ecosystem"), None),
        (_content("", "1"), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_package_urls_are_those_of_their_types(content: Content, purl: str | None) -> None:
    found = purl_of(content)
    assert (None if found is None else found.to_string()) == purl
    if purl is not None:
        assert PackageURL.from_string(purl) == found
    _valid(_rendered(program([], contents=[content])))


def test_the_same_files_give_the_same_bytes_and_others_another_number() -> None:
    files = [program([library("libz.so.1", ["app"])], contents=[ZLIB]), program([], path="other", contents=[])]
    assert _rendered(*files) == _rendered(*files)
    first, second = (json.loads(_rendered(*some)) for some in (files, files[:1]))
    assert first["serialNumber"] != second["serialNumber"]
    assert "timestamp" not in first["metadata"]


def test_the_time_is_what_the_build_says(linkscope: Linkscope, fixture_file: FixtureFile) -> None:
    arguments = ("inspect", "--format", "cyclonedx", str(fixture_file("hello/hello-static")))
    ran = linkscope(*arguments, env={"SOURCE_DATE_EPOCH": "1700000000"})
    assert _valid(ran.stdout.decode())["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    refused = linkscope(*arguments, env={"SOURCE_DATE_EPOCH": "yesterday"})
    assert (refused.returncode, refused.stdout) == (2, b"")


def test_a_file_that_cannot_be_read_has_no_digest_and_names_out_of_files_do_no_harm() -> None:
    known = Known(lambda _: None, lambda _: None, lambda _: {})
    text = render([hostile('\x1b[31m"\n<x> \u202e\U0001f600')], known, "1.0", None)
    assert all("hashes" not in part for part in _valid(text)["components"])


def test_names_that_differ_only_in_bytes_of_no_text_are_two_files(linkscope: Linkscope, tmp_path: Path) -> None:
    """And two runs give the same bytes, which a random reference would not."""
    source = "#include <zlib.h>\nint main(int n, char **v) { unsigned long m = n; return compress(*v, &m, *v, 1); }\n"
    app = linked(tmp_path / "app", source, ["-static", "-lz"])
    names = [b"a\xff", b"a\xfe", b"a%FF", b"a%25FF", "a\ufffd".encode()]
    for name in names:
        shutil.copy(app, tmp_path / os.fsdecode(name))
    os.symlink(b"a\xff", os.fsencode(tmp_path) + b"/" + b"b\xff")
    os.symlink(b"a\xff", os.fsencode(tmp_path) + b"/" + b"b\xfe")
    paths = [os.fsdecode(name) for name in (*names, b"b\xff", b"b\xfe")]
    first, second = (linkscope("inspect", "--format", "cyclonedx", *paths).stdout for _ in range(2))
    assert first == second
    document = _valid(first.decode())
    files = {part["bom-ref"]: part for part in document["components"] if "hashes" in part}
    assert set(files) == {"file:a%FF", "file:a%FE", "file:a%25FF", "file:a%2525FF", "file:a\ufffd"}
    assert len(files["file:a%FF"]["evidence"]["occurrences"]) == 3
    (zlib,) = (part for part in document["components"] if part["name"] == "zlib")
    met = [one["bom-ref"] for one in zlib["evidence"]["occurrences"]]
    assert len(met) == len(set(met)) == len(paths)
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in document["dependencies"]}
    assert all(zlib["bom-ref"] in edges[reference] for reference in files)
    assert set(edges) == {part["bom-ref"] for part in document["components"]}


def test_without_the_library_one_line_says_what_to_install(fixture_file: FixtureFile) -> None:
    code = (
        "import sys; sys.modules['cyclonedx'] = None\n"
        "from linkscope.cli.invocation import run\nsys.exit(run(sys.argv[1:]))"
    )
    arguments = ["inspect", "--format", "cyclonedx", str(fixture_file("hello/hello-static"))]
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "pip install 'linkscope[sbom]'" in ran.stderr
    assert "Traceback" not in ran.stderr
