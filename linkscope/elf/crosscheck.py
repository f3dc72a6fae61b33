"""The same facts of one file as three readers see them: LinkScope's own, pyelftools and lief.

Where they disagree the file is damaged, or made to deceive the tools that believe section headers. The other two
readers work in a child process each: a hostile file can make them hang, fill the memory, or (lief is C++) crash.
"""

from __future__ import annotations

import importlib
import os
import resource
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from linkscope.elf import constants as c
from linkscope.elf import notes
from linkscope.elf.reader import open_reader
from linkscope.model.document import text

if TYPE_CHECKING:
    from linkscope.elf.image import Image

Facts = dict[str, str]
# A file's path, and whether it is one that is loaded: only of these are the dynamic section and the like facts.
Reading = Callable[[str, bool], Facts]
_LIBRARIES = ("elftools.elf.elffile", "elftools.elf.enums", "lief")
_SECONDS = 30
_MEMORY = 4 << 30  # bytes of address space
_BUILD_ID = ("GNU", "NT_GNU_BUILD_ID")  # as pyelftools has it, which gives other owners' notes the same name of a type
_BY_SECTIONS = " (by section headers)"


class Disagreement(msgspec.Struct, frozen=True):
    """One fact that the readers do not agree on; None: this reader does not tell it.

    The fact `readable` says that a reader refuses the file as a whole, and why.
    """

    fact: str
    own: str | None
    pyelftools: str | None
    lief: str | None

    def sentence(self) -> str:
        """What each reader says, of a list only what the others do not all say as well."""
        if self.fact == "readable":
            others = {"pyelftools": self.pyelftools, "lief": self.lief}
            return "; ".join(f"{name} {said}" for name, said in others.items() if said and said != "yes")
        told = {"LinkScope": self.own, "pyelftools": self.pyelftools, "lief": self.lief}
        parts = {name: said.split(", ") for name, said in told.items() if said is not None}
        common = set.intersection(*map(set, parts.values()))
        words = [f"{name} reads {_differing(said, common)}" for name, said in parts.items()]
        words += [f"{name} does not tell" for name, said in told.items() if said is None]
        return f"{self.fact}: {'; '.join(words)}"


def _differing(parts: list[str], common: set[str]) -> str:
    own = [part for part in parts if part not in common]
    if not common:
        return ", ".join(parts)
    return f"{', '.join(own)} beside what all read" if own else "no more than what all read"


def disagreements(path: str, image: Image) -> list[Disagreement]:
    """The facts on which the readers differ, [] for a file on which they agree.

    path: where the file of IMAGE can be opened. Raises FileUnreadable and MalformedElf as the own reader does.
    """
    with _interrupts_held_back():  # lief aborts the process if an exception comes up in the middle of its import
        for heavy in _LIBRARIES:  # once, instead of in each child
            importlib.import_module(heavy)
    loaded = image.type in (c.ET_EXEC, c.ET_DYN) and not image.debug
    own = _own_facts(path, image, loaded)
    others: dict[str, Facts] = {}
    refused: dict[str, str] = {}
    for name, reading in (("pyelftools", _pyelftools_facts), ("lief", _lief_facts)):
        answer = _in_child(reading, path, loaded)
        if isinstance(answer, str):
            refused[name] = f"refuses: {answer}"
        else:
            others[name] = answer
    found = []
    if refused:
        found.append(Disagreement("readable", "yes", refused.get("pyelftools", "yes"), refused.get("lief", "yes")))
    for fact, value in own.items():
        seen = {name: facts[fact] for name, facts in others.items() if fact in facts}
        if any(other != value for other in seen.values()):
            found.append(Disagreement(fact, value, seen.get("pyelftools"), seen.get("lief")))
    return found


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """SIGINT waits for the end, and comes then; a process that is made meanwhile never sees it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_child(reading: Reading, path: str, loaded: bool) -> Facts | str:
    """What READING says of the file, or in a few words why it says nothing."""
    receiving, sending = os.pipe()
    with _interrupts_held_back():
        child = os.fork()
        if not child:
            os.close(receiving)
            _answer(reading, path, loaded, sending)
    os.close(sending)
    data = b""
    try:
        with os.fdopen(receiving, "rb", buffering=0) as pipe:
            while select.select([pipe], [], [], _SECONDS)[0]:
                piece = pipe.read(1 << 16)
                if not piece:
                    break
                data += piece
            else:
                os.kill(child, signal.SIGKILL)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return f"no answer within {_SECONDS} seconds"
    if status < 0:
        return f"crashes ({signal.Signals(-status).name})"
    return msgspec.json.decode(data, type=Facts | str)


def _answer(reading: Reading, path: str, loaded: bool, sending: int) -> None:
    """Send what READING says, and end this process."""
    answer: Facts | str
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        answer = reading(path, loaded)
    except BaseException as error:  # noqa: BLE001  (whatever the libraries raise is their refusal)
        answer = text(f"{type(error).__name__}: {error}".splitlines()[0])
    try:
        data = msgspec.json.encode(answer)
        while data:
            data = data[os.write(sending, data) :]
    finally:
        os._exit(0)


def _told(value: object) -> str:
    """A fact in words, the same for all readers."""
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else text(str(value))


def _versions(needs: list[tuple[str, list[str]]]) -> str:
    return "; ".join(f"{file}: {' '.join(sorted(versions))}" for file, versions in sorted(needs)) or "none"


def _own_facts(path: str, image: Image, loaded: bool) -> Facts:
    facts: dict[str, object] = {
        "class": image.elf_class,
        "endian": "little" if image.layout.order == "<" else "big",
        "machine": image.machine,
        "type": image.type,
        "entry": hex(image.entry),
        "segments": len(image.segments),
    }
    if loaded:
        with open_reader(path) as reader:
            facts["build id"] = notes.build_id(reader, image)
        facts["interpreter"] = image.interpreter
        facts["dynamic section"] = "yes" if image.dynamic is not None else None
    if loaded and image.dynamic is not None:
        strings: dict[str, object] = {
            "needed": [text(name) for name in image.needed] or None,
            "soname": image.soname,
            "rpath": image.rpath,
            "runpath": image.runpath,
            "flags_1": hex(image.dt_flags_1),
        }
        facts |= strings
        facts |= {fact + _BY_SECTIONS: value for fact, value in strings.items()}
        facts["version needs"] = _versions(
            [(text(need.file), [text(version.name) for version in need.versions]) for need in image.verneed]
        )
    return {fact: _told(value) for fact, value in facts.items()}


def _pyelftools_facts(path: str, loaded: bool) -> Facts:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.enums import ENUM_E_MACHINE, ENUM_E_TYPE

    with open(path, "rb") as stream:
        elf: Any = ELFFile(stream)
        facts: dict[str, object] = {
            "class": elf.elfclass,
            "endian": "little" if elf.little_endian else "big",
            "machine": ENUM_E_MACHINE.get(elf["e_machine"], elf["e_machine"]),
            "type": ENUM_E_TYPE.get(elf["e_type"], elf["e_type"]),
            "entry": hex(elf["e_entry"]),
            "segments": elf.num_segments(),
        }
        if loaded:
            facts |= _pyelftools_segments(elf) | _pyelftools_sections(elf)
        return {fact: _told(value) for fact, value in facts.items()}


def _pyelftools_segments(elf: Any) -> dict[str, object]:
    segments = list(elf.iter_segments())
    interpreter = next((s for s in segments if s["p_type"] == "PT_INTERP"), None)
    dynamic = next((s for s in reversed(segments) if s["p_type"] == "PT_DYNAMIC"), None)
    areas = [s for s in segments if s["p_type"] == "PT_NOTE"]
    areas += [s for s in elf.iter_sections() if s["sh_type"] == "SHT_NOTE"]
    ids = (n["n_desc"] for area in areas for n in area.iter_notes() if (n["n_name"], n["n_type"]) == _BUILD_ID)
    facts: dict[str, object] = {
        "interpreter": interpreter and interpreter.get_interp_name(),
        "dynamic section": None if dynamic is None else "yes",
        "build id": next(ids, None),
    }
    return facts if dynamic is None else facts | _pyelftools_dynamic(dynamic)


def _pyelftools_sections(elf: Any) -> dict[str, object]:
    facts: dict[str, object] = {}
    for section in elf.iter_sections():
        if section["sh_type"] == "SHT_DYNAMIC":
            facts |= {fact + _BY_SECTIONS: value for fact, value in _pyelftools_dynamic(section).items()}
        elif section["sh_type"] == "SHT_GNU_verneed":
            needs = [(need.name, [version.name for version in found]) for need, found in section.iter_versions()]
            facts["version needs"] = _versions(needs)
    return facts


def _pyelftools_dynamic(dynamic: Any) -> dict[str, object]:
    facts: dict[str, object] = {"soname": None, "rpath": None, "runpath": None, "flags_1": hex(0)}
    needed = []
    for tag in dynamic.iter_tags():
        if tag.entry.d_tag == "DT_NEEDED":
            needed.append(tag.needed)
        elif tag.entry.d_tag in ("DT_SONAME", "DT_RPATH", "DT_RUNPATH"):
            name = tag.entry.d_tag[3:].lower()
            facts[name] = getattr(tag, name)
        elif tag.entry.d_tag == "DT_FLAGS_1":
            facts["flags_1"] = hex(tag.entry.d_val)
    return facts | {"needed": needed or None}


def _lief_facts(path: str, loaded: bool) -> Facts:
    import lief

    lief.logging.disable()
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_symtab_symbols = config.parse_dyn_symbols = config.parse_overlay = False
    elf: Any = lief.ELF.parse(path, config)
    if elf is None:
        raise ValueError("not parsed")
    header = elf.header
    facts: dict[str, object] = {
        "class": 64 if header.identity_class == lief.ELF.Header.CLASS.ELF64 else 32,
        "endian": "little" if header.identity_data == lief.ELF.Header.ELF_DATA.LSB else "big",
        "machine": header.machine_type.value,
        "type": header.file_type.value,
        "entry": hex(header.entrypoint),
        "segments": len(elf.segments),
    }
    if loaded:
        ids = (note for note in elf.notes if note.type == lief.ELF.Note.TYPE.GNU_BUILD_ID)
        needs = [(n.name, [aux.name for aux in n.get_auxiliary_symbols()]) for n in elf.symbols_version_requirement]
        facts["interpreter"] = elf.interpreter if elf.has_interpreter else None
        facts["dynamic section"] = "yes" if elf.has(lief.ELF.Segment.TYPE.DYNAMIC) else None
        if facts["endian"] == "little":  # of other files lief 1.0 swaps the bytes, in words
            facts["build id"] = next((bytes(note.description).hex() for note in ids), None)
        facts["version needs"] = _versions(needs)
        if facts["dynamic section"]:
            facts |= _lief_dynamic(elf, lief.ELF.DynamicEntry.TAG)
    return {fact: _told(value) for fact, value in facts.items()}


def _lief_dynamic(elf: Any, tags: Any) -> dict[str, object]:
    facts: dict[str, object] = {"soname": None, "rpath": None, "runpath": None, "flags_1": hex(0)}
    named = {tags.SONAME: ("soname", "name"), tags.RPATH: ("rpath", "rpath"), tags.RUNPATH: ("runpath", "runpath")}
    for entry in elf.dynamic_entries:
        if entry.tag in named:
            fact, attribute = named[entry.tag]
            facts[fact] = getattr(entry, attribute)
        elif entry.tag == tags.FLAGS_1:
            facts["flags_1"] = hex(entry.value)
    return facts | {"needed": list(elf.libraries) or None}
