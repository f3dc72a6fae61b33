"""Verdicts about platform tags of wheels are those of auditwheel."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.targets import targets
from linkscope.policy.targets.catalogue import target
from linkscope.policy.targets.data import releases
from tests.oracle import roots
from tests.oracle.availability import Unavailable
from tests.policy.auditwheel import overall_tag
from tests.policy.wheel_policies import libraries_of, policies

FAMILIES = ("manylinux", "musllinux")

# Wheels of the registry: what is asked for, the platform, the Python and its ABI. Repaired ones bring libraries along.
WHEELS = (
    ("markupsafe==1.1.1", "manylinux1_x86_64", "36", "cp36m"),
    ("markupsafe==1.1.1", "manylinux1_i686", "36", "cp36m"),
    ("markupsafe==2.0.1", "manylinux2010_i686", "38", "cp38"),
    ("markupsafe==2.1.5", "musllinux_1_1_x86_64", "311", "cp311"),
    ("markupsafe==3.0.4", "musllinux_1_2_aarch64", "312", "cp312"),
    ("markupsafe==3.0.4", "manylinux_2_31_riscv64", "312", "cp312"),
    ("regex==2020.11.13", "manylinux2010_x86_64", "38", "cp38"),
    ("pyyaml==6.0.1", "manylinux2014_x86_64", "311", "cp311"),
    ("pyyaml==6.0.1", "manylinux2014_aarch64", "311", "cp311"),
    ("pyyaml==6.0.4", "musllinux_1_2_x86_64", "312", "cp312"),
    ("msgspec==0.22.0", "manylinux2014_x86_64", "312", "cp312"),
    ("kiwisolver==1.5.1", "manylinux2014_x86_64", "312", "cp312"),
    ("kiwisolver==1.5.1", "manylinux_2_28_aarch64", "312", "cp312"),
    ("psutil==7.2.2", "manylinux_2_28_x86_64", "312", "abi3"),
    ("bcrypt==5.0.0", "manylinux_2_28_x86_64", "312", "abi3"),
    ("bcrypt==5.0.0", "manylinux_2_34_x86_64", "312", "abi3"),
    ("xxhash==4.1.0", "manylinux_2_28_i686", "312", "cp312"),
    ("zstandard==0.25.0", "manylinux2014_x86_64", "312", "cp312"),
    ("charset-normalizer==3.5.3", "manylinux_2_31_armv7l", "312", "cp312"),
    ("greenlet==2.0.2", "manylinux2014_aarch64", "311", "cp311"),
    ("lxml==4.6.3", "manylinux1_x86_64", "39", "cp39"),
    ("pyzmq==26.0.0", "manylinux2014_x86_64", "312", "cp312"),
)

# Extensions that no tag, or only some, allow: what the compiler is asked for.
EXTENSIONS = {
    "needs-a-library-that-is-not-allowed": ("puts(0);", ("-l:libtinfo.so.6",)),
    "needs-only-libc": ("puts(0);", ()),
    "uses-a-private-symbol-of-zlib": ("inflate_table();", ("-lz", "-Wl,--unresolved-symbols=ignore-all")),
    "uses-what-only-some-pythons-have": ("PyFPE_dummy();", ("-Wl,--unresolved-symbols=ignore-all",)),
    "asks-for-x86-64-v3": ("puts(0);", ("-Wl,-z,x86-64-v3",)),
    "finds-a-library-of-the-build": ("vendored();", ("-L{vendor}", "-lvendored", "-Wl,-rpath,{vendor}")),
}


def fetched(row: tuple[str, str, str, str]) -> Path:
    """A wheel of the registry, downloaded once. Raises Unavailable where it cannot be had."""
    name, platform, python, abi = row
    folder = roots.cache_folder() / "wheels" / f"{name}-{platform}-{abi}"
    if not list(folder.glob("*.whl")):
        command = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--platform", platform, "--abi", abi]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *command, "--python-version", python, "-d", folder, name],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Unavailable(f"pip download {name}: {done.stderr.strip()[-300:]}")
    return next(folder.glob("*.whl"))


def allowed(wheel: Path) -> list[str]:
    """The tags of its own family that linkscope allows to a wheel, the strictest first."""
    family = "musllinux" if "musllinux" in wheel.name else "manylinux"
    document = targets([str(wheel)], [one.name for one in releases(family)])
    assert not document.errors
    return [verdict.target for verdict in document.files[0].verdicts if verdict.starts]


def same(theirs: str, ours: list[str]) -> bool:
    """auditwheel names the least tag of manylinux; of musllinux the newest that it knows, if that allows the wheel."""
    if theirs.startswith("linux_"):
        return not ours
    if theirs.startswith("musllinux"):
        return any(theirs.startswith(f"{tag}_") for tag in ours)
    return bool(ours) and theirs.startswith(f"{ours[0]}_")


def vendored(folder: Path, compiler: str | Path) -> None:
    """A library outside of any wheel."""
    folder.mkdir()
    (folder / "vendored.c").write_text("void vendored(void) {}\n")
    command = [compiler, "-shared", "-fPIC", "-Wl,-soname,libvendored.so", "-o", folder / "libvendored.so"]
    subprocess.run([*command, folder / "vendored.c"], check=True)


@pytest.mark.parametrize("row", WHEELS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_a_wheel_of_the_registry_is_allowed_what_auditwheel_allows_it(row: tuple[str, str, str, str]) -> None:
    wheel = fetched(row)
    theirs, ours = overall_tag(wheel), allowed(wheel)
    assert same(theirs, ours), (theirs, ours)


@pytest.mark.parametrize("case", EXTENSIONS)
def test_a_wheel_that_was_never_repaired_is_refused_as_auditwheel_refuses_it(
    case: str, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    body, options = EXTENSIONS[case]
    source, library = tmp_path / "example.c", tmp_path / "example.so"
    source.write_text(f"void *PyInit_example(void) {{ {body} return 0; }}\n")
    compiler: list[str | Path] = [
        require_tool("gcc"),
        "-w",
        "-shared",
        "-fPIC",
        "-Wl,--no-as-needed",
        "-o",
        library,
        source,
    ]
    vendored(tmp_path / "vendor", compiler[0])
    options = tuple(option.format(vendor=tmp_path / "vendor") for option in options)
    done = subprocess.run([*compiler, *options], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"gcc: {done.stderr.strip()[-300:]}")
    wheel = tmp_path / "example-1.0-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(library, "example.so")
        archive.writestr("example-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n")
        archive.writestr("example-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
        archive.writestr("example-1.0.dist-info/RECORD", "example.so,,\n")  # auditwheel goes by it
    theirs, ours = overall_tag(wheel), allowed(wheel)
    assert same(theirs, ours), (theirs, ours)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_version_and_library_that_a_policy_lists_is_allowed_and_no_other(family: str) -> None:
    """Over all names in any of auditwheel's policies, on each architecture."""
    rows = policies(family)
    assert [one.name for one in releases(family)] == [row["name"] for row in rows]
    for row in rows:
        ours = target(row["name"])
        assert ours.wheels is not None
        assert {machine.name for machine in ours.machines} == set(row["symbol_versions"])
        assert {lib: set(symbols) for lib, symbols in row["blacklist"].items()} == ours.wheels.forbidden
        for name, families in row["symbol_versions"].items():
            assert {one: set(versions) for one, versions in families.items()} == ours.wheels.versions.get(name, {})
            assert set(libraries_of(row, name)) == set(ours.libraries[name])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_names_that_a_tag_had_before_lead_to_it(family: str) -> None:
    for row in policies(family):
        for alias in row["aliases"]:
            assert target(alias).name == row["name"]
            assert target(f"{alias}_x86_64").name == row["name"]
