"""Rust programs: built here without a registry, released with an SBOM, and Debian's, whose control file tells.

Cargo's own layout is what counts: the crates stand where the registry's and a git repository's would.
"""

import json
import os
import re
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.contents.rust import Package, audited_packages
from tests.contents import wheels
from tests.contents.debian import deb_field, deb_files
from tests.contents.samples import found_in, linked, texts, with_constants
from tests.elf.samples import RequireTool, ask, elf_files, tool

REGISTRY = "registry/src/index.crates.io-1949cf8c6b5b557f"
# name, version, folder of the crate, and what its panic says; the last one is in no path that a file could tell it by.
CRATES = (
    ("plain", "1.2.3", f"{REGISTRY}/plain-1.2.3"),
    ("with-dash2", "0.9.0-beta.1", f"{REGISTRY}/with-dash2-0.9.0-beta.1"),
    ("built-sys", "2.0.9+zstd.1.5.5", f"{REGISTRY}/built-sys-2.0.9+zstd.1.5.5"),
    ("checked_out", "0.1.0", "git/checkouts/checked_out-549f6ffe9c42f86b/78c2d37"),
    ("in_workspace", "0.1.0", "git/checkouts/several-549f6ffe9c42f86b/78c2d37/crates/in_workspace"),
    ("vendored", "3.0.0", "vendor/vendored"),
    ("elsewhere", "4.0.0", "work/elsewhere"),
)
TOLD = {
    "plain": "1.2.3",
    "with-dash2": "0.9.0-beta.1",
    "built-sys": "2.0.9+zstd.1.5.5",
    "checked_out": None,
    "in_workspace": None,
    "vendored": None,
}
# What the standard library of every release is built of, as far as a small program shows it.
STANDARD = {"std", "hashbrown", "miniz_oxide", "gimli", "addr2line", "rustc-demangle", "object", "memchr"}


def _source(version: str) -> str:
    return f'#[inline(never)] pub fn work(n: usize) -> usize {{ let v = vec!["{version}"; n]; v[n * 2].len() }}\n'


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of a program that uses each of CRATES."""
    folder = tmp_path_factory.mktemp("cargo")
    needs = ""
    calls = ""
    for name, version, place in CRATES:
        crate = folder / place
        (crate / "src").mkdir(parents=True)
        head = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n'
        (crate / "Cargo.toml").write_text(head)
        (crate / "src/lib.rs").write_text(_source(version))
        needs += f'{name} = {{ path = "../{place}" }}\n'
        calls += f"    n += {name.replace('-', '_')}::work(n);\n"
    program = folder / "program"
    (program / "src").mkdir(parents=True)
    (program / "Cargo.toml").write_text(
        f'[package]\nname = "program"\nversion = "0.0.1"\nedition = "2021"\n[dependencies]\n{needs}[workspace]\n'
    )
    main = f"fn main() {{\n    let mut n = std::env::args().count();\n{calls}    std::process::exit(n as i32)\n}}\n"
    (program / "src/main.rs").write_text(main)
    return folder


def _built(cargo: str, workspace: Path) -> Path:
    """The program with cargo's home where people's is, which the paths in it show."""
    flags = f"--remap-path-prefix={workspace}=/home/user/.cargo"
    environment: Mapping[str, str] = {**os.environ, "RUSTFLAGS": flags, "CARGO_NET_OFFLINE": "true"}
    command = [cargo, "build", "--quiet", "--release", "--offline"]
    subprocess.run(command, cwd=workspace / "program", env=environment, check=True, capture_output=True, timeout=300)
    return workspace / "program/target/release/program"


@pytest.fixture(scope="module")
def program(require_tool: RequireTool, workspace: Path) -> Path:
    return _built(require_tool("cargo"), workspace)


def _crates(path: Path) -> dict[str, set[str | None]]:
    """The versions of each crate, save those that the standard library brings along."""
    found: dict[str, set[str | None]] = {}
    for one in wheels.contents_of(path):
        if one.ecosystem == "cargo" and not all((p.text or "").startswith("/rust/deps/") for p in one.evidence):
            found.setdefault(one.name, set()).add(one.version)
    return found


def test_crates_are_told_by_the_paths_of_their_sources(program: Path) -> None:
    found = {name: versions for name, versions in _crates(program).items() if name not in STANDARD}
    assert found == {name: {version} for name, version in TOLD.items()}


def test_the_standard_library_has_the_compilers_version(program: Path, require_tool: RequireTool) -> None:
    said = dict(line.split(": ", 1) for line in tool(require_tool("rustc"), "-vV").splitlines()[1:])
    std = found_in(program)["cargo:std"]
    assert std.version == said["release"]
    assert f"/rustc/{said['commit-hash']}/library/" in [proof.text for proof in std.evidence]


def _without_sections(path: Path, target: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff
    data[0x3C:0x40] = bytes(4)  # e_shnum, e_shstrndx
    target.write_bytes(data)
    return target


def test_a_stripped_program_tells_its_crates_too(program: Path, require_tool: RequireTool, tmp_path: Path) -> None:
    tool(require_tool("strip"), "-R", ".comment", "-o", tmp_path / "stripped", program)
    assert _crates(tmp_path / "stripped") == _crates(program) | {"std": {None}}
    assert _crates(_without_sections(tmp_path / "stripped", tmp_path / "none")) == _crates(program) | {"std": {None}}


# As the published schema of cargo-auditable has it: `kind` and `source` of each, and what is in no file.
LISTED: list[Mapping[str, object]] = [
    {"name": "adler", "version": "0.2.3", "source": "crates.io"},
    {"name": "autocfg", "version": "1.0.1", "source": "crates.io", "kind": "build"},
    {"name": "forked", "version": "0.1.0", "source": "git"},
    {"name": "program", "version": "0.0.1", "source": "local", "root": True, "dependencies": [0, 1, 2]},
    {"name": "serde", "version": "1.0.200", "source": "crates.io", "kind": "runtime"},
    {"name": "serde", "version": "0.9.15", "source": "registry"},
]
INSIDE = [("adler", "0.2.3"), ("forked", "0.1.0"), ("program", "0.0.1"), ("serde", "1.0.200"), ("serde", "0.9.15")]


def _with_list(path: Path, target: Path, data: bytes) -> Path:
    """A copy of a program with the section that `cargo auditable` makes."""
    content = target.with_suffix(".list")
    content.write_bytes(data)
    done = subprocess.run(["objcopy", f"--add-section=.dep-v0={content}", path, target], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return target


def _listed(packages: Sequence[Mapping[str, object]] = LISTED, level: int = 7) -> bytes:
    return zlib.compress(json.dumps({"packages": packages}, separators=(",", ":")).encode(), level)


def _names(packages: list[Package] | None) -> list[tuple[str, str]] | None:
    return None if packages is None else [(package.name, package.version) for package in packages]


@pytest.mark.parametrize("level", [1, 5, 6, 9])
def test_the_list_of_cargo_auditable_is_found_with_and_without_sections(
    level: int, program: Path, require_tool: RequireTool, tmp_path: Path
) -> None:
    require_tool("objcopy")
    path = _with_list(program, tmp_path / "listed", _listed(level=level))
    assert _names(ask(audited_packages, path)) == INSIDE
    assert _names(ask(audited_packages, _without_sections(path, tmp_path / "none"))) == INSIDE


def test_each_version_of_a_crate_is_an_entry_and_what_only_built_is_none(
    program: Path, require_tool: RequireTool, tmp_path: Path
) -> None:
    require_tool("objcopy")
    crates = _crates(_with_list(program, tmp_path / "listed", _listed()))
    assert crates["serde"] == {"1.0.200", "0.9.15"}
    assert "autocfg" not in crates
    assert crates["plain"] == {"1.2.3"}  # what the paths tell beside it


DAMAGES = {
    "empty": b"",
    "no-zlib": b"packages",
    "cut": _listed()[:-5],
    "no-json": zlib.compress(b'{"packages":['),
    "other-json": zlib.compress(b'{"packages":[{"name":1}]}'),
    "bomb": zlib.compress(b'{"packages":[' + b" " * (1 << 26)),
    "deep": zlib.compress(b'{"packages":' + b"[" * 100_000),
    "no-text": zlib.compress(b'{"packages":[{"name":"\xff","version":"1"}]}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_list_is_none(damage: str, program: Path, require_tool: RequireTool, tmp_path: Path) -> None:
    require_tool("objcopy")
    path = _with_list(program, tmp_path / "listed", DAMAGES[damage])
    assert ask(audited_packages, path) is None
    assert ask(audited_packages, _without_sections(path, tmp_path / "none")) is None
    assert _crates(path) == _crates(program)


# Wheels with an SBOM that maturin made of the very build; each of them holds one program or extension module.
RELEASED = {
    "rpds-py": "2026.9.1",
    "pydantic-core": "2.50.5",
    "orjson": "3.13.0",
    "uv": "0.13.9",
}
AUDITED = {"uv"}


def _components(folder: Path) -> set[tuple[str, str | None]]:
    (sbom,) = folder.glob("*.dist-info/sboms/*.cyclonedx.json")
    document = json.loads(sbom.read_text())
    listed = [*document["components"], document["metadata"]["component"]]
    return {(one["name"], one.get("version")) for one in listed}


@pytest.mark.parametrize("name", RELEASED)
def test_no_crate_is_found_that_the_releases_own_sbom_does_not_list(name: str) -> None:
    folder = wheels.unpacked(name, RELEASED[name])
    path = max(map(Path, elf_files(os.fspath(folder))), key=lambda file: file.stat().st_size)
    found = {(crate, version) for crate, versions in _crates(path).items() for version in versions if crate != "std"}
    components = _components(folder)
    assert found <= components
    if name in AUDITED:
        assert len(found) > 0.9 * len(components)  # the rest are macros and what only the build takes


@pytest.mark.parametrize("package", ["ripgrep", "fd-find"])
def test_debians_programs_hold_what_they_were_built_using(package: str) -> None:
    """The control file lists the package of each crate; that has the crate's version, and the name with dashes."""
    listed = deb_field(package, "X-Cargo-Built-Using") + "," + deb_field(package, "Built-Using")
    packages = re.findall(r"(?:rust-)?(\S+) \(= ([0-9.]+)", listed)
    by_name: dict[str, set[str]] = {}
    for name, version in packages:
        by_name.setdefault(re.sub(r"-\d[0-9.]*$", "", name), set()).add(version.rstrip("."))
    (path,) = (file for file in elf_files(os.fspath(deb_files(package))) if file.endswith(("/rg", "/fd")))
    found = _crates(Path(path))
    assert found.pop("std") == by_name.pop("rustc")
    assert len(set(found) & set(by_name)) > 10
    for name, versions in found.items():
        if name not in STANDARD:  # the compiler's package has its own copies of these
            assert versions <= by_name[name.lower().replace("_", "-")], name


PATHS = (
    f"/root/.cargo/{REGISTRY}/serde-1.0.200/src/lib.rs",
    "/root/.cargo/git/checkouts/serde-549f6ffe9c42f86b/78c2d37/src/lib.rs",
    "vendor/serde/src/lib.rs",
)


def test_paths_in_what_is_no_rust_program_are_mentions(tmp_path: Path) -> None:
    lines = "".join(f'puts("{path}");' for path in PATHS)
    path = linked(tmp_path / "c", f"#include <stdio.h>\nint main(void) {{ {lines} return 0; }}\n", [])
    assert found_in(path) == {}


LIBRARY = "/rustc/0ef1bc386059596dada8fb65b50425aab2ea637a/library/std/src/panicking.rs"
MENTIONS = (
    "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/serde-1.0.200/README.md",
    "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/serde/src/lib.rs",
    "/build/app-1.2.3/src/main.rs",
    "/home/user/serde-1.0.200/src/lib.rs",
    "registry/serde-1.0/src/lib.rs",
    "git/checkouts/serde/src/lib.rs",
)


def test_a_path_that_is_not_a_crates_is_nothing(tmp_path: Path) -> None:
    assert set(found_in(with_constants(tmp_path / "made", texts(LIBRARY, *MENTIONS)))) == {"cargo:std"}


def test_paths_stand_side_by_side_without_nul(tmp_path: Path) -> None:
    """Rust's texts have a length, and the linker puts them next to each other."""
    joined = LIBRARY + "".join(
        f"/x/{REGISTRY}/{name}-1.0.{n}/src/a/b.rs" for n, name in enumerate(("a1", "b-2", "c_3"))
    )
    found = {one.name: one for one in wheels.contents_of(with_constants(tmp_path / "made", texts(joined)))}
    assert {name: one.version for name, one in found.items()} == {
        "std": None, "a1": "1.0.0", "b-2": "1.0.1", "c_3": "1.0.2",
    }  # fmt: skip
    assert found["a1"].evidence[0].text == f"{REGISTRY}/a1-1.0.0/src/a/b.rs"


@given(
    st.lists(
        st.sampled_from([*PATHS, LIBRARY, "x\x9c", "x\x01", ".rs", "/rustc", "registry/", "-1.2.3/", "\0", "a/" * 300])
    )
)
def test_whatever_stands_there_is_read_in_bounds(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    path = with_constants(tmp_path_factory.mktemp("made") / "made", "".join(words).encode("latin-1"))
    assert set(found_in(path)) <= {"cargo:serde", "cargo:std"}
