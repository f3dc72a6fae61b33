"""What every undefined symbol of a start is bound to, as far as it matters: what nothing defines, and what is not used.

Source: glibc elf/rtld.c, dl_main in trace mode (`ldd -r`, `ldd -u`), over the scope of the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from linkscope.elf import constants as c
from linkscope.elf.linkage import binds_now
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError
from linkscope.loader import lookup, problems
from linkscope.loader.glibc import Glibc
from linkscope.model.document import text
from linkscope.model.inspect import Fails, Problem, Unresolved

if TYPE_CHECKING:
    from collections.abc import Callable

    from linkscope.elf.image import Image
    from linkscope.elf.reader import Reader
    from linkscope.loader.linkmap import Loaded
    from linkscope.loader.lookup import Reference, Tables
    from linkscope.loader.program import Program, Start
    from linkscope.loader.system import System

_Identity = tuple[int, int]


class Binding(msgspec.Struct, frozen=True):
    """unresolved: what no object defines, object by object in the order of the scope, each symbol once for its object.

    unused: the paths of the program's own needed libraries that serve it with no symbol. borrowed: the libraries that
    serve it and that it does not need itself, by path, each with the symbols (weak references do not count). problems:
    the unresolved ones again, in words, and what could not be read.
    """

    unresolved: list[Unresolved]
    unused: list[str]
    borrowed: list[tuple[str, tuple[str, ...]]]
    problems: list[Problem]


def bind(system: System, start: Start, program: Program, at_once: bool = False) -> Binding:
    """The symbols of a program (or library) and of all that is loaded for it, bound over its scope.

    at_once: LD_BIND_NOW is set, which glibc obeys in secure execution too (elf/rtld.c, process_envvars).
    """
    scope = _Scope(system, start, program)
    unresolved: list[Unresolved] = []
    found: list[Problem] = []
    for loaded in scope.objects:
        if loaded.role == "interpreter":  # it has bound itself before it does anything else
            continue
        path = loaded.path or loaded.requested
        fault = scope.tables(loaded).fault
        if fault is not None:
            found.append(problems.unreadable_symbols(path, fault))
        for (symbol, version), lazily in scope.unresolved(loaded).items():
            fails: Fails = "start" if at_once else lazily
            one = Unresolved(symbol=text(symbol), version=version and text(version), needed_by=text(path), fails=fails)
            unresolved.append(one)
            found.append(problems.unresolved_symbol(symbol, version, path, fails))
    providers = scope.providers_of_main()
    unused = [text(one.path or one.requested) for one in scope.own_needs() if one not in providers]
    return Binding(unresolved, unused, scope.borrowed(providers), found)


def stops_without_versions(
    system: System, start: Start, program: Program, asker: Loaded, provider: Loaded, file: str
) -> tuple[str, Fails] | None:
    """The first symbol at which glibc stops because PROVIDER, known as FILE, has no versions; None where there is none.

    A reference to a version of FILE that is served by FILE itself, and that without .gnu.version, contradicts the
    link step. Source: glibc elf/dl-lookup.c, check_match: an assertion, removed in 2.41.
    """
    if not isinstance(start.rules, Glibc) or not start.rules.facts.before(2, 41):
        return None
    scope = _Scope(system, start, program)
    if asker not in scope.images or provider not in scope.images:
        return None
    if scope.tables(provider).exports.versions is not None:
        return None
    tables = scope.read(asker, lookup.read_all_references)
    reaching = set(range(len(tables.references)))
    for earlier in scope.objects[: scope.objects.index(provider)]:
        reaching -= lookup.served(tables, scope.tables(earlier).exports, scope.dialect)
    lazy = not binds_now(scope.images[asker])
    last: tuple[str, Fails] | None = None
    for number in sorted(reaching & lookup.served(tables, scope.tables(provider).exports, scope.dialect)):
        reference = tables.references[number]
        if reference.version is not None and reference.version.file == file:
            fails = _fails(reference, lazy)
            if fails == "start":
                return reference.symbol, fails
            last = last or (reference.symbol, fails)
    return last


class _Scope:
    """The objects in which symbols are looked up, in order, and what each serves another with.

    Tables are remembered by file, and services by pair of files, in the system: neither depends on the program.
    """

    def __init__(self, system: System, start: Start, program: Program) -> None:
        self.dialect = lookup.GLIBC if isinstance(start.rules, Glibc) else lookup.MUSL
        self.link_map = start.link_map
        main = start.link_map.main
        self.images = {one: one.image for one in start.link_map.scope or (main,) if one.image is not None}
        self.objects = list(self.images)
        self.identities = frozenset(image.identity for image in self.images.values())
        self._program = program
        self._system = system
        memory = system.memory
        name = self.dialect.name
        self._tables = cast("dict[_Identity, Tables]", memory.setdefault(("symbol tables", name), {}))
        self._served = cast(
            "dict[tuple[_Identity, _Identity], frozenset[int]]", memory.setdefault(("symbols served", name), {})
        )

    def tables(self, loaded: Loaded) -> Tables:
        """What an object wants and offers; nothing at all where its tables cannot be read."""
        identity = self.images[loaded].identity
        known = self._tables.get(identity)
        if known is None:
            known = self._tables[identity] = self.read(loaded, lookup.read_tables)
        return known

    def read(self, loaded: Loaded, how: Callable[[Reader, Image, lookup.Dialect], Tables]) -> Tables:
        """The tables of an object, read now."""
        candidate = loaded.finding.candidate if loaded.finding else None
        location = self._program.location if candidate is None else candidate.location
        try:
            with open_reader(location, loaded.path, self._system.root.open) as reader:
                return how(reader, self.images[loaded], self.dialect)
        except LinkScopeError as error:
            return lookup.without_tables(error.reason)

    def served(self, asker: Loaded, provider: Loaded) -> frozenset[int]:
        """The numbers of the references of ASKER that PROVIDER serves."""
        pair = self.images[asker].identity, self.images[provider].identity
        known = self._served.get(pair)
        if known is None:
            known = lookup.served(self.tables(asker), self.tables(provider).exports, self.dialect)
            self._served[pair] = known
        return known

    def unresolved(self, loaded: Loaded) -> dict[tuple[str, str | None], Fails]:
        """The (symbol, version) of an object that nothing serves, and when that shows. Weak references do not count."""
        tables = self.tables(loaded)
        if tables.served_by is not None and tables.served_by <= self.identities:
            return {}
        missing = set(tables.strong)
        serving: set[_Identity] = set()
        for provider in (*self._own_needs(loaded), *self.objects):
            if not missing:
                break
            service = missing & self.served(loaded, provider) if provider is not loaded else None
            if service:
                missing -= service
                serving.add(self.images[provider].identity)
        if not missing:
            tables.served_by = frozenset(serving)
            return {}
        if self.dialect is lookup.MUSL:
            missing -= self._served_by_other_names(tables, missing)
        lazy = self.dialect.lazy and not binds_now(self.images[loaded])
        found: dict[tuple[str, str | None], Fails] = {}
        for number in sorted(missing):  # data comes last, and decides where a symbol is referred to in both ways
            reference = tables.references[number]
            found[reference.symbol, reference.version.name if reference.version else None] = _fails(reference, lazy)
        return found

    def _served_by_other_names(self, tables: Tables, missing: set[int]) -> set[int]:
        """Those that musl's loader binds to a function of another name, in itself or in what comes behind it."""
        from linkscope.loader.musl_lfs64 import large_file_names

        at = next((i for i, one in enumerate(self.objects) if one.role == "interpreter"), None)
        finding = self.objects[at].finding if at is not None else None
        if finding is None or finding.candidate is None:
            return set()
        names = large_file_names(self._system, finding.candidate)
        behind = [self.tables(one).exports.names for one in self.objects[at:]]
        plain = {number: names.plain_of(tables.references[number].symbol) for number in missing}
        return {number for number, name in plain.items() if name and any(name in exports for exports in behind)}

    def providers_of_main(self) -> dict[Loaded, set[int]]:
        """The objects that the program's references (weak ones included) are bound to, each with their numbers.

        What the program serves itself it takes from itself, since it stands first in its scope.
        """
        main = self.link_map.main
        missing = set(range(len(self.tables(main).references)))
        found: dict[Loaded, set[int]] = {}
        for provider in self.objects:
            service = missing & self.served(main, provider) if provider is not main else None
            if service:
                missing -= service
                found[provider] = service
        return found

    def own_needs(self) -> list[Loaded]:
        """What the program's DT_NEEDED led to, each once."""
        return list(dict.fromkeys(self._own_needs(self.link_map.main)))

    def borrowed(self, providers: dict[Loaded, set[int]]) -> list[tuple[str, tuple[str, ...]]]:
        """Of the PROVIDERS those that the program does not need itself, and with which symbols they serve it.

        Neither a preload nor the loader is a dependency that anybody forgot.
        """
        own = {one.identity or id(one) for one in self.own_needs()}
        tables = self.tables(self.link_map.main)
        found: list[tuple[str, tuple[str, ...]]] = []
        for provider, service in providers.items():
            strong = sorted(service & tables.strong)
            if strong and provider.role == "library" and (provider.identity or id(provider)) not in own:
                symbols = tuple(text(tables.references[number].symbol) for number in strong)
                found.append((text(provider.path or provider.requested), symbols))
        return found

    def _own_needs(self, loaded: Loaded) -> list[Loaded]:
        entries = self.link_map.dependencies.get(loaded, ())
        return [found for tag, _, found in entries if tag == c.DT_NEEDED and found.image is not None]


def _fails(reference: Reference, lazy: bool) -> Fails:
    return "first-call" if lazy and reference.kind == "function" else "start"
