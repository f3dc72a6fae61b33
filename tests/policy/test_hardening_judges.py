"""The verdicts of rules on protections: checksec and lief are the judges, over the programs of the machine.

Where a rule and a judge differ, a row of EXPLAINED says why, and something else, mostly readelf, shows that it is so.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lief
import pytest

from linkscope.analysis.check import check
from linkscope.analysis.inspect import inspect
from linkscope.model.check import Finding
from linkscope.model.inspect import File
from linkscope.policy.terms import Group, Policy
from tests.elf.samples import LIBRARIES, PROGRAMS, FixtureFile, RequireTool, elf_files, spread, tool
from tests.oracle import elfwriter

Ours = Literal["objects", "cannot tell", "passes"]
Judge = Callable[[str], dict[str, bool]]
POLICY = Policy(groups=(Group(paths=("**",), settings={"stripped": True}),))
MAPPED = ("executable", "shared-library", "interpreter")
FOLDERS = ("hello", "policy-hardening")


def _checksec(path: str) -> dict[str, bool]:
    """What checksec objects to, by our rules. It asks of programs alone whether they are PIE, as we do."""
    said = json.loads(tool("checksec", "--format=json", f"--file={path}"))[path]
    return {
        "not-pie": said["pie"] == "no",
        "no-relro": said["relro"] == "no",
        "partial-relro": said["relro"] == "partial",
        "executable-stack": said["nx"] == "no",
        "no-canary": said["canary"] == "no",
        "no-fortify": said["fortify_source"] == "no",
        "not-stripped": said["symbols"] == "yes",
    }


def _lief(path: str) -> dict[str, bool]:
    """What lief's model shows; it has words of its own for few of these."""
    lief.logging.disable()
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_overlay = False
    elf: Any = lief.ELF.parse(path, config)
    tags = {entry.tag.name: entry for entry in elf.dynamic_entries}
    flags, flags_1 = (tags[tag].value if tag in tags else 0 for tag in ("FLAGS", "FLAGS_1"))
    now = "BIND_NOW" in tags or bool(flags & 8) or bool(flags_1 & 1)
    relro = elf.has(lief.ELF.Segment.TYPE.GNU_RELRO)
    names = {str(symbol.name) for symbol in elf.symbols}
    loads = [segment for segment in elf.segments if segment.type == lief.ELF.Segment.TYPE.LOAD]
    return {
        "not-pie": elf.header.file_type == lief.ELF.Header.FILE_TYPE.EXEC,
        "no-relro": not relro,
        "partial-relro": relro and not now,
        "lazy-binding": not now,
        "executable-stack": not elf.has_nx,
        "no-canary": not names & {"__stack_chk_fail", "__stack_chk_guard"},
        "no-fortify": not any(re.fullmatch(r"__\w+_chk|__open(64|at|at64)?_2", name) for name in names),
        "no-branch-protection": not _marked_by_lief(elf),
        "no-build-id": not any(note.type == lief.ELF.Note.TYPE.GNU_BUILD_ID for note in elf.notes),
        "not-stripped": bool({".symtab", ".debug_info"} & {section.name for section in elf.sections}),
        "text-relocations": "TEXTREL" in tags or bool(flags & 4),
        "writable-code": any(int(segment.flags) & 3 == 3 and segment.virtual_size for segment in loads),
    }


def _marked_by_lief(elf: Any) -> bool:
    """Whether an x86 property note has both bits; programs of other machines are none of this machine's."""
    features = set()
    for note in elf.notes:
        for entry in getattr(note, "properties", ()):
            features |= {feature[1].name for feature in getattr(entry, "features", ())}
    return {"IBT", "SHSTK"} <= features


class Seen(NamedTuple):
    """A file on which a rule and a judge differ."""

    path: str
    file: File

    def readelf(self, options: str) -> str:
        """What readelf prints of it."""
        return tool("readelf", options, self.path)

    @property
    def starts_alone(self) -> bool:
        """Whether the kernel starts it without a loader."""
        return "INTERP" not in self.readelf("-lW")


class Explained(NamedTuple):
    """A difference that is right. theirs: whether the judge objects. shown: whether the reason holds of a file."""

    rule: str
    ours: Ours
    theirs: bool
    reason: str
    shown: Callable[[Seen], object]


def _is_go_without_c(seen: Seen) -> bool:
    return "libc." not in seen.readelf("-dW") and "go.buildinfo" in seen.readelf("-SW")


def _names_nothing(seen: Seen) -> bool:
    """No symbol that is undefined, and no table for debuggers."""
    symbols = seen.readelf("-sW")
    return ".symtab" not in symbols and not re.search(r" UND [^\s]", symbols)


def _holds_its_library(seen: Seen) -> bool:
    return seen.starts_alone and " __libc_start" in seen.readelf("-sW")


def _without_slots(seen: Seen) -> bool:
    return not re.search(r"_JUMP_SLO|_IRELATIV", seen.readelf("-rW"))


def _slots_inside(seen: Seen) -> bool:
    """No .got.plt that RELRO could leave out."""
    return seen.starts_alone and " .got.plt" not in seen.readelf("-SW")


def _is_static_without_glibc(seen: Seen) -> bool:
    """glibc's start code names itself in a note."""
    return seen.starts_alone and "NT_GNU_ABI_TAG" not in seen.readelf("-nW")


def _is_bound_by_nobody(seen: Seen) -> bool:
    """Static, or a loader."""
    return seen.starts_alone and "(NEEDED)" not in seen.readelf("-dW")


def _is_for_musl(seen: Seen) -> bool:
    return "ld-musl" in seen.readelf("-lW") or "[libc.so]" in seen.readelf("-dW") or seen.file.libc.family == "musl"


def _is_a_loader(seen: Seen) -> bool:
    return seen.starts_alone and "_rtld_global" in seen.readelf("-sW")


def _uses_nothing_to_check(seen: Seen) -> bool:
    """None of the undefined functions has a variant among those that this machine's C library offers."""
    offered = set(re.findall(r" __(\w+)_chk@", tool("readelf", "-W", "--dyn-syms", "/lib/x86_64-linux-gnu/libc.so.6")))
    return not offered & set(re.findall(r" UND (\w+)", seen.readelf("-sW")))


def _is_static(seen: Seen) -> bool:
    return seen.starts_alone


def _speaks_go_or_rust(seen: Seen) -> bool:
    return "go.buildinfo" in seen.readelf("-SW") or "rustc version" in seen.readelf("-p.comment")


def _checks_inside(seen: Seen) -> bool:
    return seen.starts_alone and bool(re.search(r" __\w+_chk\b", seen.readelf("-sW")))


def _has_32_bits(seen: Seen) -> bool:
    return "ELF32" in seen.readelf("-hW")


STRIPPED = "stripped of its symbols, a file that holds all its code cannot tell; the judges take that for a no"
NOBODY = "nobody reads PT_GNU_RELRO of a static program but glibc's start code"
EXPLAINED = (
    Explained("no-canary", "cannot tell", True, STRIPPED, _names_nothing),
    Explained("no-canary", "cannot tell", False, "a static file has the C library's own canaries", _holds_its_library),
    Explained("no-canary", "passes", True, "no C compiler had a part in it", _is_go_without_c),
    Explained("no-fortify", "cannot tell", True, "a static file's own calls look like the C library's", _is_static),
    Explained("no-fortify", "cannot tell", True, "memcpy is what compilers themselves call", _speaks_go_or_rust),
    Explained("no-fortify", "passes", True, "no function it uses has a variant that checks", _uses_nothing_to_check),
    Explained("no-fortify", "passes", True, "musl has no variants that check", _is_for_musl),
    Explained("no-fortify", "passes", True, "no C compiler had a part in it", _is_go_without_c),
    Explained("no-fortify", "passes", True, "a loader has its own functions and calls no library's", _is_a_loader),
    Explained("no-fortify", "passes", True, "checksec looks at dynamic symbols only", _checks_inside),
    Explained("no-relro", "passes", True, NOBODY, _is_static_without_glibc),
    Explained("partial-relro", "passes", True, NOBODY, _is_static_without_glibc),
    Explained("partial-relro", "passes", True, "there is no slot that could stay writable", _without_slots),
    Explained("partial-relro", "passes", True, "linked with -z now: its slots lie in the area", _slots_inside),
    Explained("no-branch-protection", "passes", True, "Linux has no shadow stack for 32-bit programs", _has_32_bits),
    Explained("lazy-binding", "passes", True, "nobody binds anything when it runs", _is_bound_by_nobody),
    Explained("lazy-binding", "passes", True, "there is no slot that could be filled later", _without_slots),
    Explained("lazy-binding", "passes", True, "musl's loader fills all slots at the start", _is_for_musl),
)


def _verdict(found: Iterable[Finding], rule: str) -> Ours:
    told = [finding for finding in found if finding.rule == rule]
    if not told:
        return "passes"
    return "cannot tell" if all("cannot be told" in finding.message for finding in told) else "objects"


def _differences(paths: Iterable[str], judge: Judge) -> tuple[list[str], set[Explained]]:
    """What no row explains, and the rows that explained something."""
    files = {file.path: file for file in inspect(list(paths)).files if file.kind in MAPPED}
    findings: Mapping[str, list[Finding]] = {path: [] for path in files}
    for finding in check(list(files), POLICY).findings:
        findings[finding.path].append(finding)
    with ThreadPoolExecutor(2) as threads:
        judged = list(threads.map(judge, files))
    unexplained: list[str] = []
    met: set[Explained] = set()
    for (path, file), theirs in zip(files.items(), judged, strict=True):
        for rule, objects in theirs.items():
            ours = _verdict(findings[path], rule)
            if (ours == "objects") == objects and ours != "cannot tell":
                continue
            rows = [row for row in EXPLAINED if row[:3] == (rule, ours, objects) and row.shown(Seen(path, file))]
            met.update(rows)
            if not rows:
                unexplained.append(f"{path}: {rule}: we: {ours}, {judge.__name__} objects: {objects}")
    return unexplained, met


def test_fixtures_are_judged_as_the_judges_do_and_each_reason_is_met(
    require_tool: RequireTool, fixtures_dir: Path, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    require_tool("checksec")
    folders = [os.fspath(fixtures_dir / folder) for folder in FOLDERS]
    paths = [*elf_files(*folders), require_tool("/lib64/ld-linux-x86-64.so.2")]
    unexplained, met = _differences(paths, _checksec)
    of_32_bits = elfwriter.shared_object(tmp_path / "made", machine=3, elf_class=32)
    others, more = _differences([*paths, os.fspath(of_32_bits)], _lief)
    assert unexplained + others == []
    for name in ("hello/hello-go", "hello/hello-rust", "hello/hello-musl-static", "policy-hardening/static-now"):
        fixture_file(name)
    rare = [row.reason for row in set(EXPLAINED) - met - more]
    assert rare == []


def test_programs_of_the_machine_are_judged_as_checksec_does(require_tool: RequireTool) -> None:
    """Some dozens: it takes checksec a tenth of a second for each."""
    require_tool("checksec")
    assert _differences(spread(elf_files(*PROGRAMS), 30), _checksec)[0] == []


@pytest.mark.exhaustive
def test_every_program_of_the_machine_is_judged_as_checksec_does(require_tool: RequireTool) -> None:
    require_tool("checksec")
    assert _differences(elf_files(*PROGRAMS), _checksec)[0] == []


def test_programs_of_the_machine_are_judged_as_lief_does() -> None:
    assert _differences(spread(elf_files(*PROGRAMS), 60), _lief)[0] == []


@pytest.mark.exhaustive
def test_every_file_of_the_machine_is_judged_as_lief_does() -> None:
    assert _differences(elf_files(*PROGRAMS, *LIBRARIES), _lief)[0] == []
