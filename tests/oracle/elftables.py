"""The tables of an ELF file that the writer makes: strings, symbols, hashes, versions, relocations, notes, dynamic."""

import os
from collections.abc import Callable

from tests.oracle import elfformat
from tests.oracle.elfformat import DT, STB_GLOBAL, STB_WEAK, STT, Records, gnu_hash, padded, sysv_hash
from tests.oracle.machinecode import entry_size
from tests.oracle.recipe import Recipe, Symbol

_BODY = 16  # bytes that every defined symbol stands for; they are never run
_VERSION_BASE, _VERSION_GLOBAL, _HIDDEN = 1, 1, 0x8000
_GOT_RESERVED = 3  # words that the loader keeps for itself in front of the lazy slots
_TAGGED = ("needed", "auxiliary", "filter")


class Strings:
    """A string table that gives each string its offset; equal strings are kept once."""

    def __init__(self) -> None:
        self.data = bytearray(1)
        self._offsets: dict[str, int] = {"": 0}

    def offset(self, text: str) -> int:
        """Where the string stands, put there if it is new."""
        at = self._offsets.get(text)
        if at is None:
            at = self._offsets[text] = len(self.data)
            self.data += os.fsencode(text) + b"\0"
        return at


class Tables:
    """The blocks of a file: their sizes, and with all addresses known their bytes.

    read_only, written: {name: size} in file order. A block that holds addresses is a function of them until `fill`.
    """

    def __init__(self) -> None:
        self.blocks: dict[str, bytes | Callable[[dict[str, int]], bytes]] = {}
        self.read_only: dict[str, int] = {}
        self.written: dict[str, int] = {}

    def add(self, name: str, content: bytes) -> None:
        """A read-only block whose bytes are known."""
        self.blocks[name] = content
        self.read_only[name] = len(content)

    def add_later(self, name: str, size: int, content: Callable[[dict[str, int]], bytes]) -> None:
        """A read-only block of a known size that holds addresses."""
        self.blocks[name] = content
        self.read_only[name] = size

    def fill(self, addresses: dict[str, int]) -> dict[str, bytes]:
        """The bytes of every block."""
        return {
            name: content if isinstance(content, bytes) else content(addresses) for name, content in self.blocks.items()
        }


def collect(recipe: Recipe, form: Records) -> Tables:
    """All blocks of the file: the text last of those that are read, the dynamic section first of those written."""
    tables, strings = Tables(), Strings()
    dynamic = _texts(recipe, strings)
    if recipe.interp is not None:
        tables.add("interp", os.fsencode(recipe.interp) + b"\0")
    _notes(recipe, form, tables)
    indexes = _versions(recipe, form, strings, tables)
    symbols = recipe.undefined + recipe.symbols
    names = [strings.offset(symbol.name) for symbol in symbols]
    if indexes:
        versym = [_version_index(symbol, indexes, symbol in recipe.symbols) for symbol in symbols]
        tables.add("versym", b"".join(map(form.half.pack, [0, *versym])))
    tables.add_later("symtab", (len(names) + 1) * form.symbol.size, lambda at: _symtab(recipe, form, names, at["text"]))
    _hashes(recipe, form, tables)
    _relocations(recipe, form, tables)
    tables.add("strtab", bytes(strings.data))
    tables.add("text", bytes(entry_size(recipe.machine) * recipe.entry + _BODY))
    _written(recipe, form, tables, dynamic)
    return tables


def _texts(recipe: Recipe, strings: Strings) -> list[tuple[int, int]]:
    """The dynamic entries that stand first: those that name strings, then the flags and whatever else was asked for."""
    entries = [(DT[name], strings.offset(text)) for name, text in recipe.dynamic_order]
    for name in _TAGGED:
        entries += [(DT[name], strings.offset(text)) for text in getattr(recipe, name)]
    for name in ("soname", "rpath", "runpath", "audit", "depaudit"):
        text = getattr(recipe, name)
        if text is not None:
            entries.append((DT[name], strings.offset(text)))
    entries += [(DT[name], getattr(recipe, name)) for name in ("flags", "flags_1") if getattr(recipe, name)]
    return entries + [
        (tag, strings.offset(value) if isinstance(value, str) else value) for tag, value in recipe.extra_dynamic
    ]


def _notes(recipe: Recipe, form: Records, tables: Tables) -> None:
    """The notes of PT_NOTE, and the property note (psABI x86-64, "Program Property")."""
    notes = [form.note(os.fsencode(owner), kind, content, 4) for owner, kind, content in recipe.notes]
    if recipe.build_id is not None:
        notes.append(form.note(b"GNU", elfformat.NT_GNU_BUILD_ID, recipe.build_id, 4))
    if notes:
        tables.add("note", b"".join(notes))
    if recipe.isa_needed is not None:
        words = (elfformat.GNU_PROPERTY_X86_ISA_1_NEEDED, 4, recipe.isa_needed)
        content = padded(b"".join(map(form.int32.pack, words)), form.word)
        tables.add("property", form.note(b"GNU", elfformat.NT_GNU_PROPERTY_TYPE_0, content, form.word))


def _versions(recipe: Recipe, form: Records, strings: Strings, tables: Tables) -> dict[tuple[bool, str], int]:
    """The version tables; {(defined here, version): its index}, empty for a file without versions."""
    indexes: dict[tuple[bool, str], int] = {}
    if recipe.verdef:
        names = (recipe.soname or "", *recipe.verdef)
        indexes.update({(True, name): number for number, name in enumerate(names, _VERSION_BASE)})
        tables.add("verdef", _verdef(form, strings, names))
    if recipe.verneed:
        number = len(recipe.verdef) + 2
        for _, versions in recipe.verneed:
            for version, _flags in versions:
                indexes.setdefault((False, version), number)
                number += 1
        tables.add("verneed", _verneed(recipe, form, strings))
    return indexes


def _verdef(form: Records, strings: Strings, names: tuple[str, ...]) -> bytes:
    """Elf_Verdef and its one Elf_Verdaux for each name; the first is the file's own (VER_FLG_BASE)."""
    head, aux = form.verdef.size, form.verdaux.size
    records = []
    for number, name in enumerate(names, _VERSION_BASE):
        following = head + aux if number < len(names) else 0
        is_base = int(number == _VERSION_BASE)
        records.append(form.verdef.pack(1, is_base, number, 1, sysv_hash(os.fsencode(name)), head, following))
        records.append(form.verdaux.pack(strings.offset(name), 0))
    return b"".join(records)


def _verneed(recipe: Recipe, form: Records, strings: Strings) -> bytes:
    """Elf_Verneed for each file, each followed by its Elf_Vernaux."""
    head, aux = form.verneed.size, form.vernaux.size
    records, number = [], len(recipe.verdef) + 2
    for left, (file, versions) in zip(range(len(recipe.verneed) - 1, -1, -1), recipe.verneed, strict=True):
        following = head + aux * len(versions) if left else 0
        records.append(form.verneed.pack(1, len(versions), strings.offset(file), head, following))
        for place, (version, flags) in enumerate(versions, 1):
            after = aux if place < len(versions) else 0
            hashed = sysv_hash(os.fsencode(version))
            records.append(form.vernaux.pack(hashed, flags, number, strings.offset(version), after))
            number += 1
    return b"".join(records)


def _version_index(symbol: Symbol, indexes: dict[tuple[bool, str], int], defined: bool) -> int:
    """The symbol's entry of DT_VERSYM."""
    if symbol.version is None:
        return _VERSION_GLOBAL
    return indexes[defined, symbol.version] | (_HIDDEN if symbol.hidden else 0)


def _symtab(recipe: Recipe, form: Records, names: list[int], text: int) -> bytes:
    """The null symbol, the undefined ones, the defined ones (all with the same body, behind the entry point)."""
    body = text + entry_size(recipe.machine) * recipe.entry
    entries = [bytes(form.symbol.size)]
    for number, (symbol, name) in enumerate(zip(recipe.undefined + recipe.symbols, names, strict=True)):
        info = (STB_WEAK if symbol.weak else STB_GLOBAL) << 4 | STT[symbol.kind]
        if number < len(recipe.undefined):
            entries.append(form.symbol_entry(name, info, 0, 0, 0))
        else:
            entries.append(form.symbol_entry(name, info, 1, body, _BODY))
    return b"".join(entries)


def _hashes(recipe: Recipe, form: Records, tables: Tables) -> None:
    """DT_HASH and DT_GNU_HASH of one bucket each (and a Bloom filter that lets everything through)."""
    word = form.pointer if recipe.machine in elfformat.WIDE_HASH else form.int32
    first, count = len(recipe.undefined) + 1, len(recipe.undefined) + len(recipe.symbols) + 1
    start = first if recipe.symbols else 0
    if recipe.hash_style != "gnu":
        chain = [*[0] * first, *range(first + 1, count), 0][:count]
        tables.add("hash", b"".join(map(word.pack, [1, count, start, *chain])))
    if recipe.hash_style != "sysv":
        head = b"".join(map(form.int32.pack, [1, first, 1, 0]))
        values = [gnu_hash(os.fsencode(symbol.name)) & ~1 for symbol in recipe.symbols]
        values[-1:] = [value | 1 for value in values[-1:]]
        tables.add("gnu_hash", head + b"\xff" * form.word + b"".join(map(form.int32.pack, [start, *values])))


def _relocations(recipe: Recipe, form: Records, tables: Tables) -> None:
    """One relocation for each undefined symbol: data slots of the GOT under "rel", lazy ones under "jmprel"."""
    slots = _got_slots(recipe)
    for name, kind, which in (("rel", "object", 0), ("jmprel", "function", 1)):
        numbers = [number for number, symbol in enumerate(recipe.undefined) if symbol.kind == kind]
        if not numbers:
            continue
        relocation = elfformat.RELOCATIONS[recipe.machine][which]

        def block(at: dict[str, int], numbers: list[int] = numbers, relocation: int = relocation) -> bytes:
            return b"".join(
                form.relocation(recipe.machine, at["got"] + slots[number] * form.word, number + 1, relocation)
                for number in numbers
            )

        tables.add_later(name, len(numbers) * form.relocation_size(recipe.machine), block)


def _got_slots(recipe: Recipe) -> list[int]:
    """The word of the GOT that belongs to each undefined symbol: the functions' ones first, as lazy binding counts."""
    functions = [number for number, symbol in enumerate(recipe.undefined) if symbol.kind == "function"]
    others = [number for number, symbol in enumerate(recipe.undefined) if symbol.kind != "function"]
    order = {number: slot for slot, number in enumerate(functions + others, _GOT_RESERVED)}
    return [order[number] for number in range(len(recipe.undefined))]


def _written(recipe: Recipe, form: Records, tables: Tables, entries: list[tuple[int, int]]) -> None:
    """The dynamic section and the GOT behind it. `entries` come first; a tag that names a block gets its address."""
    sizes, addends = tables.read_only, recipe.machine not in elfformat.WITHOUT_ADDEND
    pointers = [
        name for name in ("hash", "gnu_hash", "strtab", "symtab", "versym", "verdef", "verneed") if name in sizes
    ]
    plain = [("strsz", sizes["strtab"]), ("syment", form.symbol.size)]
    if recipe.verdef:
        plain.append(("verdefnum", len(recipe.verdef) + 1))
    if recipe.verneed:
        plain.append(("verneednum", len(recipe.verneed)))
    table = "rela" if addends else "rel"
    if "rel" in sizes:
        plain += [(table + "sz", sizes["rel"]), (table + "ent", form.relocation_size(recipe.machine))]
    if "jmprel" in sizes:
        plain += [("pltrelsz", sizes["jmprel"]), ("pltrel", DT[table])]
    if recipe.interp is not None:
        plain.append(("debug", 0))
    located: list[tuple[int, str]] = [(DT[name], name) for name in pointers]
    located += [(DT[tag], name) for tag, name in ((table, "rel"), ("jmprel", "jmprel")) if name in sizes]
    located += [(DT["pltgot"], "got")] if "jmprel" in sizes else []

    def block(at: dict[str, int]) -> bytes:
        known = [*entries, *((DT[name], value) for name, value in plain), *((tag, at[name]) for tag, name in located)]
        return b"".join(form.dynamic.pack(tag, value) for tag, value in [*known, (DT["null"], 0)])

    tables.blocks["dynamic"] = block
    tables.written["dynamic"] = (len(entries) + len(plain) + len(located) + 1) * form.dynamic.size
    tables.written["got"] = (_GOT_RESERVED + len(recipe.undefined)) * form.word
    tables.blocks["got"] = lambda at: form.pointer.pack(at["dynamic"]) + bytes(tables.written["got"] - form.word)


# Each section by its block: (name, sh_type, sh_flags, the section that sh_link names). gABI chapter 4, LSB for GNU's.
# Notes are aligned to words of 4 bytes, the property note to those of its class, like everything else.
_SECTIONS = {
    "interp": (".interp", 1, 2, ""),
    "note": (".note", 7, 2, ""),
    "property": (".note.gnu.property", 7, 2, ""),
    "verdef": (".gnu.version_d", 0x6FFFFFFD, 2, "strtab"),
    "verneed": (".gnu.version_r", 0x6FFFFFFE, 2, "strtab"),
    "versym": (".gnu.version", 0x6FFFFFFF, 2, "symtab"),
    "symtab": (".dynsym", 11, 2, "strtab"),
    "hash": (".hash", 5, 2, "symtab"),
    "gnu_hash": (".gnu.hash", 0x6FFFFFF6, 2, "symtab"),
    "rel": (".rel.dyn", 9, 2, "symtab"),
    "jmprel": (".rel.plt", 9, 2, "symtab"),
    "strtab": (".dynstr", 3, 2, ""),
    "text": (".text", 1, 6, ""),
    "dynamic": (".dynamic", 6, 3, "strtab"),
    "got": (".got.plt", 1, 3, ""),
}


def append_sections(
    body: bytearray, form: Records, places: dict[str, tuple[int, int]], addresses: dict[str, int], recipe: Recipe
) -> tuple[int, int, int]:
    """Section headers and their names, put at the file's end: (offset of the table, number, index of the names).

    The first section after the null one is .text, which is where `_symtab` says that symbols are defined.
    """
    order = ["text", *(name for name in places if name != "text")]
    numbers = {name: number for number, name in enumerate(order, 1)} | {"": 0}
    counts = {"symtab": 1, "verdef": len(recipe.verdef) + 1, "verneed": len(recipe.verneed)}
    wide = recipe.machine in elfformat.WIDE_HASH and form.wide
    sizes = {"symtab": form.symbol.size, "dynamic": form.dynamic.size, "versym": 2, "hash": 8 if wide else 4}
    strings, headers = Strings(), [bytes(form.section.size)]
    for name in order:
        label, kind, flags, link = _SECTIONS[name]
        entry = sizes.get(name, 0)
        if name in ("rel", "jmprel"):
            entry = form.relocation_size(recipe.machine)
            if recipe.machine not in elfformat.WITHOUT_ADDEND:
                label, kind = label.replace(".rel", ".rela"), 4
        at, size = places[name]
        headers.append(
            form.section.pack(
                strings.offset(label),
                kind,
                flags,
                addresses[name],
                at,
                size,
                numbers[link],
                counts.get(name, 0),
                4 if name == "note" else form.word,
                entry,
            )
        )
    label_at = strings.offset(".shstrtab")
    headers.append(form.section.pack(label_at, 3, 0, 0, len(body), len(strings.data), 0, 0, 1, 0))
    body += strings.data
    body += bytes(-len(body) % 8)
    table = len(body)
    body += b"".join(headers)
    return table, len(headers), len(headers) - 1
