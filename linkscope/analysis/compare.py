"""`linkscope compare`: one program linked in several ways, side by side, from the files and by measurement."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from linkscope.analysis.circumstances import environment_for, place, reason_for, system_for
from linkscope.analysis.comparing.program import program
from linkscope.analysis.comparing.suggestions import suggestions
from linkscope.analysis.comparing.verdict import verdict, verdict_of_measured
from linkscope.analysis.inspect import Run, error_of, excess
from linkscope.analysis.request import Assumptions, Depth, Running
from linkscope.contents.installed import Installed
from linkscope.errors import LinkScopeError
from linkscope.model.compare import CompareDocument, Program
from linkscope.model.document import AnalysisError

if TYPE_CHECKING:
    from linkscope.analysis.comparing.measured import Measured

Result = TypeVar("Result")
Told = Callable[[str], None]
_AS_THE_CALLER = Assumptions()


def compare(
    paths: Sequence[str],
    assumptions: Assumptions = _AS_THE_CALLER,
    running: Running | None = None,
    *,
    store: str | None = None,
    shipped: bool = True,
    told: Told = lambda _work: None,
) -> CompareDocument:
    """The programs PATHS side by side, from their files; with RUNNING they are started and measured as well.

    store, shipped: the signatures by which libraries are found inside, see Depth. told: is called with what is being
    done, for whoever waits. Raises RootUnusable, BadAssumption and StoreUnusable; with RUNNING also CannotRun.
    """
    system = system_for(assumptions)
    environment = environment_for(assumptions, system, os.environ)
    run = Run(system, environment, Depth(contents=True, symbols=True, store=store, shipped=shipped))
    results = _from_files(paths, run) if running is None else _apart(lambda: _from_files(paths, run))
    given = [path for path, result in zip(paths, results, strict=True) if isinstance(result, Program)]
    programs = [result for result in results if isinstance(result, Program)]
    errors = [result for result in results if isinstance(result, AnalysisError)]
    if running is None:
        verdicts = verdict(programs, None)
        return CompareDocument(
            programs=programs,
            verdict=verdicts,
            suggestions=suggestions(programs, verdicts, errors),
            measurement=None,
            errors=errors,
        )
    found = _measured(programs, given, running, _variables(assumptions), told)
    errors += found.errors
    return CompareDocument(
        programs=found.programs,
        verdict=verdict(found.programs, found),
        suggestions=suggestions(found.programs, verdict_of_measured(found.programs, found), errors, was_run=True),
        measurement=found.measurement,
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


def _from_files(paths: Sequence[str], run: Run) -> list[Program | AnalysisError]:
    installed = Installed(run.system.root)
    real = [run.system.realpath(place(path, run.system).inside, "/") for path in paths]
    installed.of(path for path in real if path)  # of all at once: each question reads all that the packages say
    return [_from_file(path, run, installed) for path in paths]


def _from_file(path: str, run: Run, installed: Installed) -> Program | AnalysisError:
    try:
        return program(run, run.examined(place(path, run.system)), installed)
    except LinkScopeError as error:
        return error_of(path, reason_for(error, path, run.system))
    except (MemoryError, RecursionError) as error:  # the boundary of one file: the others are still compared
        return error_of(path, excess(error))


def _measured(
    programs: Sequence[Program], paths: Sequence[str], running: Running, variables: dict[str, str], told: Told
) -> Measured:
    """As `measured` has it, which is done apart as what the files say was: a library that either has mapped would be
    shared with the programs."""
    from linkscope.analysis.comparing.measured import measured  # files alone do not need it

    def there(told: Told, estimated: Told) -> Measured:
        return measured(programs, paths, msgspec.structs.replace(running, estimated=estimated), variables, told)

    return _apart(there, told, running.estimated)


def _apart(work: Callable[..., Result], *hearers: Told) -> Result:
    from linkscope.measure.apart import apart  # files alone do not need it

    return apart(work, *hearers)
