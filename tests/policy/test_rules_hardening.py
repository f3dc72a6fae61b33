"""Rules on protections, by what the protections do: kernel, loader and the programs themselves are the judges."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from linkscope.analysis.check import check
from linkscope.model.check import Finding
from linkscope.policy.terms import Group, Policy, RuleLevel
from tests.elf.conftest import Unpacked
from tests.elf.samples import LIBRARIES, FixtureFile, RequireTool, elf_files, readelf, spread, tool
from tests.oracle import elfwriter
from tests.oracle.availability import Unavailable
from tests.policy.kernelstart import mappings

PROTECTIONS = (
    "executable-stack",
    "lazy-binding",
    "no-branch-protection",
    "no-canary",
    "no-fortify",
    "no-relro",
    "not-pie",
    "partial-relro",
    "text-relocations",
    "writable-code",
)
LONG = "a" * 300  # more than the buffer of src/hardening/copy.c holds


def _findings(path: str | Path, levels: dict[str, RuleLevel] | None = None) -> list[Finding]:
    document = check([os.fspath(path)], Policy(groups=(Group(paths=("**",), levels=levels or {}),)))
    assert not document.errors
    return [finding for finding in document.findings if finding.rule in PROTECTIONS]


def _rules(path: str | Path) -> list[str]:
    return [finding.rule for finding in _findings(path)]


@pytest.mark.parametrize("compiler", ["cc", "c++", "musl-gcc"])
@pytest.mark.parametrize("option", [None, "-static"], ids=["plain", "static"])
def test_what_a_plain_compiler_makes_passes(
    compiler: str, option: str | None, require_tool: RequireTool, tmp_path: Path
) -> None:
    """No error, and no warning either but that a static program is no PIE."""
    (tmp_path / "source.c").write_text('#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n')
    command: list[str | Path] = [require_tool(compiler), tmp_path / "source.c", "-o", tmp_path / "made"]
    if subprocess.run([*command, *filter(None, [option])], capture_output=True).returncode:
        raise Unavailable(f"{compiler} {option} does not link here")
    document = check([os.fspath(tmp_path / "made")])
    graver = [finding.rule for finding in document.findings if finding.level != "note"]
    assert graver == ([] if "DYN" in tool("readelf", "-h", tmp_path / "made") else ["not-pie"])


@pytest.mark.parametrize("name", ["hello/hello-rust", "hello/hello-go-pie", "hello/hello-cpp"])
def test_programs_of_other_languages_have_no_more_than_notes(name: str, fixture_file: FixtureFile) -> None:
    assert {finding.level for finding in check([os.fspath(fixture_file(name))]).findings} <= {"note"}


# What a program says that was overrun, and the rule that must not object to such a one.
ALARMS = {"no-canary": "stack smashing detected", "no-fortify": "buffer overflow detected"}


@pytest.mark.parametrize(
    ("name", "alarm"),
    [
        ("hardening/none", None),
        ("hardening/canary", "no-canary"),
        ("hardening/fortify", "no-fortify"),
        ("hardening/static-none", None),
        ("hardening/static-canary", "no-canary"),
        ("policy-hardening/static-now", "no-fortify"),
        ("policy-hardening/static-now-stripped", "no-fortify"),
    ],
)
def test_what_notices_an_overrun_is_not_said_to_lack_it(
    name: str, alarm: str | None, fixture_file: FixtureFile
) -> None:
    """Each is overrun. Where a file cannot tell, it is neither said to have the check nor to lack it."""
    path = fixture_file(name)
    said = subprocess.run([path, LONG], capture_output=True, text=True, errors="replace").stderr
    assert [rule for rule, text in ALARMS.items() if text in said] == ([alarm] if alarm else [])
    told = {finding.rule: finding.message for finding in _findings(path)}
    if alarm is not None and alarm in told:
        assert "cannot be told" in told[alarm]
    static = "static" in name
    for rule in ALARMS:
        if alarm is None:
            assert ("cannot be told" in told[rule]) == static


def test_the_functions_that_are_not_checked_are_named(fixture_file: FixtureFile) -> None:
    """nm lists what is called; the C library of this machine says which of that has a variant that checks."""
    path = fixture_file("policy-hardening/libweak.so")
    called = set(re.findall(r" U (\w+)@", tool("nm", "-D", path)))
    offered = set(re.findall(r" __(\w+)_chk@", tool("nm", "-D", "/lib/x86_64-linux-gnu/libc.so.6")))
    (found,) = [one for one in _findings(path) if one.rule == "no-fortify"]
    assert found.evidence == [", ".join(sorted(called & offered))]
    assert called & offered


def test_a_program_that_is_no_pie_is_at_one_address_in_every_run(fixture_file: FixtureFile) -> None:
    if not int(Path("/proc/sys/kernel/randomize_va_space").read_text()):
        raise Unavailable("the kernel does not randomise addresses here")
    for name in ("dynamic-pie", "dynamic-nonpie", "static", "static-pie", "go", "go-pie", "rust"):
        path = fixture_file(f"hello/hello-{name}")
        first, second = (min(mappings(path)) for _ in range(2))
        assert (first == second) == ("not-pie" in _rules(path)), name


@pytest.mark.parametrize(
    "name", ["policy-hardening/omagic", "policy-hardening/wx-section", "hello/hello-static", "hardening/all"]
)
def test_writable_code_is_what_the_kernel_maps_so(name: str, fixture_file: FixtureFile) -> None:
    path = fixture_file(name)
    mapped = [permission for permissions in mappings(path).values() for permission in permissions]
    assert mapped
    assert any(permission.startswith("rwx") for permission in mapped) == ("writable-code" in _rules(path))


def test_text_relocations_are_in_the_functions_that_elfutils_names(
    require_tool: RequireTool, fixture_file: FixtureFile
) -> None:
    command, path = require_tool("eu-findtextrel"), fixture_file("policy-hardening/libtextrel.so")
    named = re.findall(r"function '(\w+)'", tool(command, path))
    (found,) = [one for one in _findings(path) if one.rule == "text-relocations"]
    assert found.evidence == ["TEXTREL", *(f"in {name}" for name in named)]
    assert len(named) == 2


def test_a_stripped_library_names_its_exported_functions(
    require_tool: RequireTool, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    stripped = tmp_path / "lib.so"
    subprocess.run([require_tool("strip"), "-o", stripped, fixture_file("policy-hardening/libtextrel.so")], check=True)
    (found,) = [one for one in _findings(stripped) if one.rule == "text-relocations"]
    assert found.evidence == ["TEXTREL", "in first", "in second"]


def test_no_library_of_the_machine_has_text_relocations_unseen() -> None:
    paths = spread(elf_files(*LIBRARIES), 200)
    dynamic = readelf("-dW", paths)
    judged = {path for path in paths if "TEXTREL" in dynamic[path]}
    found = {one.path for one in check(paths).findings if one.rule == "text-relocations"}
    assert found == judged


@pytest.mark.parametrize("name", ["hardening/relro-partial", "hardening/relro-full", "policy-hardening/no-plt"])
def test_lazy_binding_is_seen_by_the_loader(name: str, fixture_file: FixtureFile) -> None:
    """It binds puts after it has given control to the program (LD_DEBUG=bindings)."""
    path = fixture_file(name)
    said = subprocess.run([path], env={"LD_DEBUG": "bindings"}, capture_output=True, text=True).stderr
    _, handed_over, after = said.partition("transferring control")
    assert handed_over
    lazily = re.search(r"binding file \S+/hardening/\S+ .* symbol `puts'", after) is not None
    assert lazily == ("lazy-binding" in _rules(path))


def test_branch_protection_of_arm64_is_what_its_property_says(unpacked: Unpacked) -> None:
    """readelf judges, on Debian 13's glibc, which is built with BTI and PAC, and Debian 12's, which is not."""
    verdicts = set()
    for suite in ("bookworm", "trixie"):
        folder = unpacked("libc6", suite=suite, architecture="arm64")
        for path in spread(elf_files(os.fspath(folder)), 8):
            properties = tool("readelf", "-nW", path)
            absent = [name for name in ("BTI", "PAC") if name not in properties]
            found = [one for one in _findings(path) if one.rule == "no-branch-protection"]
            assert [name for name in ("BTI", "PAC") if any(name in one.message for one in found)] == absent, path
            verdicts.add(bool(found))
    assert verdicts == {True, False}


@pytest.mark.parametrize(("machine", "executable"), [(62, True), (3, True), (183, False), (243, False)])
def test_a_stack_that_nothing_is_said_of_is_the_machines(machine: int, executable: bool, tmp_path: Path) -> None:
    """glibc sysdeps/*/stackinfo.h, DEFAULT_STACK_PERMS."""
    path = elfwriter.shared_object(tmp_path / "made", machine=machine)
    data = path.read_bytes()
    header = (0x6474E551).to_bytes(4, "little")
    assert data.count(header) == 1
    path.write_bytes(data.replace(header, bytes(4)))
    told = [one.message for one in _findings(path) if one.rule == "executable-stack"]
    assert bool(told) == executable
    assert all("does not say" in message for message in told)


def test_of_a_packed_program_only_what_the_kernel_sees_is_said(
    unpacked: Unpacked, fixture_file: FixtureFile, tmp_path: Path
) -> None:
    """It has everything, and shows the stub alone: whether the rest is there cannot be told, at whatever level."""
    folder = os.fspath(unpacked("upx-ucl", suite="trixie"))
    upx = [f"{folder}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", f"{folder}/usr/lib/x86_64-linux-gnu"]
    packed = tmp_path / "packed"
    program = fixture_file("policy-hardening/static-pie-now")
    subprocess.run([*upx, f"{folder}/usr/bin/upx-ucl", "-qq", "-1", "-o", packed, program], check=True)
    found = _findings(packed, dict.fromkeys(PROTECTIONS, "error"))
    assert {finding.rule for finding in found} == {"no-branch-protection", "no-canary", "no-fortify", "no-relro"}
    assert {finding.level for finding in found} == {"note"}
    assert all("cannot be told" in finding.message and "UPX" in finding.message for finding in found)


def test_what_is_not_mapped_has_no_protection_to_lack(fixture_file: FixtureFile) -> None:
    for name in ("kinds/hello.o", "kinds/module.ko", "kinds/hello.debug"):
        assert _rules(fixture_file(name)) == []


def test_a_rule_that_is_named_counts_as_an_error(fixture_file: FixtureFile) -> None:
    levels: dict[str, RuleLevel] = dict.fromkeys(PROTECTIONS, "error")
    assert {finding.level for finding in _findings(fixture_file("hardening/none"), levels)} == {"error"}


SHOWS_ITS_MAPPINGS = """
#include <stdio.h>
int main(void)
{
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) fputs(line, stdout);
    return 0;
}
"""


@pytest.mark.parametrize(("compiler", "protects"), [("cc", True), ("musl-gcc", False)])
def test_relro_is_asked_of_a_static_program_where_its_c_library_acts_on_it(
    compiler: str, protects: bool, require_tool: RequireTool, tmp_path: Path
) -> None:
    """The kernel says what is writable once the program runs: with RELRO asked for, and without."""
    (tmp_path / "source.c").write_text(SHOWS_ITS_MAPPINGS)
    for option, relro in (("relro", True), ("norelro", False)):
        made = tmp_path / option
        flags = ["-static", "-fno-pie", "-no-pie", f"-Wl,-z,{option},-z,now"]
        if subprocess.run([require_tool(compiler), tmp_path / "source.c", "-o", made, *flags]).returncode:
            raise Unavailable(f"{compiler} does not link statically here")
        rows = [row.split() for row in tool(made).splitlines() if os.fspath(made) in row]
        area = re.search(r" \.(?:got|init_array) +\w+ +(\w+)", tool("readelf", "-SW", made))
        assert area
        at = int(area[1], 16)
        (permissions,) = [row[1] for row in rows if int(row[0].split("-")[0], 16) <= at < int(row[0].split("-")[1], 16)]
        assert permissions == ("r--p" if relro and protects else "rw-p")
        assert ("no-relro" in _rules(made)) == (protects and not relro)
