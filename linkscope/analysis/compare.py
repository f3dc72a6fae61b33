"""`linkscope compare`: one program linked in several ways, side by side, from the files and by measurement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from linkscope.analysis.circumstances import environment_for, place, reason_for, system_for
from linkscope.analysis.comparing.program import program
from linkscope.analysis.inspect import Run, error_of, excess
from linkscope.analysis.request import Assumptions, Depth, Running
from linkscope.contents.installed import Installed
from linkscope.errors import LinkScopeError
from linkscope.measure.suggestions import suggestions
from linkscope.measure.verdict import verdict
from linkscope.model.compare import CompareDocument, Measurement, Program, Verdict
from linkscope.model.document import AnalysisError

_AS_THE_CALLER = Assumptions()


def compare(
    paths: Sequence[str],
    assumptions: Assumptions = _AS_THE_CALLER,
    running: Running | None = None,
    *,
    store: str | None = None,
    shipped: bool = True,
    told: Callable[[str], None] = lambda _work: None,
) -> CompareDocument:
    """The programs PATHS side by side, from their files; with RUNNING they are started and measured as well.

    store, shipped: the signatures by which libraries are found inside, see Depth. told: is called with what is being
    done, for whoever waits. Raises RootUnusable, BadAssumption and StoreUnusable; with RUNNING also CannotRun.
    """
    system = system_for(assumptions)
    environment = environment_for(assumptions, system, os.environ)
    run = Run(system, environment, Depth(contents=True, symbols=True, store=store, shipped=shipped))
    results = list(_from_files(paths, run))
    given = [path for path, result in zip(paths, results, strict=True) if isinstance(result, Program)]
    programs = [result for result in results if isinstance(result, Program)]
    errors = [result for result in results if isinstance(result, AnalysisError)]
    if running is None:
        return _document(programs, verdict(programs), None, errors)
    from linkscope.analysis.comparing.measured import measured  # files alone do not need it

    found = measured(programs, given, running, _variables(assumptions), told)
    verdicts = verdict(found.programs, found.slower, run=True)
    return _document(found.programs, verdicts, found.measurement, errors + found.errors)


def _document(
    programs: list[Program], verdicts: list[Verdict], measurement: Measurement | None, errors: list[AnalysisError]
) -> CompareDocument:
    return CompareDocument(
        programs=programs,
        verdict=verdicts,
        suggestions=suggestions(programs, verdicts, errors),
        measurement=measurement,
        errors=errors,
    )


def _variables(assumptions: Assumptions) -> dict[str, str]:
    """The environment of the programs that are started: what is assumed of it is so."""
    variables = {} if assumptions.clean_env else dict(os.environ)
    if assumptions.library_path is not None:
        variables["LD_LIBRARY_PATH"] = assumptions.library_path
    if assumptions.preload is not None:
        variables["LD_PRELOAD"] = assumptions.preload
    return variables


def _from_files(paths: Sequence[str], run: Run) -> Iterator[Program | AnalysisError]:
    installed = Installed(run.system.root)
    for path in paths:
        try:
            yield program(run, run.examined(place(path, run.system)), installed)
        except LinkScopeError as error:
            yield error_of(path, reason_for(error, path, run.system))
        except (MemoryError, RecursionError) as error:  # the boundary of one file: the others are still compared
            yield error_of(path, excess(error))
