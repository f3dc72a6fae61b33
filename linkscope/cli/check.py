"""`linkscope check`: whether files are as a release has to be."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click
import msgspec

from linkscope.analysis.check import Acceptance, Outcome, check_each, needs_of, settled
from linkscope.analysis.request import Assumptions
from linkscope.cli import exit_codes, interrupts
from linkscope.cli.asking import asking
from linkscope.cli.completion import files
from linkscope.cli.help import Command, examples
from linkscope.cli.names import listed_in, not_empty
from linkscope.cli.options import assumptions, names_from
from linkscope.cli.output import Output, complain
from linkscope.cli.overwriting import refuse_losses
from linkscope.cli.progress import shown, waited_for
from linkscope.cli.reports import Reports, reports
from linkscope.model.check import CheckDocument, Checked
from linkscope.model.document import AnalysisError
from linkscope.model.meant import asked
from linkscope.policy import baseline, config
from linkscope.policy.evaluate import counted
from linkscope.policy.terms import Group, Policy
from linkscope.report.escape import escape, exact, quoted

_MOST_WORKERS = 8  # as for inspect
_MOST_GONE = 3  # entries of a baseline that are named when they are gone
_EXAMPLES = examples(
    "linkscope check dist/app --static",
    "linkscope check dist/ --glibc 2.28 --no-build-paths",
    "linkscope check dist/app --target debian:11 --target ubuntu:22.04",
    "linkscope check dist/ --output sarif=report.sarif --output junit=report.xml",
    "linkscope check dist/ --baseline accepted.json --write-baseline",
)


class Accepting(msgspec.Struct, frozen=True, kw_only=True):
    """policy_file: None where there is none. baseline: its file, or None. write: today's findings become it."""

    policy_file: str | None
    baseline: str | None
    write: bool

    @property
    def folder(self) -> str:
        """That to which paths are relative in fingerprints: of the baseline, else of the policy, else this one."""
        return baseline.folder_of(self.baseline or self.policy_file or config.NAME)


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("paths", metavar="PATH...", nargs=-1, shell_complete=files)
@asking
@click.option("--symbols", is_flag=True, help="Bind every symbol, for the rules about symbols.")
@click.option("--unpack", is_flag=True, help="For what may be inside: look into what was packed, too, by UPX.")
@click.option(
    "--policy",
    "policy_file",
    metavar="FILE",
    callback=not_empty,
    shell_complete=files,
    help=f"What to ask for (TOML); {config.NAME} where that lies in the working directory.",
)
@click.option("--no-policy", is_flag=True, help=f"Pass over the {config.NAME} of the working directory.")
@click.option(
    "--baseline",
    "baseline_file",
    metavar="FILE",
    callback=not_empty,
    shell_complete=files,
    help="Accept the findings that FILE lists, so that only new ones count.",
)
@click.option("--write-baseline", is_flag=True, help="Make that FILE, out of all that is found now.")
@reports
@names_from
@assumptions
@interrupts.tidied_up()
def command(
    paths: tuple[str, ...],
    asked: Group | None,
    symbols: bool,
    unpack: bool,
    policy_file: str | None,
    no_policy: bool,
    baseline_file: str | None,
    write_baseline: bool,
    reports: Reports,
    files_from: str | None,
    null: bool,
    assumptions: Assumptions,
) -> int:
    """Check files, all files below folders, and packages, and tell what is not as it should be.

    Without a policy, an error is what keeps a program from starting, and what an option asks for; everything else is a
    warning or a note. Options come after the policy's sections and refine them. `linkscope explain` tells of the rules,
    `linkscope policy init` writes a policy.

    No variable of the environment counts, unless an option says otherwise. With --root, --target or --symbols every
    symbol is bound, which takes longer. With --unpack, what is asked about the inside of a packed file (forbid,
    embedded) is asked about what was packed. Fingerprints and baselines have paths relative to the folder of the
    baseline, else of the policy, so that they are the same in every checkout.

    Exit code: 0 if nothing is wrong, 1 if there is an error that is neither waived nor in the baseline, 2 if something
    could not be analysed, or the policy, the baseline or the command line is wrong.
    """
    chosen = [*paths, *(listed_in(files_from, b"\0" if null else b"\n") if files_from is not None else ())]
    if not paths and files_from is None:
        raise click.UsageError("Name at least one file, folder or package, or give a list with --files-from.")
    if write_baseline and baseline_file is None:
        raise click.UsageError("--write-baseline needs --baseline FILE, the file to write.")
    if no_policy and policy_file is not None:
        raise click.UsageError("--policy and --no-policy leave nothing together.")
    accepting = Accepting(
        policy_file=None if no_policy else policy_file or _policy_here(), baseline=baseline_file, write=write_baseline
    )
    try:
        policy = _policy(accepting.policy_file, asked)
    except config.PolicyInvalid as invalid:
        for line in invalid.lines:
            complain(line)
        return invalid.exit_code
    _refuse_losses(accepting, reports, [*chosen, *filter(None, (files_from,))], assumptions.root)
    reports.refuse_what_cannot_be_written()
    return _Run(policy, accepting, reports, assumptions, symbols=symbols, unpack=unpack).exit_code(chosen)


def _refuse_losses(accepting: Accepting, reports: Reports, read: list[str], root: str) -> None:
    """Raises WouldBeLost where a report or the new baseline has the name of something else that this run is about."""
    written = [name for _, name in reports.written]
    if accepting.baseline is not None:
        if any(os.path.abspath(name) == os.path.abspath(accepting.baseline) for name in written):
            raise click.UsageError("--output and --baseline: one file cannot be both.")
        if accepting.write:
            written.append(accepting.baseline)
        else:
            read = [*read, accepting.baseline]
    refuse_losses(written, [*read, *filter(None, (accepting.policy_file,))], root)


def _policy_here() -> str | None:
    """The policy of the working directory, whose use is said."""
    if not os.path.exists(config.NAME):
        return None
    complain(f"goes by {config.NAME}, which lies here (--no-policy: without it)")
    return config.NAME


def _policy(file: str | None, asked: Group | None) -> Policy:
    policy = Policy() if file is None else config.read(file)
    return policy if asked is None else msgspec.structs.replace(policy, groups=(*policy.groups, asked))


class _Run:
    """One call of the command."""

    def __init__(
        self,
        policy: Policy,
        accepting: Accepting,
        reports: Reports,
        assumptions: Assumptions,
        *,
        symbols: bool,
        unpack: bool,
    ) -> None:
        self._policy = policy
        self._accepting = accepting
        self._reports = reports
        self._assumptions = assumptions
        self._needs = needs_of(policy, assumptions, symbols=symbols)
        self._unpack = unpack
        self._accepted = baseline.Accepted()
        if accepting.baseline is not None and not accepting.write:
            self._accepted = baseline.read(accepting.baseline)

    def exit_code(self, paths: list[str]) -> int:
        """Checks PATHS and writes the reports."""
        output = Output()
        workers = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
        results = check_each(paths, self._policy, self._assumptions, self._needs, workers, unpack=self._unpack)
        # Below a folder nobody knows how many there will be.
        folders = any(map(os.path.isdir, paths))
        awaited = waited_for(results, "files") if folders else shown(results, len(paths), output)
        outcome = self._outcome(list(awaited), paths)
        found = outcome.document
        for line in (*self._errors(found), *self._remarks(outcome), *_nobodys(self._policy, found)):
            complain(line)
        self._reports.write(found, output)
        if found.errors:
            return exit_codes.FAILED
        return exit_codes.WRONG if any(map(counted, found.findings)) else exit_codes.FINE

    def _outcome(self, results: list[Checked | AnalysisError], paths: list[str]) -> Outcome:
        """What was found, with what is accepted of it, and what is to be said of policy and baseline."""
        acceptance = Acceptance(
            baseline=self._new_baseline(results) if self._accepting.write else self._accepted,
            folder=self._accepting.folder,
            policy_folder=os.path.dirname(self._accepting.policy_file or ""),
        )
        return settled(results, paths, self._policy, self._assumptions, self._needs, acceptance)

    def _new_baseline(self, results: list[Checked | AnalysisError]) -> baseline.Accepted:
        """Today's findings, which are written; nothing is where some files have an answer missing.

        A baseline without their findings would make new ones of what was accepted before.
        """
        name = self._accepting.baseline or ""
        missing = sum(isinstance(result, AnalysisError) for result in results)
        if missing:
            files = "1 file" if missing == 1 else f"{missing} files"
            complain(f"{name}: is not written, as {files} could not be analysed")
            return baseline.Accepted()
        findings = [one for result in results if isinstance(result, Checked) for one in result.findings]
        content = baseline.written(findings, self._accepting.folder)
        baseline.write(name, content)
        return msgspec.json.decode(content, type=baseline.Accepted)

    def _errors(self, found: CheckDocument) -> Iterator[str]:
        """What could not be analysed, which only JSON tells itself."""
        if self._reports.shown != "json":
            yield from (f"{quoted(exact(error.path, error.path_bytes))}: {error.error}" for error in found.errors)

    def _remarks(self, outcome: Outcome) -> Iterator[str]:
        """Of the policy's file alone: what an option asks for has no line. Then of the baseline."""
        for line, remark in outcome.idle:
            if line:
                yield f"{self._accepting.policy_file}:{line}: {remark}"
        gone = outcome.gone
        if gone:
            named = ", ".join(f"{entry.rule} in {entry.path}" for entry in gone[:_MOST_GONE])
            more = f" and {len(gone) - _MOST_GONE} more" if len(gone) > _MOST_GONE else ""
            name = self._accepting.baseline
            yield f"{name}: accepts what is not there any more: {named}{more} (--write-baseline makes it anew)"


def _nobodys(policy: Policy, found: CheckDocument) -> Iterator[str]:
    """The names that the policy forbids, by which nothing could ever be found inside of a file: a slip, most likely."""
    given = (group.settings.get("forbid") for group in policy.groups)
    names = dict.fromkeys(name for one in given if isinstance(one, list | tuple) for name in one)
    if not names:
        return
    from linkscope.analysis.sought import is_nobodys, near  # which reads the tables of libraries

    met = {finding.subject for finding in found.findings if finding.rule == "library-forbidden"}
    for name in filter(is_nobodys, names):
        if not any(subject.startswith(f"lib{name}.so") for subject in met):
            counts = f"only a file lib{escape(name)}.so would count{asked(near(name))}"
            yield f"forbid: no library is known as {escape(name)}, {counts}"
