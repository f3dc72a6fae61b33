"""Places from which a process may look out: roots, mount namespaces, file systems. None is left when a block ends.

Each place has a folder with the fixture `holder` and its library, and the program running there:

    with PLACES["a chroot"](kit, room) as lodger:
        change("replace", lodger.library)
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.oracle.availability import Unavailable
from tests.process.started import Argument, Started, as_user, children, started, until

FixtureFile = Callable[[str], Path]
HOLDER, LIBRARY, NEWER = "holder", "libheld.so", "libheld-new.so"
# What a file system takes that has to be made first; btrfs wants 109 MiB at least. The file is sparse.
_IMAGE_SIZE: Final = 128 << 20


def privileged() -> None:
    """Raises Unavailable where this is not root, who alone may mount and chroot."""
    if os.geteuid():
        raise Unavailable("only root mounts file systems and changes roots")


def ran(*command: Argument) -> str:
    """What a command prints; Unavailable, with what it says, where it is not here or is refused."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape")
    except FileNotFoundError as missing:
        raise Unavailable(f"{command[0]} is not here") from missing
    if done.returncode:
        raise Unavailable(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """An empty folder that every user may enter; when the block ends it is gone, with what was mounted in it."""
    folder = Path(tempfile.mkdtemp(prefix="linkscope-place-")).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        _unmount(folder)
        shutil.rmtree(folder)


def _unmount(folder: Path) -> None:
    """What is mounted at FOLDER and below it, the last first."""
    lines = Path("/proc/self/mountinfo").read_bytes().strip().split(b"\n")
    targets = [re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), line.split(b" ")[4]) for line in lines]
    for target in reversed(targets):
        if (target + b"/").startswith(os.fsencode(folder) + b"/"):
            subprocess.run(["umount", "--lazy", target], check=True)


@contextlib.contextmanager
def mounted(target: Path, *arguments: Argument) -> Iterator[Path]:
    """A file system at TARGET, a folder that is made; mount(8) has these arguments. It may go before the end."""
    privileged()
    target.mkdir(exist_ok=True, parents=True)
    ran("mount", *arguments, target)
    try:
        yield target
    finally:
        _unmount(target)


def tmpfs(target: Path) -> contextlib.AbstractContextManager[Path]:
    """An empty file system at TARGET."""
    return mounted(target, "-t", "tmpfs", "-o", "mode=755", "linkscope")


@contextlib.contextmanager
def btrfs(target: Path, kept_at: Path) -> Iterator[Path]:
    """A new btrfs at TARGET, on a loop device, which the kernel takes away with the mount."""
    privileged()
    image = kept_at / "btrfs.image"
    with open(image, "wb") as file:
        file.truncate(_IMAGE_SIZE)
    ran("mkfs.btrfs", "--quiet", image)
    with mounted(target, "-o", "loop", image) as made:
        made.chmod(0o755)
        yield made


@contextlib.contextmanager
def overlay(target: Path, lower: Path, upper: Path) -> Iterator[Path]:
    """LOWER with the changes of UPPER (its folders `upper` and `work` are made), at TARGET."""
    for name in ("upper", "work"):
        (upper / name).mkdir(parents=True, exist_ok=True)
    shutil.copystat(lower, upper / "upper")
    os.chown(upper / "upper", lower.stat().st_uid, lower.stat().st_gid)
    options = f"lowerdir={lower},upperdir={upper}/upper,workdir={upper}/work"
    with mounted(target, "-t", "overlay", "-o", options, "linkscope") as made:
        yield made


def confined(*words: Argument) -> list[Argument]:
    """The command that goes away from where it was started, as confined.py says."""
    privileged()
    return [sys.executable, Path(__file__).with_name("confined.py"), *words]


# --- What stands in a place -------------------------------------------------------------------------------------------


class Kit:
    """The files that a place is furnished with, and whose they are and the program is there: root's, if not another's.

    system: the C library and its loader.
    """

    def __init__(self, fixture_file: FixtureFile, owner: int = 0) -> None:
        self._files = [fixture_file(f"process/{name}") for name in (HOLDER, LIBRARY, NEWER)]
        needs = ran("ldd", self._files[0])
        self.system = [Path(path) for path in re.findall(r"^\t(?:libc\S+ => )?(/\S+) \(", needs, re.MULTILINE)]
        self.owner = owner

    def furnish(self, folder: Path) -> Path:
        """The program, its library and a newer one in FOLDER, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in self._files:
            shutil.copy(file, folder)
        if self.owner:
            privileged()
            for path in (folder, *folder.iterdir()):
                os.chown(path, self.owner, self.owner)
        return folder

    def furnish_root(self, root: Path, folder: str) -> Path:
        """The same in FOLDER below ROOT, and the C library and its loader where the program looks for them."""
        for file in self.system:
            place = root / file.relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
        return self.furnish(root / folder.lstrip("/"))


class Lodger(msgspec.Struct, frozen=True):
    """The program that runs in a place. folder: of its library, as it sees it. root: as the document has it."""

    program: Started
    pid: int
    folder: str
    root: str | None = None

    @property
    def library(self) -> str:
        """The library's path as the program sees it."""
        return f"{self.folder}/{LIBRARY}"

    @property
    def other(self) -> str:
        """Another path in the same folder, where nothing stands."""
        return f"{self.folder}/libother.so"

    def change(self, what: str) -> None:
        """Do to the library what upgrades and other accidents do; the program does it itself, where it is."""
        for order in _ORDERS[what]:
            words = order.format(lib=self.library, other=self.other, newer=f"{self.folder}/{NEWER}")
            assert self.program.ask(words.replace("|", "\t"), "") == "done"


_ORDERS: Final = {
    "nothing": (),
    "touch": ("touch|{lib}",),
    "link": ("link|{lib}|{other}",),
    "rename": ("rename|{lib}|{other}",),
    "delete": ("delete|{lib}",),
    "replace": ("replace|{lib}|{newer}",),
    "overwrite": ("overwrite|{lib}|{newer}",),
    "move away and replace": ("rename|{lib}|{other}", "replace|{lib}|{newer}"),
}
# What is to be said of the library after each change. Nobody can tell whether a file that is only younger was written.
CHANGES: Final = {
    "nothing": "same",
    "touch": "unknown",
    "link": "same",
    "rename": "renamed",
    "delete": "deleted",
    "replace": "replaced",
    "overwrite": "overwritten",
    "move away and replace": "replaced",
}
STALE: Final = frozenset({"replaced", "deleted", "overwritten"})


def grown(pid: int) -> int:
    """The process, once it is so old that what is written now is younger beyond doubt (see process/rewritten.py)."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    born = ticks / os.sysconf("SC_CLK_TCK")
    until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > born + 0.08, "the process is no longer new")
    return pid


# --- The places -------------------------------------------------------------------------------------------------------

Place = Callable[[Kit, Path], contextlib.AbstractContextManager[Lodger]]
_UNSHARE_MOUNTS: Final = ("unshare", "--mount", "--propagation", "private")


@contextlib.contextmanager
def lodging(
    kit: Kit, argv: Sequence[Argument], folder: Argument, root: Argument | None = None, inner: bool = False
) -> Iterator[Lodger]:
    """The program of ARGV, once it is ready, with its library in FOLDER. inner: it is a child of what is started."""
    # In a chroot there is no /proc, by which the loader knows the program's own folder.
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)} if root else None
    with as_user(argv, kit.owner) if kit.owner else started(argv, env=environment) as program:
        program.expect("ready")
        pid = children(program.pid)[0] if inner else program.pid
        yield Lodger(program, pid, str(folder), None if root is None else str(root))
        program.process.kill()  # unshare passes no signal on


@contextlib.contextmanager
def own_root(kit: Kit, room: Path) -> Iterator[Lodger]:
    folder = kit.furnish(room / "lib")
    with lodging(kit, [folder / HOLDER], folder) as lodger:
        yield lodger


@contextlib.contextmanager
def mount_namespace(kit: Kit, room: Path) -> Iterator[Lodger]:
    """A tmpfs over the folder, with files that nobody else sees; those below it have the same paths here."""
    privileged()
    folder, source = kit.furnish(room / "lib"), kit.furnish(room / "source")
    script = 'mount -t tmpfs none "$2" && cp "$1"/* "$2" && "$2"/holder; :'
    with lodging(kit, [*_UNSHARE_MOUNTS, "sh", "-c", script, "sh", source, folder], folder, "/", inner=True) as lodger:
        yield lodger


@contextlib.contextmanager
def bound_folder(kit: Kit, room: Path) -> Iterator[Lodger]:
    """A folder of this machine at another place, in a mount namespace."""
    privileged()
    folder, source = kit.furnish(room / "lib"), kit.furnish(room / "source")
    script = 'mount --bind "$1" "$2" && exec "$2"/holder'
    with lodging(kit, [*_UNSHARE_MOUNTS, "sh", "-c", script, "sh", source, folder], folder, "/") as lodger:
        yield lodger


@contextlib.contextmanager
def pid_namespace(kit: Kit, room: Path) -> Iterator[Lodger]:
    privileged()
    folder = kit.furnish(room / "lib")
    argv: list[Argument] = ["unshare", "--pid", "--fork", "--kill-child", folder / HOLDER]
    with lodging(kit, argv, folder, inner=True) as lodger:
        yield lodger


@contextlib.contextmanager
def user_namespace(kit: Kit, room: Path) -> Iterator[Lodger]:
    """An ordinary user, who is root in there, with mounts of his own."""
    folder, source = kit.furnish(room / "lib"), kit.furnish(room / "source")
    script = 'mount -t tmpfs none "$2" && cp "$1"/* "$2" && "$2"/holder; :'
    argv: list[Argument] = ["unshare", "-U", "-r", "--mount", "sh", "-c", script, "sh", source, folder]
    with as_user(argv) as program:
        program.expect("ready")
        yield Lodger(program, children(program.pid)[0], str(folder), "/")


@contextlib.contextmanager
def chroot(kit: Kit, room: Path) -> Iterator[Lodger]:
    privileged()
    kit.furnish_root(room / "jail", "/opt")
    with lodging(kit, ["chroot", room / "jail", "/opt/holder"], "/opt", room / "jail") as lodger:
        yield lodger


@contextlib.contextmanager
def chroot_in_mount_namespace(kit: Kit, room: Path) -> Iterator[Lodger]:
    """There is a folder of the same name here, with another root in it."""
    privileged()
    jail = room / "jail"
    kit.furnish_root(jail, "/opt")
    kit.furnish_root(room / "source", "/opt")
    script = 'mount -t tmpfs none "$2" && cp -r "$1"/* "$2" && chroot "$2" /opt/holder; :'
    argv: list[Argument] = [*_UNSHARE_MOUNTS, "sh", "-c", script, "sh", room / "source", jail]
    with lodging(kit, argv, "/opt", jail, inner=True) as lodger:
        yield lodger


@contextlib.contextmanager
def pivoted(kit: Kit, room: Path) -> Iterator[Lodger]:
    """Another root by pivot_root(2), as containers have it; the old one is gone."""
    privileged()
    kit.furnish_root(room / "jail", "/opt")
    argv = confined("unshare", "pivot", room / "jail", "exec", "/opt/holder")
    with lodging(kit, argv, "/opt", "/") as lodger:
        yield lodger


@contextlib.contextmanager
def overlay_lower(kit: Kit, room: Path) -> Iterator[Lodger]:
    """An overlay of two file systems, and the library only in the lower one."""
    lower = kit.furnish(room / "lower")
    with (
        tmpfs(room / "upper") as upper,
        overlay(room / "merged", lower, upper) as merged,
        lodging(kit, [merged / HOLDER], merged) as lodger,
    ):
        yield lodger


@contextlib.contextmanager
def overlay_upper(kit: Kit, room: Path) -> Iterator[Lodger]:
    """The same, the library having been copied up before."""
    lower = kit.furnish(room / "lower")
    with tmpfs(room / "upper") as upper, overlay(room / "merged", lower, upper) as merged:
        (merged / LIBRARY).touch()
        with lodging(kit, [merged / HOLDER], merged) as lodger:
            yield lodger


@contextlib.contextmanager
def overlay_root(kit: Kit, room: Path) -> Iterator[Lodger]:
    """A container's: an overlay in a mount namespace, and the process's root in it."""
    privileged()
    kit.furnish_root(room / "lower", "/opt")
    (room / "merged").mkdir()
    (room / "upper").mkdir()
    script = """
        mount -t tmpfs none "$1"/upper && mkdir "$1"/upper/up "$1"/upper/work &&
        mount -t overlay -o lowerdir="$1"/lower,upperdir="$1"/upper/up,workdir="$1"/upper/work none "$1"/merged &&
        exec chroot "$1"/merged /opt/holder
    """
    argv: list[Argument] = [*_UNSHARE_MOUNTS, "sh", "-c", script, "sh", room]
    with lodging(kit, argv, "/opt", room / "merged") as lodger:
        yield lodger


@contextlib.contextmanager
def btrfs_folder(kit: Kit, room: Path) -> Iterator[Lodger]:
    with btrfs(room / "btrfs", room) as made:
        folder = kit.furnish(made / "lib")
        with lodging(kit, [folder / HOLDER], folder) as lodger:
            yield lodger


@contextlib.contextmanager
def btrfs_subvolume(kit: Kit, room: Path) -> Iterator[Lodger]:
    """The folder is a subvolume, which has a device number of its own that no mount shows."""
    with btrfs(room / "btrfs", room) as made:
        ran("btrfs", "subvolume", "create", made / "lib")
        folder = kit.furnish(made / "lib")
        with lodging(kit, [folder / HOLDER], folder) as lodger:
            yield lodger


PLACES: Final[dict[str, Place]] = {
    "its own root": own_root,
    "a mount namespace": mount_namespace,
    "a bound folder": bound_folder,
    "a pid namespace": pid_namespace,
    "a user namespace": user_namespace,
    "a chroot": chroot,
    "a chroot in a mount namespace": chroot_in_mount_namespace,
    "a pivoted root": pivoted,
    "the lower layer of an overlay": overlay_lower,
    "the upper layer of an overlay": overlay_upper,
    "an overlay as root": overlay_root,
    "btrfs": btrfs_folder,
    "a subvolume of btrfs": btrfs_subvolume,
}
