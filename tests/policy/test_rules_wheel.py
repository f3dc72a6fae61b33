"""What is said of a wheel's own platform tags is what auditwheel says of the wheel, and pip of its name."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.model.check import Finding
from linkscope.packages.metadata import Metadata
from linkscope.packages.wheelname import platforms
from linkscope.policy.targets.data import releases
from tests.oracle.availability import Unavailable
from tests.policy.auditwheel import overall_tag
from tests.policy.test_auditwheel import WHEELS, fetched, vendored

FixtureFile = Callable[[str], Path]
RULE = "wrong-wheel-tag"
# Of the registry, with several files, libraries that are brought along, and architectures that do not run here.
SAMPLES = (
    ("bcrypt==5.0.0", "manylinux_2_34_x86_64", "312", "abi3"),
    ("greenlet==2.0.2", "manylinux2014_aarch64", "311", "cp311"),
    ("pyzmq==26.0.0", "manylinux2014_x86_64", "312", "cp312"),
    ("xxhash==4.1.0", "manylinux_2_28_i686", "312", "cp312"),
    ("charset-normalizer==3.5.3", "manylinux_2_31_armv7l", "312", "cp312"),
    ("markupsafe==3.0.4", "manylinux_2_31_riscv64", "312", "cp312"),
    ("markupsafe==3.0.4", "musllinux_1_2_aarch64", "312", "cp312"),
)
OF_GLIBC, OF_MUSL = SAMPLES[0], WHEELS[3]
OF_ARM = ("kiwisolver==1.5.1", "manylinux_2_28_aarch64", "312", "cp312")


def found(*paths: Path) -> list[Finding]:
    """What the rule says of wheels."""
    document = check([str(path) for path in paths])
    assert not document.errors
    return [finding for finding in document.findings if finding.rule == RULE]


def renamed(wheel: Path, folder: Path, platform: str) -> Path:
    """The wheel under a name with another platform tag."""
    link = folder / f"{wheel.name.rpartition('-')[0]}-{platform}.whl"
    link.symlink_to(wheel)
    return link


def wheel_of(place: Path, tag: str, files: dict[str, Path]) -> Path:
    """A wheel of FILES, with TAG in its file WHEEL."""
    with zipfile.ZipFile(place, "w") as archive:
        for name, file in files.items():
            archive.write(file, name)
        archive.writestr("example-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: cp311-cp311-{tag}\n")
        archive.writestr("example-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
        archive.writestr("example-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    return place


@pytest.mark.parametrize("row", WHEELS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_nothing_is_said_of_a_wheel_that_auditwheel_gave_its_tag(row: tuple[str, str, str, str]) -> None:
    assert not found(fetched(row))


@pytest.mark.parametrize("row", SAMPLES, ids=lambda row: f"{row[0]}-{row[1]}")
def test_under_other_names_a_wheel_is_wrong_where_auditwheel_has_a_later_tag(
    row: tuple[str, str, str, str], tmp_path: Path
) -> None:
    """Over all tags of its family and architecture; of those before its own, auditwheel's is the oldest it allows."""
    wheel = fetched(row)
    theirs = overall_tag(wheel)
    family = theirs.partition("_")[0]
    architecture = re.sub(r"^(many|musl)linux_\d+_\d+_", "", theirs)
    tags = [
        f"{one.name}_{architecture}"
        for one in releases(family)
        if any(machine.name == architecture for machine in one.machines)
    ]
    wrong = tags[: tags.index(theirs)] if family == "manylinux" else []  # what musllinux lists is the same in all
    told = found(*[renamed(wheel, tmp_path, tag) for tag in tags])
    assert {finding.subject for finding in told} == set(wrong)
    assert not wrong or any(finding.message.endswith(f"is {theirs}") for finding in told)
    assert {finding.level for finding in told} <= {"warning"}


def test_between_policies_the_versions_of_glibc_decide(tmp_path: Path) -> None:
    """PEP 600 makes a tag of each release of glibc; objdump says which is the highest that is asked for."""
    wheel = fetched(OF_GLIBC)
    (member,) = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    library = Path(zipfile.ZipFile(wheel).extract(member, tmp_path))
    listed = subprocess.run(["objdump", "-T", library], capture_output=True, text=True, check=True).stdout
    highest = max(int(minor) for minor in re.findall(r"\(GLIBC_2\.(\d+)\)", listed))
    tags = {minor: renamed(wheel, tmp_path, f"manylinux_2_{minor}_x86_64") for minor in range(15, 41)}
    wrong = {finding.subject for finding in found(*tags.values())}
    assert wrong == {f"manylinux_2_{minor}_x86_64" for minor in tags if minor < highest}


@pytest.mark.parametrize(
    ("row", "platform"),
    [
        (OF_GLIBC, "musllinux_1_2_x86_64"),
        (OF_MUSL, "manylinux_2_39_x86_64"),
        (OF_MUSL, "manylinux_2_28_x86_64.musllinux_1_1_x86_64"),
    ],
)
def test_each_tag_of_a_set_is_a_promise_and_the_other_c_library_keeps_none(
    row: tuple[str, str, str, str], platform: str, tmp_path: Path
) -> None:
    told = found(renamed(fetched(row), tmp_path, platform))
    assert {finding.subject for finding in told} == {platform.partition(".")[0]}
    assert all("allows this file" in finding.message and "no tag of" in finding.message for finding in told)


def test_a_file_for_another_architecture_is_one_that_auditwheel_does_not_take_for_the_wheels(tmp_path: Path) -> None:
    wheel = renamed(fetched(OF_ARM), tmp_path, "manylinux_2_28_x86_64")
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", "--json", wheel], capture_output=True, text=True, timeout=120
    )
    if "auditwheel" in shown.stderr and "No module named" in shown.stderr:
        raise Unavailable("auditwheel is not installed")
    assert "with a 'x86_64' architecture" in json.loads(shown.stdout)["error"]
    (told,) = found(wheel)
    assert told.subject == "manylinux_2_28_x86_64"
    assert told.message == "is for aarch64, and the platform tags of its wheel are for x86_64"


@pytest.mark.parametrize(
    ("platform", "levels"),
    [
        ("linux_x86_64", set()),
        ("linux_aarch64", {"warning"}),
        ("linux_aarch64.linux_x86_64", set()),
        ("linux_armv6l", set()),  # an architecture that no policy has
        ("any", {"note"}),
        ("macosx_11_0_arm64", set()),
        ("manylinux_2_99_x86_64", set()),  # nobody has written that policy
        ("manylinux_2_99999999999_x86_64", set()),
    ],
)
def test_tags_without_a_policy_promise_the_architecture_at_most(
    platform: str, levels: set[str], tmp_path: Path
) -> None:
    told = found(renamed(fetched(OF_GLIBC), tmp_path, platform))
    assert {finding.level for finding in told} == levels


def test_the_name_of_a_wheel_counts_more_than_what_is_in_it() -> None:
    """As pip chooses by the name; packaging reads it in the same way. What is not called as a wheel has its WHEEL."""
    from packaging.utils import parse_wheel_filename

    told = Metadata(tags=("cp311-cp311-manylinux_2_5_x86_64", "cp311-cp311-linux_x86_64"))
    for name in (
        "example-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "example-1.0-7-py2.py3-none-Any.whl",
    ):
        assert set(platforms(f"dist/{name}", told)) == {tag.platform for tag in parse_wheel_filename(name)[3]}
    for name in ("example.whl", "a-b-c-d-e-f-manylinux_2_17_x86_64.whl", "example-1.0-cp311-cp311-any.zip"):
        assert platforms(f"dist/{name}", told) == ("manylinux_2_5_x86_64", "linux_x86_64")
    assert platforms("app.zip!/example-1.0-py3-none-any.whl", Metadata()) == ("any",)
    assert platforms("example.whl", Metadata(tags=("",))) == ()


def test_a_library_that_another_file_of_the_wheel_has_to_load_first_is_no_matter_of_the_tag(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """auditwheel allows the wheel as a whole, and not the library without what it needs."""
    vendor, source = tmp_path / "vendor", tmp_path / "source.c"
    built = {name: tmp_path / name for name in ("libmiddle.so", "example.so")}
    gcc: list[str | Path] = [require_tool("gcc"), "-shared", "-fPIC", "-Wl,--no-as-needed,--disable-new-dtags"]
    vendored(vendor, gcc[0])
    source.write_text("void vendored(void); void middle(void) { vendored(); }\n")
    gcc += [source, "-L", vendor, "-L", tmp_path, "-lvendored"]
    subprocess.run([*gcc, "-Wl,-soname,libmiddle.so", "-o", built["libmiddle.so"]], check=True)
    source.write_text("void middle(void); void *PyInit_example(void) { middle(); return 0; }\n")
    subprocess.run([*gcc, "-lmiddle", "-Wl,-rpath,$ORIGIN/libs", "-o", built["example.so"]], check=True)
    libraries = {"libs/libmiddle.so": built["libmiddle.so"]}
    whole = {"example.so": built["example.so"], "libs/libvendored.so": vendor / "libvendored.so", **libraries}
    name, tag = "example-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "manylinux_2_17_x86_64"
    assert overall_tag(wheel_of(tmp_path / name, tag, whole)).startswith("manylinux_")
    assert not found(tmp_path / name)
    assert overall_tag(wheel_of(tmp_path / name, tag, libraries)) == "linux_x86_64"
    (told,) = found(tmp_path / name)
    assert told.evidence == ["needs libvendored.so, which is not among the libraries that manylinux_2_17 allows"]


def test_what_is_not_for_a_processor_of_any_tag_or_not_loaded_is_data(
    fixture_file: FixtureFile, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """A program of BPF (e_machine 247), and an object file."""
    content = bytearray(fixture_file("hello/hello-dynamic-pie").read_bytes())
    content[18:20] = (247).to_bytes(2, "little")
    (tmp_path / "bpf").write_bytes(content)
    (tmp_path / "source.c").write_text("int nothing;\n")
    gcc: list[str | Path] = [require_tool("gcc"), "-c", "-o", tmp_path / "object", tmp_path / "source.c"]
    subprocess.run(gcc, check=True)
    files = {"bpf": tmp_path / "bpf", "object.o": tmp_path / "object"}
    assert not found(wheel_of(tmp_path / "example-1.0-py3-none-manylinux_2_17_aarch64.whl", "any", files))


def test_a_wheel_in_an_archive_has_its_own_tags(fixture_file: FixtureFile, tmp_path: Path) -> None:
    wheel = wheel_of(
        tmp_path / "example-1.0-py3-none-manylinux1_x86_64.whl",
        "any",
        {"app": fixture_file("hello/hello-dynamic-pie"), "static": fixture_file("hello/hello-static")},
    )
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(wheel, f"dist/{wheel.name}")
        archive.write(fixture_file("hello/hello-dynamic-pie"), "bin/app")
    (told,) = found(tmp_path / "all.zip")
    assert told.path.endswith(f"all.zip!/dist/{wheel.name}!/app")
    assert told.subject == "manylinux1_x86_64"
