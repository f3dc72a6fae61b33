"""What is done to a copy of a fixture before a rule looks at it: `as = "NAME"` in a case."""

import os
import shutil
import stat
import struct
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from linkscope.elf.image import Image, read_image
from linkscope.elf.reader import open_reader
from linkscope.elf.segments import file_offset
from tests.elf.conftest import _unpacked
from tests.oracle import roots
from tests.oracle.availability import Unavailable

_DT_VERNEED = 0x6FFFFFFE
_VER_FLG_WEAK = 2
_RISCV = 243


def setuid(copy: Path) -> None:
    """The owner's rights for whoever starts it."""
    copy.chmod(0o755 | stat.S_ISUID)


def setgid(copy: Path) -> None:
    """The group's rights for whoever starts it."""
    copy.chmod(0o755 | stat.S_ISGID)


def capable(copy: Path) -> None:
    """File capabilities; root's right is needed to give them."""
    setcap = shutil.which("setcap", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if setcap is None:
        raise Unavailable("setcap is not here (Debian package libcap2-bin)")
    done = subprocess.run([setcap, "cap_net_raw+ep", copy], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"setcap: {done.stderr.strip()}")


def for_another_machine(copy: Path) -> None:
    """e_machine of RISC-V, which no machine that runs these tests is."""
    _write(copy, 18, struct.pack("<H", _RISCV))


def with_false_ident(copy: Path) -> None:
    """EI_CLASS says 32 bits; the kernel goes by the header."""
    _write(copy, 4, b"\1")


def without_segments(copy: Path) -> None:
    """No PT_LOAD: each is PT_NULL."""
    content = copy.read_bytes()
    (start,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    for at in range(start, start + size * count, size):
        if struct.unpack_from("<I", content, at) == (1,):
            _write(copy, at, bytes(4))


def with_weak_versions(copy: Path) -> None:
    """VER_FLG_WEAK in every version that is asked for, which no linker of today writes."""
    image = _image(copy)
    address = image.value(_DT_VERNEED)
    assert address is not None
    need = file_offset(image.segments, address, str(copy))[0]
    content = copy.read_bytes()
    while True:  # LSB, Symbol Versioning: Verneed and Vernaux
        _, count, _, aux, following = struct.unpack_from("<HHIII", content, need)
        at = need + aux
        for _ in range(count):
            flags, further = struct.unpack_from("<4xH6xI", content, at)
            _write(copy, at + 4, struct.pack("<H", flags | _VER_FLG_WEAK))
            at += further
        if not following:
            return
        need += following


def packed(copy: Path) -> None:
    """Packed by Debian 13's UPX, which runs with its own loader and libraries."""
    folder = _unpacked("trixie", "amd64", ("upx-ucl",))
    libraries = f"{folder}/usr/lib/x86_64-linux-gnu"
    upx = [f"{folder}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, f"{folder}/usr/bin/upx-ucl"]
    subprocess.run([*upx, "-qq", "-1", copy], check=True)


def in_a_root_with_a_stale_cache(copy: Path) -> Path:
    """A root whose cache names a libleaf.so that is gone, with the loader and the C library of this machine."""
    ldconfig = shutil.which("ldconfig", path="/usr/sbin:/sbin")
    if ldconfig is None:
        raise Unavailable("ldconfig is not here")
    root = copy.parent
    for folder in ("etc", "opt/leaf"):
        (root / folder).mkdir(parents=True)
    (root / "etc/ld.so.conf").write_text("/opt/leaf\n")
    interpreter = _image(copy).interpreter
    assert interpreter is not None
    libc = subprocess.run(["ldd", copy], capture_output=True, text=True).stdout.partition("libc.so.6 => ")[2].split()[0]
    for path in (interpreter, libc):
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    leaf = root / "opt/leaf/libleaf.so"
    shutil.copy(Path(__file__).parents[2] / "fixtures/build/policy/lib/libleaf.so", leaf)
    subprocess.run([ldconfig, "-r", root], check=True)
    leaf.unlink()
    return root


def in_a_root_with_an_old_glibc(copy: Path) -> Path:
    """A root with the loader and the C library of Debian 11, which are of glibc 2.31."""
    loader, _ = roots.loader_and_ldconfig("debian:11/minimal")
    folder = copy.parent / "lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    shutil.copy(loader, folder)
    shutil.copy(Path(loader).with_name("libc.so.6"), folder)
    link = copy.parent / "lib64/ld-linux-x86-64.so.2"
    link.parent.mkdir()
    link.symlink_to(f"../lib/x86_64-linux-gnu/{os.path.basename(loader)}")
    return copy.parent


def _image(path: Path) -> Image:
    with open_reader(os.fspath(path)) as reader:
        return read_image(reader)


def _write(path: Path, at: int, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)


def _in_a_tar(copy: Path, *others: tarfile.TarInfo, times: int = 1) -> None:
    """The file is an archive with itself, and OTHERS."""
    with tempfile.TemporaryFile() as output:
        with tarfile.open(fileobj=output, mode="w") as archive:
            for _ in range(times):
                archive.add(copy, "usr/bin/app")
            for other in others:
                archive.addfile(other)
        output.seek(0)
        copy.write_bytes(output.read())


def in_an_archive(copy: Path) -> None:
    """A tar with the file alone."""
    _in_a_tar(copy)


def twice_in_an_archive(copy: Path) -> None:
    """A tar with the file twice, by the same name."""
    _in_a_tar(copy, times=2)


def in_an_image(copy: Path) -> None:
    """A tar as one makes of a whole system: Debian's /etc/mtab, and a device."""
    link, device = tarfile.TarInfo("etc/mtab"), tarfile.TarInfo("dev/null")
    link.type, link.linkname = tarfile.SYMTYPE, "/proc/self/mounts"
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
    _in_a_tar(copy, link, device)


def in_a_wheel_for_manylinux1(copy: Path) -> None:
    """A wheel with the file alone, which is called as no wheel is, so that its file WHEEL tells."""
    content = copy.read_bytes()
    with zipfile.ZipFile(copy, "w") as archive:
        archive.writestr("app/app", content)
        archive.writestr("app-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-manylinux1_x86_64\n")


PREPARATIONS: dict[str, Callable[[Path], Path | None]] = {
    "setuid": setuid,
    "setgid": setgid,
    "capable": capable,
    "for-another-machine": for_another_machine,
    "with-false-ident": with_false_ident,
    "without-segments": without_segments,
    "with-weak-versions": with_weak_versions,
    "packed": packed,
    "in-an-archive": in_an_archive,
    "twice-in-an-archive": twice_in_an_archive,
    "in-an-image": in_an_image,
    "in-a-wheel-for-manylinux1": in_a_wheel_for_manylinux1,
    "in-a-root-with-a-stale-cache": in_a_root_with_a_stale_cache,
    "in-a-root-with-an-old-glibc": in_a_root_with_an_old_glibc,
}
