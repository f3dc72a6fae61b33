"""The kernel that runs, against those that are installed.

Source: uname(2); the names that distributions give to /boot/vmlinuz-RELEASE and /lib/modules/RELEASE; Debian Policy
5.6.12 and deb-version(7) for the order of versions; Linux Documentation/arch/x86/boot.rst, kernel_version.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import msgspec

BOOT = "/boot"
MODULES = "/lib/modules"
# x86 boot protocol: the magic at 0x202, and at 0x20e where the version stands, counted from 0x200.
_MAGIC_AT, _MAGIC, _POINTER_AT, _BASE, _MOST = 0x202, b"HdrS", 0x20E, 0x200, 1 << 16
_IMAGE = re.compile(r"(?:vmlinu[xz]|kernel)-(\d.*)")
# What is left of other versions, or is none: needrestart's and dpkg's backups, Debian's and Fedora's rescue images.
_NO_IMAGE = (".bak", ".old", ".dpkg-bak", ".dpkg-new", ".dpkg-old", ".dpkg-tmp", ".hmac", ".rpmsave")
# A folder of modules without any of these was left behind by modules from elsewhere (DKMS) when the kernel was removed.
_WHOLE = ("modules.order", "modules.dep", "kernel", "vmlinuz")
_EDITION = re.compile(r"\+[a-z][a-z0-9-]*$")


class Kernel(msgspec.Struct, frozen=True):
    """running: what `uname -r` says. installed: the newest release of the same flavour, None where there is none.

    newer: whether a restart of the machine would bring another one; None where nothing can be compared, as in a
    container, or a virtual machine whose kernel comes from outside. reason: one sentence, without its full stop.
    """

    running: str
    installed: str | None
    newer: bool | None
    reason: str


def kernel(release: str | None = None, version: str | None = None, boot: str = BOOT, modules: str = MODULES) -> Kernel:
    """The running kernel against the newest installed one.

    release, version: what uname(2) says, asked now where they are not given.
    """
    name = os.uname()
    running = name.release if release is None else release
    present = set(_images(boot)) | set(_module_folders(modules))
    mine = flavour(running)
    comparable = [other for other in present if flavour(other) == mine]
    if not comparable:
        what = f"of its flavour, only {', '.join(sorted(present))}" if present else "at all"
        return Kernel(running, None, None, f"no kernel is installed {what}")
    newest = max(comparable, key=order_of)
    if order_of(newest) != order_of(running):
        newer = order_of(newest) > order_of(running)
        return Kernel(running, newest, newer, f"the newest kernel that is installed is {newest}")
    return _same_name(running, newest, name.version if version is None else version, boot, modules)


def _same_name(running: str, newest: str, version: str, boot: str, modules: str) -> Kernel:
    """Whether the image with the name of the running kernel is the one that runs: it may have been built anew."""
    builds = [built for path in _places(newest, boot, modules) if (built := image_version(path)) is not None]
    # uname(2) gives 64 bytes (Linux include/uapi/linux/utsname.h); the image has the whole of it.
    if builds and not any(built.endswith(version) or version == built[:64] for built in map(_build, builds)):
        return Kernel(running, newest, True, f"kernel {newest} was installed anew, as {_build(builds[0])}")
    return Kernel(running, newest, False, "the newest kernel that is installed runs")


def _places(release: str, boot: str, modules: str) -> Iterator[str]:
    for name in ("vmlinuz", "vmlinux", "kernel"):
        yield os.path.join(boot, f"{name}-{release}")
    yield os.path.join(modules, release, "vmlinuz")


def _build(text: str) -> str:
    """The part of a version that uname(2) calls `version`: what follows the release and the builder."""
    return text.partition(") ")[2]


def _images(boot: str) -> Iterator[str]:
    for name in _names(boot):
        match = _IMAGE.fullmatch(name)
        if match and not name.endswith(_NO_IMAGE) and os.path.isfile(os.path.join(boot, name)):
            yield match[1]


def _module_folders(modules: str) -> Iterator[str]:
    for name in _names(modules):
        if name[:1].isdigit() and any(os.path.exists(os.path.join(modules, name, part)) for part in _WHOLE):
            yield name


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def image_version(path: str) -> str | None:
    """What an x86 kernel image says of itself: `6.1.0-18-amd64 (builder@host) #1 SMP …`; None of any other file."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST)
    except OSError:
        return None
    if data[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC:
        return None
    at = _BASE + int.from_bytes(data[_POINTER_AT : _POINTER_AT + 2], "little")
    text, end, _ = data[at:].partition(b"\0")
    return text.decode("utf-8", "replace") if end and at > _BASE else None


def flavour(release: str) -> str:
    """What kind of kernel a release is, such as `amd64`, `cloud-amd64`, `generic` or `arch#-#`; "" without a word.

    Only kernels of one flavour replace each other. The word is what follows the first part that begins with a letter;
    numbers in it are not looked at (`6.6.2-arch1-1`). Fedora puts it behind a plus sign (`…fc39.x86_64+debug`).
    """
    parts = release.split("-")
    at = next((place for place, part in enumerate(parts) if place and part[:1].isalpha()), None)
    if at is None:
        edition = _EDITION.search(release)
        return edition[0] if edition else ""
    return re.sub(r"\d+", "#", "-".join(parts[at:]))


def order_of(release: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    """A key by which releases stand in the order of their age: deb-version(7), without epoch and revision.

    Text and numbers alternate; in text `~` comes before the end, the end before letters, letters before the rest.
    """
    # The empty pair at the end stands for the end of the text.
    pairs = re.findall(r"(\D*)(\d*)", release)
    return tuple(((*map(_rank, text), 0), int(number or 0)) for text, number in pairs)


def _rank(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 0x110000
