"""Files that are really started in real roots, and what `check` and `targets` say of the same files there.

Nothing is put into a root but a folder with a name of its own, which is gone at the end.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from linkscope.analysis.check import check
from linkscope.analysis.request import Assumptions
from linkscope.analysis.targets import targets
from linkscope.model.targets import TargetFile
from linkscope.policy.terms import Group, Policy
from tests.oracle import roots, runner, trace
from tests.oracle.answers import parse
from tests.oracle.runner import Outcome

_WORD = b"started\n"  # which fixtures/src/floors/program.c prints
_NOT_LOADED = 127  # with which both loaders end, glibc's with 1 where a version is missing
# What a loader looks at; the rest of a large root is left out of its copy.
_LOADED = ("etc", "lib", "lib64", "usr/lib/x86_64-linux-gnu", "usr/lib64")


class Sample(msgspec.Struct, frozen=True):
    """A file to start. name: below `fixtures/build`, or `debian:13/minimal:/usr/bin/bash`: a program of another root.

    arguments: with which it ends at once, having done nothing.
    """

    name: str
    arguments: tuple[str, ...] = ()

    @property
    def foreign(self) -> bool:
        """Whether it comes from a root."""
        return ":" in self.name

    @property
    def of_floors(self) -> bool:
        """Whether it is one of fixtures/floors.mk."""
        return self.name.startswith("floors/")

    @property
    def label(self) -> str:
        """Its name in the ids of tests."""
        return self.name.removeprefix("floors/")

    @property
    def place(self) -> str:
        """Where it lies in the folder that is put into a root."""
        return self.name.replace(":", "-")


class Start(msgspec.Struct, frozen=True):
    """Whether a sample was started, and what was said."""

    started: bool
    said: str


class System:
    """One root with samples in it. name: a key of `roots.SMALL`, or of `roots.RELEASES`, of which a part is copied.

    samples: by name, each with the file of this machine.
    """

    def __init__(self, name: str, samples: Mapping[Sample, Path], holding: contextlib.ExitStack) -> None:
        self.name = name
        self.samples = samples
        self._question = roots.question(name)
        self.root = Path(self._question.root or "/")
        if name not in roots.SMALL:
            self.root = holding.enter_context(_loaded_part(self.root))
        self._folder = Path(holding.enter_context(tempfile.TemporaryDirectory(prefix="started-", dir=self.root)))
        self._folder.chmod(0o755)
        brought = {folder for path in samples.values() for folder in path.parent.glob("brought")}
        for sample, path in samples.items():
            self._put(path, sample.place)
        for folder in brought:
            for library in folder.iterdir():
                self._put(library, f"floors/brought/{library.name}")

    def _put(self, path: Path, place: str) -> None:
        target = self._folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)

    def inside(self, sample: Sample) -> str:
        """The path of a sample as seen in the root."""
        return f"/{self._folder.name}/{sample.place}"

    @cached_property
    def starts(self) -> Mapping[Sample, Start]:
        """What comes of starting each sample."""
        return self._started(list(self.samples))

    def emulated(self, samples: Sequence[Sample], emulator: Sequence[str]) -> Mapping[Sample, Start]:
        """What comes of starting samples by an emulator, a file of this machine and its arguments."""
        self._put(Path(emulator[0]), os.path.basename(emulator[0]))
        return self._started(samples, (f"/{self._folder.name}/{os.path.basename(emulator[0])}", *emulator[1:]))

    def _started(self, samples: Sequence[Sample], before: tuple[str, ...] = ()) -> Mapping[Sample, Start]:
        question = msgspec.structs.replace(self._question, root=os.fspath(self.root))
        commands = [(*before, self.inside(sample), *sample.arguments) for sample in samples]
        outcomes = runner.run_all([trace.command(command, question, {"LC_ALL": "C"}) for command in commands])
        return {sample: self._start(sample, one) for sample, one in zip(samples, outcomes, strict=True)}

    def _start(self, sample: Sample, outcome: Outcome) -> Start:
        """A program of another root may end by itself with whatever status; a fixture prints its word, or ends well."""
        answer = parse(outcome, self.inside(sample))
        refused = answer.fatal is not None or any(one.version and not one.weak for one in answer.versions)
        started = not refused and outcome.status not in (None, _NOT_LOADED)
        if not sample.foreign:
            started = outcome.status == 0 and outcome.stdout == (_WORD if sample.of_floors else outcome.stdout)
        return Start(started, f"{outcome.status} {answer.fatal or os.fsdecode(outcome.stderr)}")

    @cached_property
    def errors(self) -> Mapping[Sample, list[str]]:
        """What `check` says of each sample in this root that is an error, one line each."""
        return self.errors_on(list(self.samples), None)

    def errors_on(self, samples: Sequence[Sample], cpu: str | None) -> Mapping[Sample, list[str]]:
        """The same on a processor of another level."""
        places = {self.inside(sample): sample for sample in samples}
        return _errors(places, Policy(), Assumptions(root=os.fspath(self.root), cpu=cpu))


class Targets:
    """What is said of samples by what is known of targets, from where they lie on this machine. names: of one system,
    the oldest first.
    """

    def __init__(self, names: Sequence[str], samples: Mapping[Sample, Path]) -> None:
        self._names = names
        self._places = {os.fspath(path): sample for sample, path in samples.items()}
        self._errors: dict[str, Mapping[Sample, list[str]]] = {}

    def errors(self, name: str) -> Mapping[Sample, list[str]]:
        """What `check` says of each sample for this target that is an error, one line each."""
        if name not in self._errors:
            group = Group(paths=("**",), settings={"target": (name,)})
            self._errors[name] = _errors(self._places, Policy(groups=(group,)), Assumptions())
        return self._errors[name]

    @cached_property
    def told(self) -> Mapping[Sample, TargetFile]:
        """What `targets` says of each sample."""
        document = targets(list(self._places), self._names)
        assert not document.errors
        return {self._places[file.path]: file for file in document.files}

    def verdict(self, name: str, sample: Sample) -> bool | None:
        """Whether the sample starts on a target, as `targets` says; None where it says that it cannot be told."""
        return next(one.starts for one in self.told[sample].verdicts if one.target == name)


def _errors(places: Mapping[str, Sample], policy: Policy, assumptions: Assumptions) -> Mapping[Sample, list[str]]:
    document = check(list(places), policy, assumptions)
    assert not document.errors
    found: dict[Sample, list[str]] = {sample: [] for sample in places.values()}
    for finding in document.findings:
        if finding.level == "error":
            found[places[finding.path]].append(f"{finding.rule}: {finding.message}")
    return found


@contextlib.contextmanager
def _loaded_part(root: Path) -> Iterator[Path]:
    """A copy of what a loader looks at in a root, by hard links beside it."""
    with tempfile.TemporaryDirectory(prefix="started-", dir=root.parent) as name:
        for part in _LOADED:
            if (root / part).is_symlink():
                shutil.copy(root / part, Path(name, part), follow_symlinks=False)
            elif (root / part).is_dir():
                shutil.copytree(root / part, Path(name, part), symlinks=True, copy_function=os.link)
        yield Path(name)


def located(samples: Sequence[Sample], fixtures: Path) -> dict[Sample, Path]:
    """Where the samples lie on this machine; those that were not built here are left out.

    Raises Unavailable where a root that one comes from cannot be made.
    """
    found: dict[Sample, Path] = {}
    for sample in samples:
        root, separator, path = sample.name.rpartition(":")
        where = roots.root(root) / path.lstrip("/") if separator else fixtures / sample.name
        if where.exists():
            found[sample] = where.resolve() if separator else where
    return found
