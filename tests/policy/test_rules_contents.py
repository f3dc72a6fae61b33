"""What is linked in and too old: dpkg judges which of two versions is the older one, and semver.org for modules."""

import itertools
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.check import check
from linkscope.analysis.circumstances import environment_for, place, system_for
from linkscope.analysis.inspect import Run
from linkscope.analysis.request import Assumptions, Depth
from linkscope.analysis.subject import FileSubject
from linkscope.analysis.who import who
from linkscope.contents import symbols
from linkscope.contents.upstream import Key, key, semantic_key
from linkscope.model.check import Finding
from linkscope.model.inspect import Content, Evidence
from linkscope.policy.evaluate import Evaluation
from linkscope.policy.terms import Group, Policy
from tests.contents.samples import linked
from tests.elf.samples import FixtureFile, RequireTool, tool

# As upstream wrote them, the older one first.
RELEASES = {
    "openssl": (
        "0.9.8zh 1.0.2 1.0.2a 1.0.2k-fips 1.0.2u 1.0.2z 1.0.2za 1.0.2zh 1.1.0 1.1.1-pre9 1.1.1 1.1.1a 1.1.1t 1.1.1w "
        "3.0.0-alpha17 3.0.0-beta1 3.0.0 3.0.2 3.0.13+quic"
    ),
    "zlib": "1.1.4 1.2.2.4 1.2.3 1.2.8 1.2.11 1.2.11.1-motley 1.2.12 1.2.13 1.3 1.3.1",
    "libpng": "1.2.59 1.6.9 1.6.37 1.6.40beta01 1.6.40rc01 1.6.40",
    "curl": "7.9.8 7.88.1 8.5.0-DEV 8.5.0 8.10.0-rc2 8.10.0",
    "libjpeg": "6b 8d 9 9c 9e",
    "pcre2": "8.45 10.30-RC1 10.30 10.43",
    "ntp": "4.2.6 4.2.8 4.2.8p1 4.2.8p15",
    "openssh": "9.3 9.3p1 9.3p2 9.4p1 10.0p1",
    "python": "3.12.9 3.13.0a1 3.13.0b2 3.13.0rc1 3.13.0 3.13.1",
    "sqlite": "3.7.17 3.39.5 3.40.1",
    "ncurses": "5.9 6.4 6.4.20230520",
    "tzdata": "2023d 2024a 2024b",
    "development": "1.5.9 1.6.0-svn 1.6.0 1.10.1-unreleased 1.10.1 2.39.0-canary 2.39.0",
}
# In Debian's words, where they are others: `~` comes before everything.
DEBIAN = {
    "1.0.2k-fips": "1.0.2k",
    "1.1.1-pre9": "1.1.1~pre9",
    "3.0.0-alpha17": "3.0.0~alpha17",
    "3.0.0-beta1": "3.0.0~beta1",
    "1.6.40beta01": "1.6.40~beta01",
    "1.6.40rc01": "1.6.40~rc01",
    "8.5.0-DEV": "8.5.0~DEV",
    "1.6.0-svn": "1.6.0~svn",
    "1.10.1-unreleased": "1.10.1~unreleased",
    "2.39.0-canary": "2.39.0~canary",
    "8.10.0-rc2": "8.10.0~rc2",
    "10.30-RC1": "10.30~RC1",
    "3.13.0a1": "3.13.0~a1",
    "3.13.0b2": "3.13.0~b2",
    "3.13.0rc1": "3.13.0~rc1",
}


@pytest.mark.parametrize("project", RELEASES)
def test_versions_are_ordered_as_their_makers_released_them(project: str, require_tool: RequireTool) -> None:
    """The table's order is itself judged by dpkg."""
    versions = RELEASES[project].split()
    for older, newer in itertools.pairwise(DEBIAN.get(version, version) for version in versions):
        compared = subprocess.run([require_tool("dpkg"), "--compare-versions", older, "lt", newer])
        assert compared.returncode == 0, (older, newer)
    assert [key(version) for version in versions] == sorted(_keys(versions))
    assert len(set(_keys(versions))) == len(versions)


def _keys(versions: Sequence[str]) -> list[Key]:
    return [found for found in map(key, versions) if found is not None]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.2", "1.2.0"),
        ("v1.2.0", "1.2"),
        ("1.0.2k-fips", "1.0.2k"),
        ("8.5.0-DEV", "8.5.0-dev"),
        ("3.1.4+quic", "3.1.4"),
    ],
)
def test_two_ways_of_writing_a_version_are_one(one: str, other: str) -> None:
    assert key(one) == key(other)


# semver.org, item 11, and golang.org/ref/mod, Pseudo-versions.
SEMANTIC = (
    "v0.0.0-20180904163835-0709b304e793",
    "v0.0.0-20210921155107-089bfa567519",
    "v0.0.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "v1.2.3-0.20191109021931-daa7c04131f5",
    "v1.2.3+incompatible",
    "v1.10.0",
    "v1.10.1-fork",
    "v1.10.1",
)


def test_modules_and_crates_are_ordered_as_semver_has_it() -> None:
    keys = [found for found in map(semantic_key, SEMANTIC) if found is not None]
    assert len(set(keys)) == len(SEMANTIC)
    assert keys == sorted(keys)


@pytest.mark.parametrize("text", ["", "(devel)", "unknown", "-", "v", "latest", "1" * 5000 + "x", "٣.1"])
def test_what_is_no_version_is_not_compared(text: str) -> None:
    """Or only as far as it is one; nothing is raised."""
    keys = (key(text), semantic_key(text))
    assert text[:1] == "1" or keys == (None, None)


def _found(
    path: Path, contents: list[Content] | None, embedded: dict[str, str], levels: dict[str, str] | None = None
) -> list[Finding]:
    """What the rules about the age of CONTENTS say of a file in which these were found."""
    found = _said(path, contents, {"embedded": embedded}, levels)
    return [finding for finding in found if finding.rule in ("old-embedded", "undated-embedded")]


def _said(
    path: Path, contents: list[Content] | None, settings: dict[str, object], levels: dict[str, str] | None = None
) -> list[Finding]:
    """What the rules say of a file in which CONTENTS were found."""
    assumptions = Assumptions(clean_env=True)
    system = system_for(assumptions)
    run = Run(system, environment_for(assumptions, system, {}), Depth())
    examined = run.examined(place(str(path), system))
    file = msgspec.structs.replace(examined.file, contents=contents)
    subject = FileSubject(run, msgspec.structs.replace(examined, file=file), rooted=False)
    group = Group(paths=("**",), settings=settings, levels=levels or {})  # type: ignore[arg-type]
    return Evaluation(Policy(groups=(group,)), frozenset(("contents",))).findings(subject)


def _content(name: str, version: str | None, ecosystem: str = "generic", *texts: str) -> Content:
    evidence = [Evidence(kind="banner", text=text) for text in texts]
    return Content(name=name, ecosystem=ecosystem, version=version, evidence=evidence)


ZLIB = _content("zlib", "1.2.11", "generic", "deflate 1.2.11 Copyright 1995-2017")


def test_an_older_library_is_an_error_with_its_evidence(fixture_file: FixtureFile) -> None:
    (found,) = _found(fixture_file("hello/hello-static"), [ZLIB], {"zlib": "1.2.12"})
    assert (found.level, found.subject) == ("error", "zlib")
    assert found.message == "holds zlib 1.2.11, which is older than 1.2.12"
    assert found.evidence == ["banner deflate 1.2.11 Copyright 1995-2017"]


# (what is inside, what is asked for): the subjects and levels of what is found.
CASES: dict[str, tuple[list[Content], dict[str, str], list[tuple[str, str]]]] = {
    "that-very-version": ([ZLIB], {"zlib": "1.2.11"}, []),
    "newer": ([ZLIB], {"zlib": "1.2.9"}, []),
    "letters": ([_content("openssl", "1.1.1t")], {"openssl": "1.1.1w"}, [("openssl", "error")]),
    "letters-newer": ([_content("openssl", "1.1.1w")], {"openssl": "1.1.1t"}, []),
    "a-pre-release-is-older": ([_content("openssl", "3.0.0-beta1")], {"openssl": "3.0.0"}, [("openssl", "error")]),
    "another-library": ([ZLIB], {"openssl": "3.0"}, []),
    "no-version": ([_content("zlib", None)], {"zlib": "1.2.12"}, [("zlib", "warning")]),
    "no-order": (
        [_content("golang.org/x/net", "(devel)", "go")],
        {"golang.org/x/net": "0.17.0"},
        [("golang.org/x/net", "warning")],
    ),
    "go": (
        [_content("golang.org/x/crypto", "v0.0.0-20210921155107-089bfa567519", "go")],
        {"golang.org/x/crypto": "v0.17.0"},
        [("golang.org/x/crypto", "error")],
    ),
    "go-itself": ([_content("stdlib", "1.22rc1", "go")], {"stdlib": "1.22.0"}, [("stdlib", "error")]),
    "go-itself-newer": ([_content("stdlib", "1.22.1", "go")], {"stdlib": "1.22"}, []),
    "crate": ([_content("rustls", "0.23.4", "cargo")], {"cargo:rustls": "0.23.5"}, [("rustls", "error")]),
    "crate-pre-release": ([_content("rand", "0.9.0-alpha.1", "cargo")], {"cargo:rand": "0.9.0"}, [("rand", "error")]),
    "a-crate-is-not-the-library-that-it-binds": ([_content("openssl", "0.10.55", "cargo")], {"openssl": "3.0.8"}, []),
    "two-copies": (
        [ZLIB, _content("zlib", "1.2.8"), _content("zlib", "1.3")], {"zlib": "1.2.12"}, [("zlib", "error")] * 2,
    ),
    "nothing-inside": ([], {"zlib": "1.2.12"}, []),
    "no-such-minimum": ([ZLIB], {"zlib": "newest"}, [("zlib", "warning")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_contents_are_held_against_what_is_asked_for(name: str, fixture_file: FixtureFile) -> None:
    contents, embedded, expected = CASES[name]
    found = _found(fixture_file("hello/hello-static"), contents, embedded)
    assert [(one.subject, one.level) for one in found] == expected


def test_what_was_not_looked_for_is_not_said_to_be_new_enough(fixture_file: FixtureFile) -> None:
    (found,) = _found(fixture_file("hello/hello-static"), None, {"zlib": "1.2.12"})
    assert (found.rule, found.level) == ("undated-embedded", "warning")
    assert "cannot be told" in found.message


@pytest.mark.parametrize(
    ("version", "least", "said"),
    [
        (None, "1.2.12", "holds zlib of an unknown version, which may be older than 1.2.12"),
        ("develop", "1.2.12", "holds zlib develop, a version that does not tell whether it is older than 1.2.12"),
        ("1.2.11", "new", "holds zlib 1.2.11, which cannot be compared with new: that is no version of its kind"),
    ],
)
def test_what_may_be_older_has_a_rule_of_its_own_that_can_be_an_error(
    version: str | None, least: str, said: str, fixture_file: FixtureFile
) -> None:
    contents = [_content("zlib", version, "generic", "a text of its code")]
    path = fixture_file("hello/hello-static")
    for levels in ({}, {"old-embedded": "error"}):
        (found,) = _found(path, contents, {"zlib": least}, levels)
        assert (found.rule, found.level, found.message) == ("undated-embedded", "warning", said)
        assert found.evidence == ["banner a text of its code"]
    (found,) = _found(path, contents, {"zlib": least}, {"undated-embedded": "error"})
    assert found.level == "error"
    assert _found(path, contents, {"zlib": least}, {"undated-embedded": "off"}) == []


# Functions that only the library's own code defines, and that tell no version.
_BROTLI = "".join(
    f"int {name}(void) {{ return 0; }}\n"
    for name in next(library.symbols for library in symbols.libraries() if library.name == "brotli")
)


def test_what_may_be_older_by_who_is_objected_to(tmp_path: Path) -> None:
    path = linked(tmp_path / "libholds.so", _BROTLI, ["-shared", "-fPIC"])
    (match,) = who("brotli", [str(path)], older_than="1.1.0").matches
    assert (match.version, match.older) == (None, "unknown")
    policy = Policy(groups=(Group(paths=("**",), settings={"embedded": {"brotli": "1.1.0"}}),))
    document = check([str(path)], policy)
    (found,) = [one for one in document.findings if "embedded" in one.rule]
    assert found.message == "holds brotli of an unknown version, which may be older than 1.1.0"
    (rule,) = [rule for rule in document.rules if rule.id == found.rule]
    assert "may be older" in rule.summary


# What is inside, with what is forbidden: the subjects of what is found.
FORBIDDEN: dict[str, tuple[Content, tuple[str, ...], list[str]]] = {
    "library": (_content("openssl", "4.0.3"), ("openssl",), ["openssl"]),
    "library-by-its-ecosystem": (_content("openssl", "4.0.3"), ("generic:openssl",), ["openssl"]),
    "library-by-a-glob": (_content("openssl", "4.0.3"), ("OpenS*",), ["openssl"]),
    "a-library-is-not-the-crate-that-binds-it": (_content("openssl", "4.0.3"), ("cargo:openssl",), []),
    "crate": (_content("openssl", "0.10.81", "cargo"), ("cargo:openssl",), ["cargo:openssl"]),
    "crates-by-a-glob": (_content("openssl-sys", "0.9.1", "cargo"), ("cargo:*",), ["cargo:openssl-sys"]),
    "a-crate-is-not-the-library-that-it-binds": (_content("openssl", "0.10.81", "cargo"), ("openssl",), []),
    "go": (_content("golang.org/x/crypto", "v0.17.0", "go"), ("golang.org/x/crypto",), ["golang.org/x/crypto"]),
    "another": (ZLIB, ("openssl", "cargo:zlib"), []),
    "twice": (ZLIB, ("zlib", "generic:zlib"), ["zlib"]),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_crate_is_forbidden_by_its_ecosystem_and_a_library_by_its_name(name: str, fixture_file: FixtureFile) -> None:
    content, forbid, expected = FORBIDDEN[name]
    found = _said(fixture_file("hello/hello-static"), [content], {"forbid": forbid})
    found = [one for one in found if one.rule == "library-forbidden"]
    assert [one.subject for one in found] == expected
    messages = [f"holds {one} {content.version}, which the policy forbids" for one in expected]
    assert [one.message for one in found] == messages


def _said_of(path: str | Path, embedded: dict[str, str]) -> list[str]:
    policy = Policy(groups=(Group(paths=("**",), settings={"embedded": embedded}),))
    return [finding.message for finding in check([str(path)], policy).findings if finding.rule.endswith("-embedded")]


def test_a_library_inside_is_as_old_as_the_program_says_when_it_runs(fixture_file: FixtureFile) -> None:
    """It prints zlibVersion()."""
    path = fixture_file("policy-hardening/zlib-inside")
    version = tool(path).strip()
    assert _said_of(path, {"zlib": version}) == []
    assert _said_of(path, {"zlib": f"{version}.1"}) == [f"holds zlib {version}, which is older than {version}.1"]


def test_go_inside_is_as_old_as_go_says_and_a_replaced_module_does_not_tell(
    require_tool: RequireTool, tmp_path: Path
) -> None:
    """`go version -m` is the judge; a module that was replaced by a folder has the age of nothing that is known."""
    go = require_tool("go")
    module, program = tmp_path / "module", tmp_path / "program"
    module.mkdir()
    program.mkdir()
    (module / "go.mod").write_text("module example.org/said\n")
    (module / "said.go").write_text('package said\n\nconst Hello = "hello"\n')
    required = "require example.org/said v1.4.0\n\nreplace example.org/said v1.4.0 => ../module\n"
    (program / "go.mod").write_text(f"module example.org/program\n\n{required}")
    (program / "main.go").write_text(
        'package main\n\nimport "example.org/said"\n\nfunc main() { println(said.Hello) }\n'
    )
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOCACHE": str(tmp_path / "cache"),
    }
    built = subprocess.run([go, "build", "-o", "made"], cwd=program, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    made = program / "made"
    told = tool(go, "version", "-m", made)
    (compiler,) = re.findall(r": go(\S+)", told)
    assert re.search(r"dep\s+example.org/said\s+v1\.4\.0", told)
    assert _said_of(made, {"stdlib": compiler}) == []
    assert _said_of(made, {"stdlib": f"{compiler}.1"}) == [f"holds stdlib {compiler}, which is older than {compiler}.1"]
    assert _said_of(made, {"example.org/said": "v1.3.9"}) == [
        "holds example.org/said of an unknown version, which may be older than v1.3.9"
    ]
