"""What a restart would change besides libraries: an interpreter's script, and the kernel."""

from __future__ import annotations

from linkscope.errors import ProcessUnreadable
from linkscope.model.pid import ProcessFinding
from linkscope.process import findings, procfs
from linkscope.process.observation import Observation
from linkscope.process.surroundings.kernel import kernel
from linkscope.process.surroundings.scripts import Script, change_of, script_named, script_of


def may_run_script(pid: int) -> bool:
    """Whether a process is an interpreter with a script on its command line, as far as the caller may know."""
    try:
        return script_named(procfs.link(pid, "exe"), procfs.cmdline(pid)) is not None
    except ProcessUnreadable:  # a kernel thread has no program
        return False


def script_run_by(observation: Observation) -> Script | None:
    """The script that the process runs; None where it is no interpreter."""
    program, view = observation.program, observation.view
    if program is None or view is None:
        return None
    snapshot = observation.snapshot
    return script_of(snapshot.through, program.path, snapshot.cmdline, view, snapshot.environ)


def about_script(observation: Observation, script: Script | None, started: float) -> list[ProcessFinding]:
    """Whether the script was changed since STARTED (seconds since the epoch)."""
    view = observation.view
    if script is None or view is None:
        return []
    change = change_of(observation.snapshot.through, script, view, started)
    return [findings.stale_script(script.path or script.word, change.reason)] if change.stale else []


def about_kernel() -> list[ProcessFinding]:
    """Whether a newer kernel is installed than the one that runs."""
    found = kernel()
    return [findings.old_kernel(found.running, found.installed or "")] if found.newer else []
