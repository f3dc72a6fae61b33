"""What musl's loader looks at before it starts a program, held against what a target offers.

Source: musl ldso/dynlink.c: versions that are asked for are not looked at; load_library takes the names of a C
library's parts for itself; reloc_all knows DT_RELR since 1.2.4; every symbol that is not weak has to be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from linkscope.policy.targets.installed import not_installed
from linkscope.policy.targets.musl_symbols import added_after
from linkscope.policy.targets.offer import Library, Target
from linkscope.policy.targets.reason import Reason
from linkscope.policy.targets.requirements import Requirements

_OWN = ("libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet.", "ld-musl-")
_KNOWS_RELR = (1, 2, 4)


def on_musl(target: Target, libraries: Mapping[str, Library], wanted: Requirements) -> Iterator[Reason]:
    """What the loader of TARGET would miss."""
    yield from _symbols(target, wanted)
    yield from not_installed(target, libraries, [need for need in wanted.needs if not need.name.startswith(_OWN)])
    askers = tuple([one.path for one in wanted.packed])
    if askers and target.libc_number < _KNOWS_RELR:
        message = f"has DT_RELR, which musl {target.version} of {target.name} does not know (1.2.4 does)"
        yield Reason(code="relocations", weight="fatal", subject="DT_RELR", message=message, askers=askers)
    if wanted.libc == "glibc":
        message = f"is made for glibc; musl, which {target.name} has, stands in for it and lacks some of its symbols"
        yield Reason(code="symbol", weight="doubtful", subject="glibc", message=message, askers=(wanted.path,))


def _symbols(target: Target, wanted: Requirements) -> Iterator[Reason]:
    """One reason for each symbol that a later release of musl brought."""
    for symbol, since in added_after(target.libc_number, wanted.symbols or frozenset()):
        message = f"needs {symbol}, which is in musl since {since}; {target.name} has {target.version}"
        yield Reason(code="symbol", weight="fatal", subject=symbol, message=message, askers=(wanted.path,))
