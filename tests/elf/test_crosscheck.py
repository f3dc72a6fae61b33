"""Three readers compared: silent on every honest file, and outspoken on files that are made to deceive."""

import os
import re
import signal
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from linkscope.elf import crosscheck
from linkscope.elf.crosscheck import Disagreement, disagreements
from linkscope.errors import LinkScopeError
from tests.elf.samples import LIBRARIES, PROGRAMS, FixtureFile, elf_files, opened, spread, tool
from tests.elf.test_damage import WOUNDS, damaged


def _disagreements(path: str | os.PathLike[str]) -> list[Disagreement]:
    with opened(path) as (_, image):
        return disagreements(os.fspath(path), image)


def _facts(path: Path) -> dict[str, Disagreement]:
    return {found.fact: found for found in _disagreements(path)}


def test_the_readers_agree_on_real_files() -> None:
    """Some of the machine's, more of them in CI: three readers take their time."""
    paths = elf_files(*PROGRAMS, *LIBRARIES)
    paths = tuple(spread(paths, 600 if os.environ.get("CI") else 120))
    assert {path: found for path in paths if (found := _disagreements(path))} == {}


def test_the_readers_agree_on_files_of_other_machines(foreign_files: tuple[str, ...]) -> None:
    assert {path: found for path in spread(foreign_files, 40) if (found := _disagreements(path))} == {}


def test_the_readers_agree_on_our_own_files(fixtures_dir: Path) -> None:
    paths = elf_files(*(os.fspath(fixtures_dir / name) for name in ("hello", "kinds", "hardening")))
    assert {path: found for path in paths if (found := _disagreements(path))} == {}


def _section(path: Path, name: str) -> tuple[int, int, int]:
    """(file offset of the section header, sh_offset, sh_size), as readelf has them."""
    number, offset, size = re.findall(
        rf"^ +\[ *(\d+)\] {re.escape(name)} +\w+ +\w+ (\w+) (\w+) ", tool("readelf", "-SW", path), re.MULTILINE
    )[0]
    (table,) = struct.unpack_from("<Q", path.read_bytes(), 40)
    return table + 64 * int(number), int(offset, 16), int(size, 16)


@pytest.fixture
def copied(fixture_file: FixtureFile, tmp_path: Path) -> Path:
    path = tmp_path / "copied"
    path.write_bytes(fixture_file("hello/hello-dynamic-pie").read_bytes())
    return path


def test_section_headers_that_name_another_string_table_are_seen(copied: Path) -> None:
    """The tools that go by them then read another library's name than the loader."""
    header, offset, size = _section(copied, ".dynstr")
    data = bytearray(copied.read_bytes())
    strings = data[offset : offset + size].replace(b"libc.so.6", b"libx.so.6")
    struct.pack_into("<Q", data, header + 24, len(data))  # sh_offset
    copied.write_bytes(data + strings)
    assert "libx.so.6" in tool("readelf", "-dW", copied) or "libx.so.6" in str(_facts(copied))
    found = _facts(copied)["needed (by section headers)"]
    assert (found.own, found.pyelftools, found.lief) == ("libc.so.6", "libx.so.6", None)


def test_a_dynamic_section_beside_the_segment_is_seen(copied: Path) -> None:
    header, offset, size = _section(copied, ".dynamic")
    data = bytearray(copied.read_bytes())
    decoy = data[offset : offset + size].replace(struct.pack("<Q", 0x6FFFFFFB), struct.pack("<Q", 0x6FFFFFFA))
    struct.pack_into("<Q", data, header + 24, len(data))
    copied.write_bytes(data + decoy)
    found = _facts(copied)
    assert (found["flags_1 (by section headers)"].own, found["flags_1 (by section headers)"].pyelftools) == (
        "0x8000000",
        "0x0",
    )


def test_a_dynamic_segment_whose_offset_and_address_differ_is_seen(copied: Path) -> None:
    """The loader goes by the address, both libraries by the offset in the file."""
    data = bytearray(copied.read_bytes())
    (table,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    rows = [table + 56 * number for number in range(count)]
    (dynamic,) = [at for at in rows if struct.unpack_from("<I", data, at)[0] == 2]
    offset, size = struct.unpack_from("<Q", data, dynamic + 8)[0], struct.unpack_from("<Q", data, dynamic + 32)[0]
    decoy = data[offset : offset + size].replace(struct.pack("<QQ", 1, 0), struct.pack("<QQ", 29, 0))
    names = re.findall(rb"\x01\0{7}(.{8})", bytes(decoy), re.DOTALL)
    assert names
    decoy = decoy.replace(b"\x01" + bytes(7) + names[0], (29).to_bytes(8, "little") + names[0])
    struct.pack_into("<Q", data, dynamic + 8, len(data))
    copied.write_bytes(data + decoy)
    found = _facts(copied)
    assert found["needed"].own == "libc.so.6"
    assert found["needed"].pyelftools == "none"


def test_a_file_that_a_reader_refuses_is_told_with_its_reason(copied: Path) -> None:
    """Section headers beyond the end of the file: nothing that runs needs them."""
    data = bytearray(copied.read_bytes())
    struct.pack_into("<Q", data, 40, len(data) * 2)
    copied.write_bytes(data)
    found = _facts(copied)["readable"]
    assert found.own == "yes"
    assert str(found.pyelftools).startswith("refuses: ")


def _crashes(_path: str, _loaded: bool) -> dict[str, str]:
    os.kill(os.getpid(), signal.SIGTERM)
    return {}


def _hangs(_path: str, _loaded: bool) -> dict[str, str]:
    time.sleep(600)
    return {}


def _eats_memory(path: str, _loaded: bool) -> dict[str, str]:
    return {path: str(bytearray(1 << 40))}


@pytest.mark.parametrize(
    ("reading", "said"),
    [(_crashes, "crashes (SIGTERM)"), (_hangs, "no answer within 1 seconds"), (_eats_memory, "MemoryError")],
)
def test_a_reader_that_dies_or_hangs_does_not_take_us_with_it(
    reading: Callable[[str, bool], dict[str, str]], said: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crosscheck, "_lief_facts", reading)
    monkeypatch.setattr(crosscheck, "_SECONDS", 1)
    found = _facts(copied)["readable"]
    assert (found.own, found.pyelftools) == ("yes", "yes")
    assert str(found.lief).startswith(f"refuses: {said}")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            Disagreement("needed", "a.so, c.so", "b.so, c.so", None),
            (
                "needed: LinkScope reads a.so beside what all read; pyelftools reads b.so beside what all read; "
                "lief does not tell"
            ),
        ),
        (
            Disagreement("needed", "a.so", "a.so, b.so", "a.so"),
            (
                "needed: LinkScope reads no more than what all read; pyelftools reads b.so beside what all read; "
                "lief reads no more than what all read"
            ),
        ),
        (
            Disagreement("entry", "0x10", "0x20", "0x10"),
            "entry: LinkScope reads 0x10; pyelftools reads 0x20; lief reads 0x10",
        ),
        (Disagreement("readable", "yes", "yes", "refuses: not parsed"), "lief refuses: not parsed"),
    ],
    ids=["a list", "one more", "a value", "refused"],
)
def test_a_disagreement_in_words_has_only_what_differs(found: Disagreement, sentence: str) -> None:
    assert found.sentence() == sentence


def _is_interrupted(path: str, loaded: bool) -> dict[str, str]:
    os.kill(os.getpid(), signal.SIGINT)
    return crosscheck._pyelftools_facts(path, loaded)


def test_an_interrupt_of_the_whole_process_group_is_not_a_readers_affair(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crosscheck, "_lief_facts", _is_interrupted)
    assert _disagreements(copied) == []


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_an_interrupt_ends_the_reader_that_is_waited_for(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _children()
    monkeypatch.setattr(crosscheck, "_lief_facts", _hangs)
    interrupt = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        _disagreements(copied)
    assert _children() == before


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wounds=WOUNDS)
def test_damaged_files_are_compared_or_refused(
    wounds: list[tuple[float, int, int]], fixture_file: FixtureFile, tmp_path: Path
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(damaged(fixture_file("hello/hello-dynamic-pie").read_bytes(), wounds, "little"))
    with suppress(LinkScopeError):
        assert isinstance(_disagreements(path), list)
