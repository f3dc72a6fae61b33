"""Files of many floors, started in real roots: `check --root`, `check --target` and `targets` say what happens there.

The judges are the loaders of Debian 11, 12 and 13, as they are first installed, and those of three releases of musl.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from linkscope.policy.targets.catalogue import target
from tests.cli.conftest import COMMAND, environment
from tests.oracle import roots
from tests.oracle.availability import Unavailable
from tests.oracle.files import dynamic_files, facts, gains_privileges
from tests.policy import real_samples
from tests.policy.real_samples import ARM64, BUILT, BUILT_ARM64, BUILT_MUSL, DEBIAN, LARGE, MUSL
from tests.policy.real_starts import Sample, System, Targets, located

GLIBC = {11: (2, 31), 12: (2, 36), 13: (2, 41)}
QEMU_X86_64 = "qemu-x86_64-static"
# Processors as qemu has them, by the level that they have.
PROCESSORS = {"baseline": "qemu64", "x86-64-v2": "Nehalem", "x86-64-v3": "Haswell"}
_SAMPLES = dict.fromkeys(DEBIAN, BUILT) | dict.fromkeys(ARM64, BUILT_ARM64) | dict.fromkeys(MUSL, BUILT_MUSL)
_CASES = [(root, sample) for root, samples in _SAMPLES.items() for sample in samples]
_IDS = [f"{root}-{sample.label}" for root, sample in _CASES]


class Judges:
    """Each root with its samples, and the targets, made when they are first asked for."""

    def __init__(self, fixtures: Path, holding: contextlib.ExitStack) -> None:
        self._fixtures = fixtures
        self._holding = holding
        self._systems: dict[tuple[str, str], System] = {}
        self._targets: dict[tuple[str, str], Targets] = {}

    def system(self, root: str, samples: Sequence[Sample]) -> System:
        """The root with these samples in it; only one list of samples begins with the same."""
        key = root, samples[0].name
        if key not in self._systems:
            self._systems[key] = System(root, located(samples, self._fixtures), self._holding)
        return self._systems[key]

    def targets(self, names: Sequence[str], samples: Sequence[Sample]) -> Targets:
        """What is known of these targets, the oldest first."""
        key = names[0], samples[0].name
        if key not in self._targets:
            self._targets[key] = Targets(names, located(samples, self._fixtures))
        return self._targets[key]


@pytest.fixture(scope="module")
def judges(fixtures_dir: Path) -> Iterator[Judges]:
    with contextlib.ExitStack() as holding:
        yield Judges(fixtures_dir, holding)


def _family(root: str) -> Mapping[str, str]:
    return next(family for family in (DEBIAN, ARM64, MUSL) if root in family)


def _asked(judges: Judges, root: str, sample: Sample) -> System:
    system = judges.system(root, _SAMPLES[root])
    if sample not in system.samples:
        raise Unavailable(f"the fixture {sample.name} was left out on this machine (`make -C fixtures` says why)")
    return system


def _differs(root: str, sample: Sample) -> bool:
    """Whether something else is known to be said for the target."""
    return any(sample.label in row.samples.split() and root in row.roots for row in real_samples.OF_TARGETS)


@pytest.mark.parametrize(("root", "sample"), _CASES, ids=_IDS)
def test_check_in_a_root_finds_an_error_where_the_loader_refuses(judges: Judges, root: str, sample: Sample) -> None:
    system = _asked(judges, root, sample)
    start, errors = system.starts[sample], system.errors[sample]
    assert start.started == (not errors), (start, errors)


@pytest.mark.parametrize(("root", "sample"), _CASES, ids=_IDS)
def test_check_for_a_target_finds_an_error_where_a_loader_refuses(judges: Judges, root: str, sample: Sample) -> None:
    start = _asked(judges, root, sample).starts[sample]
    family = _family(root)
    errors = judges.targets(list(family.values()), _SAMPLES[root]).errors(family[root])[sample]
    assert (start.started != (not errors)) == _differs(root, sample), (start, errors)


@pytest.mark.parametrize(("root", "sample"), _CASES, ids=_IDS)
def test_targets_tells_of_a_file_what_check_does(judges: Judges, root: str, sample: Sample) -> None:
    _asked(judges, root, sample)
    family = _family(root)
    said = judges.targets(list(family.values()), _SAMPLES[root])
    doubtful = sample.label in real_samples.DOUBTFUL
    assert said.verdict(family[root], sample) is (None if doubtful else not said.errors(family[root])[sample])


@pytest.mark.parametrize("family", [DEBIAN, ARM64, MUSL], ids=["debian", "debian-arm64", "alpine"])
def test_targets_names_the_oldest_release_on_which_a_file_starts(judges: Judges, family: dict[str, str]) -> None:
    samples = _SAMPLES[next(iter(family))]
    systems = {release: judges.system(root, samples) for root, release in family.items()}
    said = judges.targets(list(family.values()), samples)
    known = {name for row in real_samples.OF_TARGETS for name in row.samples.split()}
    for sample, told in said.told.items():
        if sample.label not in known and sample.label not in real_samples.DOUBTFUL:
            started = [release.partition(":") for release, one in systems.items() if one.starts[sample].started]
            assert list(told.oldest.values()) == [started[0][2] if started else None], sample.label


@pytest.mark.parametrize("root", [*DEBIAN, *ARM64])
def test_each_release_starts_what_asks_for_its_glibc_or_an_older_one(judges: Judges, root: str) -> None:
    """The harness itself: were every start to fail, the rest might hold for nothing."""
    starts = judges.system(root, _SAMPLES[root]).starts
    floors = {sample: sample.label.rpartition("glibc-")[2] for sample in starts if "glibc-2." in sample.label}
    numbers = {sample: tuple(map(int, floor.split("."))) for sample, floor in floors.items()}
    own = GLIBC[int(root[len("debian:") :][:2])]
    assert len(numbers) >= 7
    assert {sample: starts[sample].started for sample in numbers} == {s: n <= own for s, n in numbers.items()}


@pytest.mark.parametrize("root", MUSL)
def test_each_musl_starts_what_it_has_the_functions_for(judges: Judges, root: str) -> None:
    starts = judges.system(root, BUILT_MUSL).starts
    started = {sample.label for sample, start in starts.items() if start.started and "musl-1" in sample.label}
    own = root.partition(":")[2]
    assert started == {f"musl-{release}" for release in ("1.2.2", "1.2.3", "1.2.4", "1.2.5") if release <= own}


@pytest.mark.parametrize(("root", "name"), MUSL.items())
def test_an_alpine_has_the_musl_of_the_root_that_stands_for_it(root: str, name: str) -> None:
    assert target(name).version == root.partition(":")[2]


@pytest.mark.parametrize("root", [*DEBIAN, *ARM64])
def test_programs_of_every_release_are_judged_as_the_loader_of_each_does(judges: Judges, root: str) -> None:
    """In a minimal install: by check in the root, by check for the target, and by targets."""
    samples = real_samples.PROGRAMS_ARM64 if root in ARM64 else real_samples.PROGRAMS
    system = judges.system(root, samples)
    family = _family(root)
    said = judges.targets(list(family.values()), samples)
    assert any(start.started for start in system.starts.values())
    for sample, start in system.starts.items():
        expected = start.started != _differs(root, sample)
        errors = said.errors(family[root])[sample]
        assert start.started == (not system.errors[sample]), (sample, start, system.errors[sample])
        assert expected == (not errors), (sample, start, errors)
        assert said.verdict(family[root], sample) is expected, (sample, start)


@pytest.mark.parametrize("root", LARGE)
def test_programs_of_every_release_are_judged_where_their_libraries_are_installed(judges: Judges, root: str) -> None:
    system = judges.system(root, real_samples.PROGRAMS_LARGE)
    assert any(start.started for start in system.starts.values())
    for sample, start in system.starts.items():
        assert start.started == (not system.errors[sample]), (sample, start, system.errors[sample])


@pytest.mark.parametrize("cpu", PROCESSORS)
@pytest.mark.parametrize("root", DEBIAN)
def test_check_knows_on_which_processors_a_loader_refuses(
    judges: Judges, root: str, cpu: str, require_tool: Callable[[str], str]
) -> None:
    system = judges.system(root, BUILT)
    emulator = (require_tool(QEMU_X86_64), "-cpu", PROCESSORS[cpu])
    levels = [sample for sample in system.samples if sample.label.startswith("isa-")]
    assert levels
    starts = system.emulated(levels, emulator)
    errors = system.errors_on(levels, cpu)
    for sample in levels:
        assert starts[sample].started == (not errors[sample]), (sample, starts[sample], errors[sample])


@pytest.mark.parametrize("label", ["glibc-2.36", "brings-deeper-2.36"])
@pytest.mark.parametrize("root", DEBIAN)
def test_the_commands_exit_code_says_whether_the_program_starts(judges: Judges, root: str, label: str) -> None:
    sample = Sample(f"floors/{label}")
    system = _asked(judges, root, sample)
    expected = 0 if system.starts[sample].started else 1
    file = system.samples[sample]
    for asked in (("--root", str(system.root), system.inside(sample)), ("--target", DEBIAN[root], str(file))):
        done = subprocess.run([*COMMAND, "check", *asked], env=environment(), capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (expected, b""), (asked, done.stdout)


@pytest.mark.exhaustive
@pytest.mark.parametrize("root", DEBIAN)
@pytest.mark.parametrize("origin", ["debian:11", "debian:13"])
def test_every_program_of_a_root_is_judged_alike_in_a_root_and_for_a_target(
    judges: Judges, origin: str, root: str
) -> None:
    """None of them is started: the root is the judge, whose answers the other tests hold against the loader's."""
    folder = roots.root(origin)
    there = [path for path, found in dynamic_files(folder, ["/usr/bin", "/usr/sbin"]) if found.interp]
    samples = [Sample(f"{origin}:{path}") for path in there if not gains_privileges(f"{folder}{path}")]
    system = judges.system(root, samples)
    said = judges.targets([DEBIAN[root]], samples)
    assert len(system.samples) > 200
    for sample, errors in system.errors.items():
        assert (not errors) == (not said.errors(DEBIAN[root])[sample]), (sample, errors)
        assert said.verdict(DEBIAN[root], sample) is (not errors), (sample, errors)


def test_every_program_of_floors_is_started(fixtures_dir: Path) -> None:
    for samples, folder in (([*BUILT, *BUILT_MUSL], "floors"), (BUILT_ARM64, "floors/arm64")):
        there = {file for file in (fixtures_dir / folder).glob("*") if file.is_file()}
        programs = {f"{folder}/{file.name}" for file in there if (found := facts(file)) and found.interp}
        assert programs <= {sample.name for sample in samples}
