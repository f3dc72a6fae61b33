"""Every problem of one file, from whichever room sees it, in the order in which a person wants to read them."""

from __future__ import annotations

from linkscope.elf import constants as c
from linkscope.elf.image import Image
from linkscope.elf.packing import packed
from linkscope.elf.reader import Reader
from linkscope.elf.sections import holds_no_program
from linkscope.loader import problems
from linkscope.loader.linkmap import Loaded
from linkscope.loader.luck import by_luck
from linkscope.loader.program import Program, Start
from linkscope.loader.relr import check_relr
from linkscope.loader.system import System
from linkscope.loader.versioncheck import check_versions
from linkscope.model.document import text
from linkscope.model.inspect import Linkage, Problem, ProblemCode

_RUN_TIME_LOADS = {
    "nss": "name service modules (users, hosts)",
    "iconv": "character set converters (iconv)",
    "dlopen": "what it opens with dlopen",
}


def of_file(reader: Reader, image: Image, linkage: Linkage | None) -> list[Problem]:
    """What the file by itself shows: that it is packed, or static and yet opens libraries."""
    found: list[Problem] = []
    if image.false_ident:
        message = "e_ident names another class or byte order than the header has; the kernel goes by the header"
        found.append(_warning("malformed", "e_ident", message))
    if image.type in (c.ET_EXEC, c.ET_DYN) and not any(segment.type == c.PT_LOAD for segment in image.segments):
        message = "no PT_LOAD segment: nothing would be mapped, and the kernel refuses to start it"
        found.append(Problem(code="malformed", fatal=True, subject="PT_LOAD", needed_by=None, message=message))
    end = _end_of_segments(image)
    if end > reader.size and not holds_no_program(reader, image):
        message = f"truncated: it ends at byte {reader.size}, and what is to be mapped goes on to byte {end}"
        found.append(Problem(code="malformed", fatal=True, subject="PT_LOAD", needed_by=None, message=message))
    packer = packed(reader, image)
    if packer is not None:
        message = f"packed by {packer}: what is inside can only be seen by unpacking it"
        found.append(_warning("packed", packer, message))
    if linkage == "static":
        from linkscope.elf.runtimeloads import loads_at_run_time

        loads = loads_at_run_time(reader, image)
        if loads:
            what = " and ".join(_RUN_TIME_LOADS[load.how] for load in loads)
            evidence = ", ".join(load.evidence for load in loads)
            message = f"static, and yet it opens shared libraries when it runs: {what} (it holds {evidence})"
            found.append(_warning("loads-at-run-time", ", ".join(load.how for load in loads), message))
    return found


def _end_of_segments(image: Image) -> int:
    """Where the last byte of the file stands that would be mapped; 0 for what is no program or library.

    The kernel and the loaders map what is beyond the end all the same, and the program dies of SIGBUS there (mmap(2)).
    """
    if image.debug or image.type not in (c.ET_EXEC, c.ET_DYN):
        return 0
    return max((one.offset + one.filesz for one in image.segments if one.type == c.PT_LOAD), default=0)


def of_start(start: Start, program: Program, system: System) -> list[Problem]:
    """What the start runs into, in link-map order."""
    found = list(start.link_map.problems)
    for loaded in start.link_map.objects:
        finding = loaded.finding
        asker = loaded.needed_by[0].path if loaded.needed_by else None
        if loaded.image is None and loaded.role == "library":
            found.append(_absence(start, loaded, asker or program.shown))
        if finding is not None and finding.stale is not None and asker is not None:
            found.append(problems.stale_cache_entry(finding.stale, loaded.requested, asker, loaded.path))
    found += check_versions(system, start, program)
    found += check_relr(start)
    if start.rules is not None:
        found += by_luck(start.link_map, start.rules)
    return found


def _absence(start: Start, loaded: Loaded, asker: str) -> Problem:
    refusal = loaded.refusal
    if refusal is None:
        from linkscope.loader.remedies.hints import hints_for_missing

        return problems.missing_library(loaded.requested, asker, hints_for_missing(start, loaded))
    if refusal.path is None:
        return problems.refused_name(loaded.requested, asker, refusal)
    return problems.bad_candidate(refusal.path, loaded.requested, asker, refusal.reason)


def of_cross_check(location: str, image: Image) -> list[Problem]:
    """Each fact on which the three readers of `--cross-check` disagree; the first one says what that means."""
    from linkscope.elf.crosscheck import disagreements

    found = disagreements(location, image)
    meaning = "the file contradicts itself: it is damaged, or made to deceive; "
    return [
        _warning("disagreement", one.fact, text((meaning if one is found[0] else "") + one.sentence())) for one in found
    ]


def _warning(code: ProblemCode, subject: str, message: str) -> Problem:
    return Problem(code=code, fatal=False, subject=subject, needed_by=None, message=message)


def graver_first(found: list[Problem]) -> list[Problem]:
    """The fatal ones first; among them, and among the others, the order stays."""
    return sorted(found, key=lambda problem: not problem.fatal)
