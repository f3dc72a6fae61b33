"""What is inside the file itself: libraries that were linked into it, modules, the package it came in."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from linkscope.model.inspect import Code, Content, Evidence, File, Limit, Proof
from linkscope.report.escape import escape, exact
from linkscope.report.lines import clipped
from linkscope.report.page import INDENT, LABEL, Page, Span, cells, cut, padded, words

if TYPE_CHECKING:
    from linkscope.model.pid import Process  # which `inspect` does not need

_GAP = 2
# What a narrow page leaves of a name, and the columns that what proves it wants beside that.
_NAME, _PROOF = 24, 24
_TEXT = 160  # columns of one proof: a banner may be a whole paragraph
_VERSIONS = 4  # that are named one by one
# How the archives of the runtime that GCC brings along begin: libgcc.a, libgcc_eh.a (GCC Internals, "The GCC low-level
# runtime library").
_RUNTIME = "libgcc"
_SHARES = 8  # libraries whose share of the code is told, the largest ones
_NOTHING, _NOTHING_ELSE = "nothing that is known by its traces", "nothing else that is known by its traces"
_KINDS = {"executable": "program", "shared-library": "library"}


def contents(file: File, page: Page) -> Iterator[list[Span]]:
    """One row for each library or module: its name, its version, and what proves it; of some files how to ask."""
    packed = any(problem.code == "packed" for problem in file.problems)
    if packed and not file.contents:
        asking = _asking(file, ("--unpack", *page.given))
        yield from words(f"packed, and not unpacked; `{asking}` does", "faint", page, _inside())
        return
    if file.contents is None:
        if file.linkage == "static":
            yield from words(f"not looked for; `{_asking(file, page.given)}` does", "faint", page, _inside())
        return
    yield from _accounted(file.code, page)
    what = _KINDS.get(file.kind, "file")
    yield from _found(file.contents, what, "inside the file itself", page)
    yield from _unseen(file.limits or (), page)


def _inside() -> list[Span]:
    return [(f"{'':{INDENT}}{'inside':<{LABEL}}", "faint")]


def _accounted(code: Code | None, page: Page) -> Iterator[list[Span]]:
    """`4.9 MiB, 91 % attributed: openssl 47 %, …, 9 % not attributed`; nothing where nothing is attributed."""
    if code is None or not code.attributed:
        return
    from linkscope.model.quantities import percent, size  # a file whose contents are not asked for does not need it

    shares = [f"{one.name} {percent(one.size, code.size)}" for one in code.libraries[:_SHARES]]
    rest = sum(one.size for one in code.libraries[_SHARES:])
    others = len(code.libraries) - _SHARES
    if others > 0:
        shares.append(f"{others} more {percent(rest, code.size)}")
    shares.append(f"{percent(code.size - code.attributed, code.size)} not attributed")
    said = f"{size(code.size)}, {percent(code.attributed, code.size)} attributed: {', '.join(shares)}"
    yield from words(said, "", page, [(f"{'':{INDENT}}{'code':<{LABEL}}", "faint")])


def _found(contents: Sequence[Content], what: str, heading: str, page: Page) -> Iterator[list[Span]]:
    """What the file itself is, a line for each, and then what is inside of it below HEADING. what: it is."""
    for own in (content for content in contents if content.itself):
        said = f"{_name(own)} {own.version or 'version unknown'}, {_proof(own)}"
        yield from words(said, "", page, [(f"{'':{INDENT}}the {what} itself: ", "faint")])
    inside = [content for content in contents if not content.itself]
    if inside:
        yield [(f"{'':{INDENT}}{heading}", "faint")]
        yield from _rows(inside, page)
        yield from _next_step(inside, page)
    else:
        yield from words(_NOTHING if len(contents) == len(inside) else _NOTHING_ELSE, "", page, _inside())


def _unseen(limits: Sequence[Limit], page: Page) -> Iterator[list[Span]]:
    """That not all was looked at, and why; nothing where it was."""
    if limits:
        said = f"not all was looked at: {'; '.join(limit.message for limit in limits)}"
        yield from words(said, "warn", page, [(f"{'':{INDENT}}{'limits':<{LABEL}}", "faint")])


def program_contents(process: Process, page: Page) -> Iterator[list[Span]]:
    """The same for the program that a process runs; of a static one how to ask."""
    executable = process.executable
    if process.contents is not None:
        yield from _found(process.contents, "program", "inside the program itself", page)
    elif executable is not None and executable.linkage == "static":
        yield from words(f"not looked for; `linkscope pid --contents {process.pid}` does", "faint", page, _inside())


def _asking(file: File, given: tuple[str, ...]) -> str:
    """The command line that asks for the contents, for a shell, under the circumstances that were GIVEN."""
    path = exact(file.path, file.path_bytes)
    path = f"./{path}" if path.startswith("-") else path
    return _command("inspect", "--contents", *given, path)


def _command(*words: str) -> str:
    return shlex.join(escape(word) for word in ("linkscope", *words))


def _rows(found: Sequence[Content], page: Page) -> Iterator[list[Span]]:
    """The compiler's runtime comes last: nearly every program has some of it, and nobody chose it."""
    found = sorted(found, key=_is_runtime)
    names = [_name(content) for content in found]
    versions = [content.version or "version unknown" for content in found]
    name_width = max(cells(escape(name)) for name in names)
    version_width = max(cells(escape(version)) for version in versions)
    if page.width is not None:
        name_width = min(name_width, max(page.width // 3, _NAME))
        version_width = min(version_width, _NAME)
    for content, name, version in zip(found, names, versions, strict=True):
        row = [
            (" " * 2 * INDENT, ""),
            padded(cut(name, name_width), "name", name_width + _GAP),
            padded(cut(version, version_width), "" if content.version else "warn", version_width + _GAP),
        ]
        room = None if page.width is None else page.width - sum(cells(text) for text, _ in row)
        if room is None or room >= _PROOF:
            yield from words(_proof(content), "faint", page, row)
        else:
            yield row
            yield from words(_proof(content), "faint", page, [(" " * 3 * INDENT, "")])


def _is_runtime(content: Content) -> bool:
    """Whether nothing but code of GCC's runtime tells of it: GCC itself links that in, for what a CPU lacks."""
    archives = [evidence.archive for evidence in content.evidence]
    return bool(archives) and all((archive or "").startswith(_RUNTIME) for archive in archives)


def _next_step(found: Sequence[Content], page: Page) -> Iterator[list[Span]]:
    """Once, what tells the versions that the code of the known archives leaves in doubt; nothing where none is.

    Where several versions have the very same code, learning one of them once more settles nothing.
    """
    doubted = (
        evidence.archive
        for content in found
        if content.version is None and not _is_runtime(content)
        for evidence in content.evidence[:1]
        if evidence.archive and evidence.package and evidence.doubt and not evidence.fits
    )
    archive = next(doubted, None)
    if archive is None:
        return
    every, one = _command("sigs", "add", "--installed", *_root(page.given)), _command("sigs", "add", archive)
    said = f"version unknown: where it was built, `{every}` (or `{one}`) learns the archives that it was built from"
    yield from words(said, "faint", page, [(" " * 2 * INDENT, "")])


def _root(given: Sequence[str]) -> Sequence[str]:
    """--root and its value out of the options that were GIVEN; `sigs add` has no other one of them."""
    at = given.index("--root") if "--root" in given else len(given)
    return given[at : at + 2]


def _name(content: Content) -> str:
    """The name, with the ecosystem before it where it is no plain library."""
    return content.name if content.ecosystem == "generic" else f"{content.ecosystem} {content.name}"


def _proof(content: Content) -> str:
    plain = content.ecosystem == "generic"  # nobody copies the texts of a crate
    whose = "the compiler's runtime: " if _is_runtime(content) else ""
    return whose + proven_by(content.evidence, content.proof if plain else None, content.version, content.absent_code)


def proven_by(evidence: Sequence[Evidence], strongest: Proof | None, version: str | None, absent: Sequence[str]) -> str:
    """What proves a library of this VERSION: the first of the EVIDENCE, how much more there is, and what is amiss.

    strongest, absent: `proof` and `absent_code` of what is inside.
    """
    if not evidence:
        return ""
    more = f" (and {len(evidence) - 1} more)" if len(evidence) > 1 else ""
    only = "by its text only: " if strongest == "text" else ""
    doubt = f"; {evidence[0].doubt}" if version is None and evidence[0].doubt and not evidence[0].fits else ""
    return only + clipped(_told(evidence[0], version), _TEXT) + more + doubt + _amiss(absent)


def _amiss(absent: Sequence[str]) -> str:
    """`; machine code as in 1.2.11, 1.2.13 or 1.3.1 was not found`: of all versions that are known."""
    if not absent:
        return ""
    if len(absent) > _VERSIONS:
        versions = f"any of {len(absent)} versions known, {absent[0]} to {absent[-1]},"
    else:
        versions = " or ".join(word for word in (", ".join(absent[:-1]), absent[-1]) if word)
    return f"; machine code as in {versions} was not found"


def _told(evidence: Evidence, version: str | None) -> str:
    """`libz.a: 6 of 15 sections, 35 KiB, as in zlib1g-dev 1:1.2.13.dfsg-1 of debian 12` for code that was found.

    Where what is inside is of another VERSION than that package, or nobody knows of which, nothing looks like it.
    """
    if evidence.archive is None or evidence.sections_matched is None:
        return evidence.text or evidence.archive or evidence.kind
    from linkscope.model.quantities import size  # as above

    parts = [
        f"{evidence.archive}: {evidence.sections_matched} of {evidence.sections_total} sections",
        size(evidence.bytes_matched or 0),
    ]
    if evidence.package:
        whose = evidence.package + (f" of {evidence.distribution}" if evidence.distribution else "")
        same = version is not None and version in evidence.package
        parts.append(f"as in {whose}" if same else f"code that {whose} has as well")
    if evidence.fits:
        parts.append(f"fits {', '.join(evidence.fits)}")
    return ", ".join(parts)
