"""Whole systems: every dynamic file of a machine or a root, LinkScope's answer beside its own loader's."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from linkscope.model.inspect import File
from tests.conformance.peers import Answer, Peer
from tests.loader.agreement import disagreement_with_trace
from tests.loader.musl_agreement import disagreement_with_list
from tests.loader.under_musl import Listed
from tests.oracle import files, roots, trace
from tests.oracle.answers import Trace
from tests.oracle.forest import MUSL_X86_64
from tests.oracle.trace import Question

# In a root that is not merged, the last four are folders of their own; elsewhere they lead to the others.
FOLDERS: Final = ("/usr/bin", "/usr/sbin", "/usr/lib", "/bin", "/sbin", "/lib", "/lib64")
ROOTS: Final = ("debian:11", "debian:12", "debian:13", "debian:12/arm64")
_PROJECT = Path(__file__).resolve().parents[2]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a system that were compared, and of each on which the two disagree, what differs.

    left_out: of each file that the loader cannot be asked about, the reason. traces: glibc's answers.
    """

    files: Sequence[str]
    differences: Mapping[str, str]
    left_out: Mapping[str, str] = {}
    traces: Mapping[str, Trace] = {}


def machine() -> Comparison:
    """Every executable and library of this machine."""
    return _compared(None, Question(cwd="/"))


def root(name: str, one_in: int = 1) -> Comparison:
    """The files of a root (a key of `roots.RELEASES`), asked of its own loader in a chroot; one in so many of them."""
    return _compared(os.fspath(roots.root(name)), roots.question(name), one_in)


def musl_fixtures(build: Path) -> Comparison:
    """The fixtures that ask for musl's loader, in the folder where they are built."""
    question = Question(loader=MUSL_X86_64, cwd="/")
    below = files.dynamic_files("/", [f"{build}/hello", f"{build}/chain-musl"])
    paths = [path for path, facts in below if facts.interp == MUSL_X86_64]
    listed = {path: trace.musl_list(path, question) for path in paths}
    return Comparison(files=paths, differences=_differences(listed, predictions(paths), disagreement_with_list))


def under_musl(compared: Iterable[tuple[str, Listed, Listed]]) -> Comparison:
    """Programs of a glibc system that were given to musl's loader: (path, what is predicted, what it lists)."""
    each = list(compared)
    differences = {path: f"predicted {mine}, listed {listed}" for path, mine, listed in each if mine != listed}
    return Comparison(files=[path for path, _, _ in each], differences=differences)


def _compared(base: str | None, question: Question, one_in: int = 1) -> Comparison:
    found = [path for path, _ in files.dynamic_files(base or "/", FOLDERS)][::one_in]
    left_out = {path: str(reason) for path in found if (reason := trace.refusal(path, question)) is not None}
    asked = [path for path in found if path not in left_out]
    traces = dict(zip(asked, trace.trace_all(asked, question), strict=True))
    differences = _differences(traces, predictions(asked, base), _difference_from_trace)
    return Comparison(files=asked, differences=differences, left_out=left_out, traces=traces)


def predictions(paths: Sequence[str], base: str | None = None) -> dict[str, File]:
    """LinkScope's answers about files, as one call of the command gives them.

    Not in secure execution: a setuid file is given to the loader as its argument, and has no privileges then.
    """
    command = [sys.executable, "-m", "linkscope", "inspect", "--format", "jsonl", "--clean-env", "--secure", "no"]
    with tempfile.NamedTemporaryFile() as names:
        names.write(b"".join(os.fsencode(path) + b"\0" for path in paths))
        names.flush()
        command += ["--cwd", "/", "--null", "--files-from", names.name, *(["--root", base] if base else [])]
        done = subprocess.run(command, capture_output=True, cwd=_PROJECT)
    assert not done.stderr, done.stderr
    decoder = msgspec.json.Decoder(File)
    answers = map(decoder.decode, done.stdout.splitlines())
    return dict(zip(paths, answers, strict=True))


def _differences(
    traces: Mapping[str, Trace], predicted: Mapping[str, File], difference: Callable[[File, Trace], str | None]
) -> dict[str, str]:
    found = ((path, difference(predicted[path], answer)) for path, answer in traces.items())
    return {path: text for path, text in found if text is not None}


def _difference_from_trace(file: File, answer: Trace) -> str | None:
    """What differs from the loader's trace."""
    if file.kind == "debug":  # its segments have no bytes, so that the loader finds no dynamic section in them
        refused = (answer.fatal or "").endswith("object file has no dynamic section")
        return None if refused and not file.closure else f"a debug file, and the loader says {answer}"
    mapped = [entry.path for entry in file.closure]
    if answer.static and not set(mapped) <= set(files.GLIBC_LOADERS.values()):
        return f"predicted {mapped}, and it needs nothing"
    return disagreement_with_trace(file, answer, ())


def for_everyone(compared: Comparison) -> dict[str, Trace]:
    """The loader's answers about those files of this machine that other tools are asked about as well.

    Not separate debug files, which it refuses, nor files that would gain privileges: some versions of ldd start those.
    """
    answers = compared.traces.items()
    return {path: one for path, one in answers if one.fatal is None and not files.gains_privileges(path)}


def errors(peer: Peer, compared: Comparison) -> list[str]:
    """The files of this machine on which another tool errs: it names other files, or calls other names missing."""
    expected = for_everyone(compared)
    said = peer.of_machine(list(expected))
    return [path for path, answer in expected.items() if not _agrees(answer, said[path])]


def _agrees(expected: Trace, answer: Answer) -> bool:
    loader = os.path.realpath(files.GLIBC_LOADERS[64, 62])
    mapped = {os.path.realpath(path) for path in expected.paths} - {loader}
    named = {os.path.realpath(path) for path in answer.files} - {loader}
    return mapped == named and set(expected.missing) == answer.missing
