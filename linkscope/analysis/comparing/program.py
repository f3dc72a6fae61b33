"""One of the programs that are compared, as its file tells of it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from linkscope.analysis.comparing.losses import losses
from linkscope.analysis.comparing.reach import reach
from linkscope.analysis.comparing.updates import not_its_own, updates
from linkscope.analysis.digests import sha256
from linkscope.analysis.subject import FileSubject
from linkscope.elf.notes import NT_GNU_ABI_TAG, segment_notes
from linkscope.elf.pages import mapped_size
from linkscope.elf.parts import KINDS, BytesKind, parts
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.loader.startwork import mapped_files, start_work
from linkscope.model.compare import MappedFile, Part, PartKind, Program
from linkscope.model.document import exact_bytes, text

if TYPE_CHECKING:
    from linkscope.analysis.inspect import Examined, Run
    from linkscope.contents.installed import Installed
    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.model.inspect import Code, File, Problem

_NAMES: dict[BytesKind, PartKind] = {
    "code": "own-code",
    "read-only-data": "read-only-data",
    "data": "data",
    "linking": "linking",
    "symbols": "symbols",
    "debug": "debug",
    "other": "other",
}
_LINUX = 0  # of NT_GNU_ABI_TAG: the kernel that the version is one of


def program(run: Run, examined: Examined, installed: Installed) -> Program:
    """What the file says; nothing of it was run. RUN: with contents. Raises LinkScopeError."""
    file, image, started = examined.file, examined.facts.image, examined.started
    system, environment = run.system, run.environment
    with open_reader(examined.location, image.path, system.root.open) as reader:
        sizes = parts(reader, image)
        needs_kernel = oldest_kernel(reader, image)
        lost = losses(reader, image, file)
        digest = _digest(reader)
    work = start_work(system, image, examined.location, started, environment.cwd, at_once=environment.bind_now)
    files = _files(run, examined, installed)
    memory_size = mapped_size(image)
    return Program(
        path=file.path,
        path_bytes=file.path_bytes,
        machine=file.elf.machine,
        linkage=file.linkage,
        pie=file.pie,
        size=image.size,
        memory_size=memory_size,
        mapped_size=memory_size + sum(one.mapped_size for one in files),
        libraries=len(files),
        relocations=work.relative + work.symbolic + work.indirect,
        run=None,
        parts=list(_parts(sizes, None if _is_packed(file) else file.code)),
        files=files,
        start_work=work,
        updates=updates(files, not_its_own(file.contents or (), _package(run, examined, installed))),
        libc=file.libc,
        requires=file.requires,
        needs_kernel=needs_kernel,
        reach=reach(FileSubject(run, examined, rooted=not system.root.is_system)),
        hardening=file.hardening,
        losses=lost,
        problems=_why_not(file.problems),
        sha256=digest,
    )


def _digest(reader: Reader) -> str | None:
    """Of the whole file, which may have been cut short since it was opened."""
    try:
        return sha256(reader)
    except LinkScopeError:
        return None


def _is_packed(file: File) -> bool:
    """Whether the code in the file is not the one that runs: what is told of that one has no place among its bytes."""
    return any(problem.code == "packed" for problem in file.problems)


def _why_not(problems: Iterable[Problem]) -> list[str]:
    """Why it would not start. Symbols that nothing defines say nothing where a file is missing that may define them."""
    fatal = [problem for problem in problems if problem.fatal]
    of_files = [problem.message for problem in fatal if problem.code != "unresolved-symbol"]
    return of_files or [problem.message for problem in fatal]


def _parts(sizes: dict[BytesKind, int], code: Code | None) -> Iterable[Part]:
    """SIZES with the libraries' code apart. Own code is what is not attributed: the program's own, or not known.

    The libraries' sizes are of bytes that are all executable; should they come to more than the code, they are cut.
    """
    left = sizes["code"]
    shares: list[Part] = []
    for share in code.libraries if code else ():
        size = min(share.size, left)
        left -= size
        if size:
            shares.append(Part(kind="library-code", name=share.name, size=size))
    for kind in KINDS:
        size = left if kind == "code" else sizes[kind]
        if size:
            yield Part(kind=_NAMES[kind], name=None, size=size)
        if kind == "code":
            yield from shares


def _files(run: Run, examined: Examined, installed: Installed) -> list[MappedFile]:
    """What would be mapped as well, in the order of the link map."""
    if examined.started is None:
        return []
    system, cwd = run.system, run.environment.cwd
    found = mapped_files(system, examined.started, cwd)
    real = [system.realpath(one.path, cwd) if one.path else None for one in found]
    packages = installed.of(path for path in real if path)
    return [
        MappedFile(
            path=text(one.path or one.requested),
            path_bytes=exact_bytes(one.path or one.requested),
            soname=text(one.image.soname) if one.image.soname else None,
            size=one.image.size,
            mapped_size=mapped_size(one.image),
            package=packages.get(path) if path else None,
        )
        for one, path in zip(found, real, strict=True)
        if one.image is not None
    ]


def _package(run: Run, examined: Examined, installed: Installed) -> str | None:
    """The package that has installed the program itself."""
    path = run.system.realpath(examined.where.inside, "/")
    return installed.of([path])[path] if path and examined.file.contents else None


def oldest_kernel(reader: Reader, image: Image) -> str | None:
    """The oldest Linux that NT_GNU_ABI_TAG allows, as `3.2.0`; None where no note says.

    glibc's start code, and its loader before 2.37, refuse an older kernel (elf/dl-load.c, open_verify).
    """
    for owner, kind, descriptor in segment_notes(reader, image):
        if owner == b"GNU" and kind == NT_GNU_ABI_TAG and len(descriptor) >= 16:
            words = struct.unpack_from(f"{image.layout.order}4I", descriptor)
            if words[0] == _LINUX:
                return ".".join(map(str, words[1:]))
    return None
