"""What there is to say of a process, each kind of finding with its text in one place."""

from __future__ import annotations

from linkscope.errors import NotPermitted
from linkscope.loader.linkmap import Loaded
from linkscope.model.document import text
from linkscope.model.pid import Disk, FindingCode, ProcessFinding, Restart
from linkscope.process.jits import Region
from linkscope.process.mappings import without_mark
from linkscope.process.verify_text import Modified

_STALE: dict[Disk, str] = {
    "replaced": "another file has taken its place",
    "deleted": "the file has been deleted",
    "overwritten": "the file has been written over in place",
}


def _finding(code: FindingCode, path: str | None, message: str) -> ProcessFinding:
    return ProcessFinding(code=code, level="warning", path=path, message=text(message))


def _note(code: FindingCode, path: str | None, message: str) -> ProcessFinding:
    return ProcessFinding(code=code, level="note", path=path, message=text(message))


def stale(path: str, disk: Disk, reason: str | None, restart: Restart | None) -> ProcessFinding:
    """The process runs code that is no longer what stands on the disk."""
    why = f" ({reason})" if reason else ""
    instead = "" if restart is None else f"; a restart would {_would(path, restart)}"
    what = "its name leads to nothing any more" if disk == "deleted" and reason else _STALE[disk]
    return _finding("stale-object", path, f"{path}: {what} since it was mapped{why}{instead}")


def _would(path: str, restart: Restart) -> str:
    """What a restart would do instead of mapping the file that was PATH."""
    if restart.path is None:
        return "not find it"
    if restart.refused is not None:
        return f"fail at {restart.path}: {restart.refused}"
    return f"load {restart.path}" if restart.path != path else "load the file that is there now"


def other_path(path: str, restart: Restart, real: str | None) -> ProcessFinding:
    """The loader would take another file for the same name than the one that is mapped; REAL: behind its symlinks."""
    leads = f" (it leads to {real})" if real else ""
    return _finding("other-path", path, f"{path} is mapped, and a restart would {_would(path, restart)}{leads}")


def from_memory(path: str) -> ProcessFinding:
    """Code that came from no disk."""
    return _note("memory-file", path, f"{path} was loaded from memory (memfd_create): it never was a file on a disk")


def missing(loaded: Loaded, path: str) -> ProcessFinding:
    """Something that the closure asks for is not mapped."""
    message = f"{loaded.requested} would be loaded from {path} at a start, and is not mapped"
    return _note("missing-object", path, message)


def disk_unknown(path: str, reason: str) -> ProcessFinding:
    """Whether the mapped file is the one on the disk cannot be told."""
    return _note("disk-unknown", path, f"whether {path} is still the file that was mapped cannot be told: {reason}")


def not_predicted(reason: str) -> ProcessFinding:
    """There is no prediction to compare with."""
    return _note("not-predicted", None, f"what a start would load is not predicted: {reason}")


def environment_unknown() -> ProcessFinding:
    """The variables with which the program was started are not known."""
    unset = "LD_LIBRARY_PATH and LD_PRELOAD are taken to be unset"
    return _note("environment-unknown", None, f"the program has written over the environment of its start: {unset}")


def link_map_unknown(reason: str) -> ProcessFinding:
    """The names by which libraries were loaded, and their order, are not known."""
    return _note("link-map-unknown", None, f"the loader's own list of objects cannot be read: {reason}")


def preloaded(path: str, source: str | None) -> ProcessFinding:
    """Something was put before all libraries; SOURCE: what names it, None where only memory shows it."""
    if source is not None:
        return _note("preloaded", path, f"{path} is preloaded: {source} names it")
    how = "nothing that can be read names it; only its place in the link map shows it"
    return _finding("preloaded", path, f"{path} is preloaded: {how}")


def audited(path: str) -> ProcessFinding:
    """An auditor may have changed every look-up."""
    return _finding("audited", path, f"{path} audits the loader, and may have changed where anything was found")


def loaded_by_static(count: int) -> ProcessFinding:
    """A static program has mapped libraries after all."""
    what = "a shared library" if count == 1 else f"{count} shared libraries"
    message = f"the program is static, and has loaded {what} all the same (NSS, iconv, dlopen)"
    return _note("loaded-by-static", None, message)


def packed(path: str, packer: str, unpacked: bool) -> ProcessFinding:
    """The program runs from memory of no file. UNPACKED: what is inside was worked out and told."""
    inside = "was unpacked, and told" if unpacked else "is told by --contents --unpack"
    return _note(
        "packed", path, f"{path} is packed by {packer}, and runs from memory of no file; what is inside {inside}"
    )


def cannot_unpack(path: str, reason: str) -> ProcessFinding:
    """What is inside a packed program was asked for, and cannot be told."""
    return _finding("packed", path, f"{path}: {reason}")


def zombie(parent: int) -> ProcessFinding:
    """The process has ended, and its parent has not asked how."""
    return _note("zombie", None, f"it has ended, and its parent {parent} has not waited for it")


def main_thread_ended(threads: int) -> ProcessFinding:
    """The state is that of the first thread, which has ended before the others (pthread_exit)."""
    others = "another thread runs" if threads == 2 else f"{threads - 1} other threads run"
    return _note("main-thread-ended", None, f"its main thread has ended, and {others} on")


def zombie_children(pids: list[int]) -> ProcessFinding:
    """Children have ended, and this process has not waited for them."""
    what = "a child that has ended" if len(pids) == 1 else f"{len(pids)} children that have ended"
    named = ", ".join(map(str, pids[:8])) + (" …" if len(pids) > 8 else "")
    return ProcessFinding(
        code="zombie-children",
        level="warning",
        path=None,
        message=f"it has not waited for {what}: {named}",
        pids=pids,
    )


def kernel_thread() -> ProcessFinding:
    """There is no program at all."""
    return _note("kernel-thread", None, "a thread of the kernel: it has no program and no libraries")


def orphan_unknown(reason: str) -> ProcessFinding:
    """Whether the parent is the one that forked it cannot be told."""
    return _note("orphan-unknown", None, reason)


def not_permitted(pid: int) -> ProcessFinding:
    """The caller may not look into the process."""
    return _note("not-permitted", None, NotPermitted(pid).reason)


_PLACES = {"heap": "in the heap", "stack": "on the stack"}


def executable_memory(region: Region) -> ProcessFinding:
    """Code that comes from no file, or that can be written; a known engine explains it."""
    code: FindingCode = "writable-executable-memory" if region.writable else "executable-anonymous-memory"
    what = "writable and executable memory" if region.writable else "executable memory without a file"
    where = _PLACES.get(region.place, f"at {region.address:#x}")
    named = f" ({region.name})" if region.name and region.place not in _PLACES else ""
    why = f": {region.engine} makes code at run time" if region.engine else ""
    return ProcessFinding(
        code=code,
        level="note" if region.engine else "warning",
        path=text(without_mark(region.name)) if region.place == "file" else None,
        message=text(f"{what} {where}{named}, {size(region.size)}{why}"),
        address=region.address,
        size=region.size,
    )


def more_executable_memory(left: int, whole: int) -> ProcessFinding:
    """There are more stretches than are told one by one."""
    message = f"{left} more stretches of executable memory, {size(whole)} in all"
    return _finding("executable-anonymous-memory", None, message)


def size(count: int) -> str:
    """COUNT bytes in a unit that keeps the number short."""
    return f"{count} bytes" if count < 1 << 10 else f"{count >> 10} KiB" if count < 1 << 20 else f"{count >> 20} MiB"


def text_modified(path: str, change: Modified) -> ProcessFinding:
    """Code in memory differs from its file."""
    where = f"{change.symbol}+{change.into:#x}" if change.symbol else f"{change.address:#x}"
    changed = f"{change.before.hex(' ')} is {change.after.hex(' ')} in memory"
    return ProcessFinding(
        code="text-modified",
        level="warning",
        path=path,
        message=text(f"the code of {path} is changed at {where}, {size(change.size)} ({change.what}): {changed}"),
        address=change.address,
        size=change.size,
    )


def more_text_modified(path: str, left: int, pages: int) -> ProcessFinding:
    """There are more changes than are told one by one."""
    return _finding("text-modified", path, f"the code of {path} is changed in {left} more places, {pages} pages in all")


def text_verified(objects: int, compared: int) -> ProcessFinding:
    """How much code was found to be that of its files."""
    what = "one object is what its file says" if objects == 1 else f"{objects} objects is what their files say"
    return _note("text-verified", None, f"the code of {what}: {size(compared)} looked at")


def text_unknown(path: str, reason: str) -> ProcessFinding:
    """Code that could not be compared."""
    return _note("text-unknown", path, f"the code of {path} could not be compared: {reason}")


def stale_script(path: str, reason: str) -> ProcessFinding:
    """The process runs a script that is no longer the one on the disk."""
    return _finding("stale-script", text(path), f"the script {path} is no longer what the process runs: {reason}")


def old_kernel(running: str, installed: str) -> ProcessFinding:
    """The machine has to be restarted for the kernel that is installed."""
    return _finding("old-kernel", None, f"the kernel {running} runs, and {installed} is installed: restart the machine")
