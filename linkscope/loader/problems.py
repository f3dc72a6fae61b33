"""What the loader room reports, each finding's text written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from linkscope.model.document import text
from linkscope.model.inspect import Fails, Problem, ProblemCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from linkscope.loader.linkmap import Finding, Loaded, Refusal


def _problem(code: ProblemCode, fatal: bool, subject: str, asker: str | None, message: str) -> Problem:
    return Problem(
        code=code,
        fatal=fatal,
        subject=text(subject),
        needed_by=None if asker is None else text(asker),
        message=text(message),
    )


def missing_interpreter(interpreter: str, program: str, reason: str) -> Problem:
    """The kernel cannot start the program: its PT_INTERP leads to nothing usable."""
    message = f"the program interpreter {interpreter} {reason}; the kernel reports this as if the program were missing"
    return _problem("missing-interpreter", True, interpreter, program, message)


def bad_interpreter(interpreter: str, program: str, reason: str) -> Problem:
    """The kernel finds the program's PT_INTERP and refuses it."""
    message = f'the program interpreter "{interpreter}": {reason}; the kernel refuses to start {program}'
    return _problem("bad-interpreter", True, interpreter, program, message)


def missing_library(name: str, asker: str, remedies: Iterable[str]) -> Problem:
    """A needed (or filtered) name that the loader finds nowhere."""
    problem = _problem("missing-library", True, name, asker, f"{name}, needed by {asker}, is not found")
    return msgspec.structs.replace(problem, remedies=[text(remedy) for remedy in remedies])


def bad_candidate(path: str, name: str, asker: str, reason: str) -> Problem:
    """The search ends at a file that the loader refuses outright."""
    message = f"the search for {name}, needed by {asker}, ends at {path}: {reason}"
    return _problem("bad-candidate", True, path, asker, message)


def taken_as_is(path: str, name: str, asker: str | None, machine: str, at_start: bool) -> Problem:
    """A file for another machine that musl maps like any other. at_start: something in it is used before main runs."""
    for_whom = f"needed by {asker}" if asker else "to be preloaded"
    outcome = "so the program does not start" if at_start else "and its functions cannot be called"
    message = f"the search for {name}, {for_whom}, ends at {path}: musl maps it although it is for {machine}, {outcome}"
    return _problem("bad-candidate", at_start, path, asker, message)


def refused_name(name: str, asker: str, refusal: Refusal) -> Problem:
    """A name that the loader rejects before it looks for a file."""
    return _problem("refused-name", True, name, asker, f"{name}, needed by {asker}: {refusal.reason}")


def missing_auxiliary(name: str, requester: Loaded, finding: Finding) -> Problem:
    """An auxiliary filtee that is not there; the loader goes on without a word."""
    why = f" ({finding.refusal.path}: {finding.refusal.reason})" if finding.refusal else ""
    message = f"the auxiliary filtee {name} of {requester.path} is not found{why}; its filter is used instead"
    return _problem("missing-auxiliary", False, name, requester.path, message)


def bad_preload(name: str, source: str, finding: Finding) -> Problem:
    """A preload that is not loaded; the program starts without it."""
    if finding.refusal is not None:
        reason = f"{finding.refusal.path}: {finding.refusal.reason}" if finding.refusal.path else finding.refusal.reason
        return _problem("bad-preload", False, name, None, f"{name} from {source} cannot be preloaded ({reason})")
    return _problem("missing-preload", False, name, None, f"{name} from {source} is not found, and is not preloaded")


def stale_cache_entry(path: str, name: str, asker: str, found: str | None) -> Problem:
    """The cache names a file that is gone, and no other entry for the name is tried."""
    after = f"{found} is used instead" if found else "no other entry of the cache is tried"
    message = f"the loader's cache names {path} for {name}, and that file is gone; {after}; run ldconfig"
    return _problem("stale-cache-entry", False, path, asker, message)


def by_luck(name: str, asker: str, provider: str, first: str) -> Problem:
    """A dependency that is satisfied only because FIRST (an object, or what names a preload) had loaded it before."""
    message = f"{asker} would not find {name} by itself; it is satisfied by {provider}, which {first} loads first"
    return _problem("by-luck", False, name, asker, message)


def unsafe_search_path(element: str, owner: str, tag: str, what: str, grave: bool) -> Problem:
    """An element of RPATH or RUNPATH into which somebody else could put a file."""
    graver = "; the program runs with privileges, so whoever can write there gets them" if grave else ""
    message = f"the {tag} of {owner} searches {what}{graver}"
    return _problem("unsafe-search-path", False, element, owner, message)


def missing_version(version: str, provider: str, asker: str) -> Problem:
    """A version that the file satisfying the need does not define: the program does not start."""
    message = f"version {version} is not found in {provider} (required by {asker})"
    return _problem("missing-version", True, version, asker, message)


def weak_version(version: str, provider: str, asker: str) -> Problem:
    """A version that is absent, and marked weak: the loader only warns."""
    message = f"weak version {version} is not found in {provider} (required by {asker}); the loader only warns"
    return _problem("weak-version", False, version, asker, message)


def no_version_information(provider: str, asker: str, symbol: str | None, fails: Fails | None) -> Problem:
    """A provider without any version definitions: the loader warns.

    symbol, fails: before 2.41 it also ends at the first symbol that should have a version there, where there is one.
    """
    message = f"{provider} has no version information (required by {asker}); the loader "
    if symbol is None:
        message += "only warns"
    elif fails == "start":
        message += f"ends with a failed assertion when it binds {symbol}"
    else:
        message += f"warns, and ends with a failed assertion at the first call of {symbol}"
    return _problem("no-version-information", fails == "start", provider, asker, message)


def unknown_version_provider(file: str, asker: str) -> Problem:
    """A DT_VERNEED file name that no loaded object answers to: glibc ends with a failed assertion."""
    message = f"{asker} needs versions from {file}, which nothing loaded is called; glibc ends with a failed assertion"
    return _problem("missing-version", True, file, asker, message)


def relr_without_version(version: str, asker: str) -> Problem:
    """A file with DT_RELR that does not say so by its versions: an older glibc would not notice, and crash."""
    message = f"{asker} has compact relocations (DT_RELR) and does not ask for {version}; the loader refuses that"
    return _problem("missing-version", True, version, asker, message)


def unknown_relocations(path: str, loader: str) -> Problem:
    """A file with DT_RELR under a loader that passes it over: addresses stay as the linker left them."""
    message = f"{path} has compact relocations (DT_RELR), which {loader} does not know: it leaves them out"
    return _problem("unknown-relocations", True, path, path, message)


def unresolved_symbol(symbol: str, version: str | None, asker: str, fails: Fails) -> Problem:
    """A symbol that nothing in scope defines: the end, at the start or when it is first called."""
    name = f"{symbol}, version {version}," if version else symbol
    when = "the program does not start" if fails == "start" else "the program ends when it is first called"
    message = f"{name} is referred to by {asker}, and nothing that is loaded defines it; {when}"
    return _problem("unresolved-symbol", fails == "start", symbol, asker, message)


def unreadable_symbols(path: str, reason: str) -> Problem:
    """An object whose dynamic symbols cannot be read: nothing is bound to it, and nothing in it is bound."""
    return _problem("malformed", False, path, path, f"the symbols of {path} cannot be read: {reason}")


def isa_level(path: str, wanted: str, assumed: str) -> Problem:
    """A file that asks for a CPU level above the assumed one."""
    return _problem("isa-level", True, path, path, f"{path} needs a CPU of level {wanted}, and {assumed} is assumed")


def audit(name: str, source: str, path: str | None) -> Problem:
    """An audit library: it may change what every later look-up gives, or it is absent and passed over."""
    if path is None:
        return _problem("missing-audit", False, name, None, f"the audit library {name} ({source}) is not found")
    message = f"the audit library {path} ({source}) is loaded first, and may change every answer given here"
    return _problem("audit", False, path, None, message)


def filter_ring(name: str, filter_: Loaded) -> Problem:
    """Objects that are filters of one another: the loader never comes to an end."""
    message = f"{name} and {filter_.path} filter one another in a ring: the loader runs out of memory or crashes"
    return _problem("filter-ring", True, name, filter_.path, message)


def unknown_loader(interpreter: str, program: str) -> Problem:
    """A loader that is neither glibc's nor musl's: what it would do is not predicted."""
    message = f"{interpreter} is neither glibc's loader nor musl's: which libraries it would load is not told here"
    return _problem("unknown-loader", False, interpreter, program, message)


def no_loader(library: str) -> Problem:
    """A library for whose class and machine the root has no loader at all."""
    message = f"there is no dynamic loader here for the class and machine of {library}"
    return _problem("missing-interpreter", True, library, None, message)
