"""What a new release of a library asks for: a restart where it is a file of its own, a rebuild where it is inside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from linkscope.analysis.sought import of_soname
from linkscope.model.compare import MappedFile, Update
from linkscope.model.inspect import Content

_PLAIN = "generic"
# Which project releases them tells no text inside: libraries of GCC, each from a folder of its source.
_OF_GCC = re.compile(r"lib(gcc_s|stdc\+\+|gomp|atomic|quadmath|gfortran|itm|objc|ssp|(a|l|t|ub|hwa)san)\.so\.[\d.]+")


def updates(files: Iterable[MappedFile], contents: Iterable[Content]) -> list[Update]:
    """One for each of the FILES that are mapped, then one for each library inside the program.

    A file is replaced by the new release of its package, and every program that has it mapped keeps the old one until
    it is started again; of what is inside only a new link takes in another version. What the libraries that are mapped
    hold inside is their package's to rebuild, and stands under none.
    """
    return [*_restarts(list(files)), *_rebuilds(contents)]


def not_its_own(contents: Iterable[Content], package: str | None) -> list[Content]:
    """CONTENTS without the project that the program itself is: its next release is another program, and no update.

    That has to be written down: Go's main module and Rust's root package are, by the build, and a program is of the
    project whose name the PACKAGE has that installed it. What a file is called says nothing.
    """
    return [one for one in contents if not _is_main(one) and (one.ecosystem != _PLAIN or one.name != package)]


def _is_main(content: Content) -> bool:
    """Source: Go runtime/debug/mod.go (the line `mod` is the main module's); contents.rust has cargo-auditable's."""
    return any(
        (proof.kind == "go-buildinfo" and (proof.text or "").startswith("mod "))
        or (proof.kind == "rust-audit" and (proof.text or "").endswith(" (the program itself)"))
        for proof in content.evidence
    )


def _restarts(files: Sequence[MappedFile]) -> Iterator[Update]:
    """The files of one package are of one project: libm.so.6 comes with libc.so.6."""
    named = {file.path: file.soname or file.path.rpartition("/")[2] for file in files}
    projects = {file.path: _project(named[file.path]) for file in files}
    by_package = {file.package: projects[file.path] for file in files if file.package and projects[file.path]}
    for file in files:
        project = projects[file.path] or (by_package.get(file.package) if file.package else None)
        yield Update(
            library=named[file.path],
            project=project,
            how="restart",
            path=file.path,
            package=file.package,
            version=None,
        )


def _project(soname: str) -> str | None:
    return "gcc" if _OF_GCC.fullmatch(soname) else next((one.name for one in of_soname(soname)), None)


def _rebuilds(contents: Iterable[Content]) -> Iterator[Update]:
    """Modules and crates too, `go:` or `cargo:` before their names: theirs are the updates of most such programs."""
    for content in contents:
        name = content.name if content.ecosystem == _PLAIN else f"{content.ecosystem}:{content.name}"
        yield Update(library=name, project=name, how="rebuild", path=None, package=None, version=content.version)
