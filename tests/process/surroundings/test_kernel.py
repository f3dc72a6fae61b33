"""The running kernel against the installed ones: dpkg and the kernel's own images are the judges."""

import itertools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.process.surroundings.kernel import Kernel, flavour, image_version, kernel, order_of
from tests.oracle import packages

RequireTool = Callable[[str], str]


def _install(folder: Path, *releases: str, modules: bool = False) -> None:
    for release in releases:
        if modules:
            (folder / "modules" / release / "kernel").mkdir(parents=True)
        else:
            (folder / "boot").mkdir(exist_ok=True)
            (folder / "boot" / f"vmlinuz-{release}").write_bytes(b"no image")


def _kernel(folder: Path, running: str, version: str = "#1 SMP") -> Kernel:
    return kernel(running, version, str(folder / "boot"), str(folder / "modules"))


def _image(release: str, version: str) -> bytes:
    """As much of a bzImage as says its version (Documentation/arch/x86/boot.rst)."""
    text = f"{release} (builder@host) {version}".encode() + b"\0"
    head = bytearray(0x3000)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x2C00).to_bytes(2, "little")
    head[0x2E00 : 0x2E00 + len(text)] = text
    return bytes(head)


# Running, installed, and whether a newer one is: None where they do not replace each other.
CASES: list[tuple[str, list[str], str | None, bool | None]] = [
    ("6.1.0-18-amd64", ["6.1.0-18-amd64"], "6.1.0-18-amd64", False),
    ("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-18-amd64"], "6.1.0-18-amd64", True),
    ("6.1.0-18-amd64", ["6.1.0-9-amd64"], "6.1.0-9-amd64", False),
    ("6.1.0-18-amd64", ["6.12.73+deb13-amd64"], "6.12.73+deb13-amd64", True),
    ("6.1.0-18-amd64", ["6.1.0-20-cloud-amd64", "6.1.0-20-rt-amd64"], None, None),
    ("5.15.0-91-generic", ["5.15.0-100-generic", "5.15.0-101-lowlatency"], "5.15.0-100-generic", True),
    ("6.1.0-18-686", ["6.1.0-20-686", "6.1.0-21-686-pae"], "6.1.0-20-686", True),
    ("6.5.6-300.fc39.x86_64", ["6.5.6-300.fc39.x86_64", "6.6.2-201.fc39.x86_64"], "6.6.2-201.fc39.x86_64", True),
    ("6.5.6-300.fc39.x86_64", ["6.6.2-201.fc39.x86_64+debug"], None, None),
    ("6.6.1-arch1-1", ["6.6.2-arch1-1"], "6.6.2-arch1-1", True),
    ("6.6.1-arch1-1", ["6.6.1-arch2-1"], "6.6.1-arch2-1", True),
    ("6.6.1-arch1-1", ["6.6.9-zen1-1-zen"], None, None),
    ("5.14.21-150500.55.39-default", ["5.14.21-150500.55.44-default"], "5.14.21-150500.55.44-default", True),
    ("6.5.11-7-pve", ["6.5.11-8-pve"], "6.5.11-8-pve", True),
    ("6.8.0", ["6.8.0", "6.8.1"], "6.8.1", True),
    ("6.8.0", ["6.8.1-amd64"], None, None),
    ("5.15.90.1-microsoft-standard-WSL2", ["6.1.0-18-amd64"], None, None),
    ("6.1.0-18-amd64", [], None, None),
]


@pytest.mark.parametrize(("running", "installed", "newest", "newer"), CASES)
@pytest.mark.parametrize("modules", [False, True], ids=["images", "modules"])
def test_only_a_kernel_of_the_same_flavour_is_newer(
    tmp_path: Path, running: str, installed: list[str], newest: str | None, newer: bool | None, modules: bool
) -> None:
    _install(tmp_path, *installed, modules=modules)
    found = _kernel(tmp_path, running)
    assert (found.running, found.installed, found.newer) == (running, newest, newer)
    assert (newest or "no kernel") in found.reason or newer is False


def test_images_and_modules_are_looked_at_together(tmp_path: Path) -> None:
    _install(tmp_path, "6.1.0-18-amd64")
    _install(tmp_path, "6.1.0-20-amd64", modules=True)
    assert _kernel(tmp_path, "6.1.0-18-amd64").installed == "6.1.0-20-amd64"


def test_what_is_no_whole_kernel_is_not_looked_at(tmp_path: Path) -> None:
    _install(tmp_path, "6.1.0-18-amd64", "6.1.0-20-amd64.dpkg-new", "6.1.0-21-amd64.old")
    (tmp_path / "boot" / "vmlinuz-6.1.0-22-amd64").mkdir()
    (tmp_path / "boot" / "initrd.img-6.1.0-23-amd64").write_bytes(b"")
    (tmp_path / "boot" / "vmlinuz-0-rescue-0123456789abcdef").write_bytes(b"")
    (tmp_path / "boot" / "vmlinuz").symlink_to("vmlinuz-6.1.0-18-amd64")
    # What DKMS leaves behind.
    (tmp_path / "modules" / "6.1.0-24-amd64" / "updates").mkdir(parents=True)
    assert _kernel(tmp_path, "6.1.0-18-amd64").installed == "6.1.0-18-amd64"


def test_a_kernel_that_was_built_anew_under_the_same_name_is_newer(tmp_path: Path) -> None:
    old, new = "#1 SMP Debian 6.1.76-1 (2024-02-01)", "#1 SMP Debian 6.1.85-1 (2024-04-11)"
    _install(tmp_path, "6.1.0-18-amd64")
    image = tmp_path / "boot" / "vmlinuz-6.1.0-18-amd64"
    image.write_bytes(_image("6.1.0-18-amd64", old))
    assert _kernel(tmp_path, "6.1.0-18-amd64", old).newer is False
    image.write_bytes(_image("6.1.0-18-amd64", new))
    found = _kernel(tmp_path, "6.1.0-18-amd64", old)
    assert found.newer is True
    assert new in found.reason


def test_a_version_that_uname_cuts_off_is_still_the_same(tmp_path: Path) -> None:
    version = "#101~20.04.1-Ubuntu SMP PREEMPT_DYNAMIC Thu Nov 16 14:22:28 UTC 2023 and more"
    _install(tmp_path, "5.15.0-91-generic")
    (tmp_path / "boot" / "vmlinuz-5.15.0-91-generic").write_bytes(_image("5.15.0-91-generic", version))
    assert _kernel(tmp_path, "5.15.0-91-generic", version[:64]).newer is False


@pytest.mark.parametrize(
    "damage", [lambda data: data[:0x202], lambda data: data[:0x2E08], lambda data: data.replace(b"HdrS", b"HdrT")]
)
def test_an_image_that_says_nothing_whole_has_no_version(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(damage(_image("6.1.0", "#1")))
    assert image_version(str(path)) is None
    assert image_version(str(tmp_path / "absent")) is None


def test_a_kernel_of_debian_names_its_release(tmp_path: Path) -> None:
    archives = packages.download(tmp_path, "bookworm", "amd64", ["linux-image-cloud-amd64"])
    for archive in archives:
        if archive.name.startswith("linux-image-6"):
            packages.unpack(archive, tmp_path)
    (image,) = (tmp_path / "boot").glob("vmlinuz-*")
    assert (image_version(str(image)) or "").startswith(f"{image.name.removeprefix('vmlinuz-')} ")
    found = kernel(image.name.removeprefix("vmlinuz-"), "#0", str(tmp_path / "boot"), str(tmp_path / "absent"))
    assert (found.installed, found.newer) == (image.name.removeprefix("vmlinuz-"), True)


def test_this_machine_answers() -> None:
    found = kernel()
    assert found.running == os.uname().release
    assert (found.installed is None) == (found.newer is None)


def _dpkg_says_older(dpkg: str, one: str, other: str) -> bool:
    return subprocess.run([dpkg, "--compare-versions", one, "lt-nl", other]).returncode == 0


ODD = ["6.1", "6.1.0", "6.1~rc1", "6.1+b1", "6.1a", "6.01", "6.1.0-2", "6.1.0-10", "6.10", "6.1.0.1", "6.1~~", "06.1"]


def test_versions_stand_in_the_order_that_dpkg_has(require_tool: RequireTool) -> None:
    """A hyphen is put in for dpkg, which takes the last one for the beginning of a revision."""
    dpkg = require_tool("dpkg")
    releases = sorted({*ODD, *(release for running, others, _, _ in CASES for release in (running, *others))})
    for one, other in itertools.permutations(releases[::2], 2):
        expected = _dpkg_says_older(dpkg, f"{one.replace('_', '.')}-1", f"{other.replace('_', '.')}-1")
        ours = order_of(one.replace("_", ".")) < order_of(other.replace("_", "."))
        assert ours == expected, (one, other)


@given(st.text("0123456789abz.+~-", max_size=12), st.text("0123456789abz.+~-", max_size=12))
def test_any_two_releases_can_be_compared(one: str, other: str) -> None:
    assert (order_of(one) < order_of(other)) + (order_of(one) > order_of(other)) <= 1
    assert isinstance(flavour(one), str)
