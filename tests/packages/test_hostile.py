"""Archives made to do harm: nothing outside of the private folder is written, changed or read, and each is reported."""

import gzip
import io
import lzma
import os
import struct
import sys
import tarfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.elf.reader import open_reader
from linkscope.errors import NotAPackage
from linkscope.packages.limits import Limits
from linkscope.packages.unpacked import unpacked
from tests.oracle.elfwriter import Recipe, encode
from tests.packages import makers
from tests.packages.trees import furnish, look

ELF = encode(Recipe())
OTHER = encode(Recipe(soname="other"))


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"", mode: int = 0o644) -> bytes:
    """One member of a tar archive: its header and content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, len(content), mode
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def patched(member: bytes, at: int, field: bytes) -> bytes:
    """A member whose header has FIELD at byte AT, and a checksum that is right again."""
    header = bytearray(member[:512])
    header[at : at + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + member[512:]


GOOD = entry("good.so", content=ELF)
END = bytes(1024)


def tar_with(*members: bytes) -> bytes:
    return b"".join(members) + GOOD + END


def zip_with(*members: tuple[str, int, bytes]) -> bytes:
    """A zip with members (name, st_mode, content), and a good one."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name, mode, content in (*members, ("good.so", 0o100644, ELF)):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return output.getvalue()


RpmTags = dict[int, tuple[int, int, bytes]]
"""By tag: type, count and data."""


def rpm_with(payload: bytes, tags: RpmTags | None = None, over: tuple[int, ...] = ()) -> bytes:
    """An RPM package as https://rpm-software-management.github.io/rpm/manual/format_v4.html draws it.

    over: tags, all with the same data, which is that of the last one before.
    """
    index, data, at = b"", b"", 0
    for tag, (kind, count, content) in (tags or {}).items():
        at = len(data)
        index += struct.pack(">IIII", tag, kind, at, count)
        data += content
    for tag in over:
        index += struct.pack(">II", tag, kind) + struct.pack(">II", at, count)
    signature = b"\x8e\xad\xe8\1" + bytes(12)
    main = b"\x8e\xad\xe8\1" + bytes(4) + struct.pack(">II", len(index) // 16, len(data)) + index + data
    return b"\xed\xab\xee\xdb" + bytes(92) + signature + main + payload


def cpio_entry(name: str, content: bytes, size: bytes | None = None, links: int = 1, mode: int = 0o100755) -> bytes:
    """One member of a cpio archive (cpio(5), New ASCII Format); SIZE: eight characters in the place of its own."""
    numbers = [7, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    fields = [b"%08X" % number for number in numbers]
    fields[6] = size or fields[6]
    head = b"070701" + b"".join(fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


CPIO_END = cpio_entry("TRAILER!!!", b"")
NAMED: RpmTags = {1000: (6, 1, b"app\0"), 1001: (6, 1, b"1\0"), 1002: (6, 1, b"1\0"), 1022: (6, 1, b"x86_64\0")}


def rpm_of(*members: bytes) -> bytes:
    """A sound package, and members besides good.so."""
    return rpm_with(gzip.compress(cpio_entry("./good.so", ELF) + b"".join(members) + CPIO_END), NAMED)


# Each: the archive, the members that are left besides good.so, and what is said of which member.
REPORTED: dict[str, tuple[bytes, set[str], dict[str, str]]] = {
    "climbs out": (tar_with(entry("../../evil.so", content=ELF)), set(), {"!/../../evil.so": "leads out"}),
    "climbs out from within": (
        tar_with(entry("a/../../evil.so", content=ELF)),
        set(),
        {"!/a/../../evil.so": "leads out"},
    ),
    "absolute": (tar_with(entry("/etc/evil.so", content=ELF)), {"etc/evil.so"}, {"!//etc/evil.so": "absolute"}),
    "through a symlink": (
        tar_with(entry("a", tarfile.SYMTYPE, "/tmp"), entry("a/evil.so", content=ELF)),
        set(),
        {"!/a": "symlink out", "!/a/evil.so": "leads through a, a symlink"},
    ),
    "a symlink in the place of a folder": (
        tar_with(entry("a/b.so", content=ELF), entry("a", tarfile.SYMTYPE, "..")),
        {"a/b.so"},
        {"!/a": "that of a folder"},
    ),
    "a symlink that climbs": (tar_with(entry("a/b", tarfile.SYMTYPE, "../../x")), set(), {"!/a/b": "symlink out"}),
    "a symlink over a file": (
        tar_with(entry("a", content=ELF), entry("a", tarfile.SYMTYPE, "good.so")),
        set(),
        {"!/a": "more than once"},
    ),
    "below a file": (tar_with(entry("a", content=ELF), entry("a/b", content=ELF)), {"a"}, {"!/a/b": "leads through a"}),
    "a hard link out": (tar_with(entry("a", tarfile.LNKTYPE, "/etc/passwd")), set(), {"!/a": "no file of the archive"}),
    "a hard link that climbs": (tar_with(entry("a", tarfile.LNKTYPE, "../x")), set(), {"!/a": "leads out"}),
    "a hard link to itself": (tar_with(entry("a", tarfile.LNKTYPE, "a")), set(), {"!/a": "no file of the archive"}),
    "a hard link to a symlink": (
        tar_with(entry("a", tarfile.SYMTYPE, "/etc/passwd"), entry("b", tarfile.LNKTYPE, "a")),
        set(),
        {"!/a": "symlink out"},
    ),
    "a device": (tar_with(entry("null", tarfile.CHRTYPE)), set(), {"!/null": "is a character device"}),
    "a disk": (tar_with(entry("sda", tarfile.BLKTYPE)), set(), {"!/sda": "is a block device"}),
    "a FIFO": (tar_with(entry("pipe", tarfile.FIFOTYPE)), set(), {"!/pipe": "is a FIFO"}),
    "an unknown type": (tar_with(entry("odd", b"Q")), set(), {"!/odd": "unknown type"}),
    "twice": (
        tar_with(entry("a", content=ELF), entry("./a", content=OTHER)),
        {"a"},
        {"!/./a": "more than once"},
    ),
    "twice, text the second time": (
        tar_with(entry("a", content=ELF), entry("a", content=b"text")),
        set(),
        {"!/a": "more than once"},
    ),
    "a name that is too long": (tar_with(entry("x" * 300, content=ELF)), set(), {"!/" + "x" * 300: "too long"}),
    "a path that is too deep": (
        tar_with(entry("d/" * 200 + "x", content=ELF)),
        set(),
        {"!/" + "d/" * 200 + "x": "128"},
    ),
    "no name": (tar_with(entry("", content=ELF)), set(), {"!/": "top of the archive"}),
    "a symlink to nothing": (tar_with(entry("a", tarfile.SYMTYPE, "")), set(), {"!/a": "nothing that can be named"}),
    "zip: climbs out": (zip_with(("../evil.so", 0o100644, ELF)), set(), {"!/../evil.so": "leads out"}),
    "zip: absolute": (zip_with(("/etc/x", 0o100644, ELF)), {"etc/x"}, {"!//etc/x": "absolute"}),
    "zip: a symlink out": (zip_with(("a", 0o120777, b"/etc")), set(), {"!/a": "symlink out"}),
    "zip: through a symlink": (
        zip_with(("a", 0o120777, b".."), ("a/x", 0o100644, ELF)),
        set(),
        {"!/a": "symlink out", "!/a/x": "leads through a"},
    ),
    "zip: a device": (zip_with(("null", 0o020666, b"")), set(), {"!/null": "is a device"}),
    "zip: twice": (zip_with(("a", 0o100644, ELF), ("a", 0o100755, OTHER)), {"a"}, {"!/a": "more than once"}),
    "zip: a symlink of a megabyte": (zip_with(("a", 0o120777, bytes(1 << 20))), set(), {"!/a": "1048576 bytes"}),
}


_OPENED: list[str] = []  # to be written, since it was emptied


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    path, flags = (arguments[0], arguments[2]) if event == "open" else ("", 0)
    if isinstance(path, str) and isinstance(flags, int) and flags & os.O_ACCMODE:
        _OPENED.append(path)


sys.addaudithook(_watch)  # which cannot be taken back


@contextmanager
def nothing_else_is_touched(folder: Path) -> Iterator[None]:
    """In FOLDER nothing is changed or added but below `private`, and no other file is opened to be written."""
    before = {path: path.lstat() for path in sorted(folder.rglob("*"))}
    _OPENED.clear()
    yield
    assert [path for path in _OPENED if not path.startswith(f"{folder}/private/")] == []
    after = {path: path.lstat() for path in sorted(folder.rglob("*")) if folder / "private" not in path.parents}
    after.pop(folder / "private", None)
    assert [(path, status.st_mtime_ns, status.st_mode, status.st_nlink) for path, status in after.items()] == [
        (path, status.st_mtime_ns, status.st_mode, status.st_nlink) for path, status in before.items()
    ]


@pytest.mark.parametrize("damage", REPORTED)
def test_it_is_reported_and_the_rest_is_there(damage: str, tmp_path: Path) -> None:
    content, left, said = REPORTED[damage]
    path = tmp_path / "hostile"
    path.write_bytes(content)
    with nothing_else_is_touched(tmp_path):
        found = look(path, tmp_path)
    assert set(found.seen.files) == {"good.so", *left}
    every = found.problems | found.oddities
    assert every.keys() == said.keys()
    assert all(part in every[member] for member, part in said.items()), every


# What ordinary archives have as well: images of whole systems, and what was packed with absolute names.
ODD = {
    "absolute": "absolute-name",
    "a symlink that climbs": "symlink-out",
    "a symlink over a file": "doubled-name",
    "a hard link to a symlink": "symlink-out",
    "a device": "special-file",
    "a disk": "special-file",
    "a FIFO": "special-file",
    "twice": "doubled-name",
    "twice, text the second time": "doubled-name",
    "zip: absolute": "absolute-name",
    "zip: a symlink out": "symlink-out",
    "zip: a device": "special-file",
    "zip: twice": "doubled-name",
}


@pytest.mark.parametrize("damage", REPORTED)
def test_what_is_only_odd_is_told_apart_from_what_could_not_be_read(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(REPORTED[damage][0])
    found = look(path, tmp_path)
    if damage in ODD:
        assert [oddity.kind for oddity in found.package.oddities] == [ODD[damage]]
    assert bool(found.problems) == (damage not in ODD)


def test_of_a_name_that_comes_twice_the_last_one_counts(tmp_path: Path) -> None:
    """As tar and unzip leave it; a hard link to the first one keeps that."""
    path = tmp_path / "twice.tar"
    path.write_bytes(
        tar_with(entry("a", content=ELF), entry("b", tarfile.LNKTYPE, "a"), entry("a", content=OTHER, mode=0o755))
    )
    seen = look(path, tmp_path).seen.files
    judged = tmp_path / "judged"
    judged.mkdir()
    makers.run("tar", "-xpf", path, "-C", judged)
    assert {name: content for name, (_, content) in seen.items()} == {
        name: (judged / name).read_bytes() for name in ("a", "b", "good.so")
    }
    assert seen["a"][0] == 0o755


def _zip_whose_member_lies(field: int, value: int) -> bytes:
    """A zip whose table of members has VALUE (4 bytes) at byte FIELD of its first entry."""
    content = bytearray(zip_with(("a.so", 0o100644, ELF)))
    at = content.index(b"PK\1\2") + field
    content[at : at + 4] = struct.pack("<I", value)
    return bytes(content)


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


# Tags that are lists with a row for each file: sizes, modes, inodes, folders, and capabilities.
_LISTS = (1028, 1030, 1096, 1116, 1117, 1118, 5010)

# What is damaged: whatever was read before it stays, and it is said that there is more, or was.
DAMAGED: dict[str, Callable[[], bytes]] = {
    "a size that leads back": lambda: GOOD + patched(entry("a"), 124, b"\xff" * 11 + b"\x00") + END,
    "a size beyond everything": lambda: GOOD + patched(entry("a"), 124, b"\x80" + b"\x7f" * 11) + END,
    "more bytes claimed than there are": lambda: GOOD + patched(entry("a", content=ELF), 124, b"77777777777\0"),
    "a header of rubbish": lambda: GOOD + b"rubbish!" * 64 + END,
    "half a header": lambda: GOOD + entry("a", content=ELF)[:300],
    "a description of a megabyte": lambda: GOOD + patched(entry("a", b"x"), 124, b"77777777777\0") + bytes(3 << 20),
    "a name of a megabyte": lambda: GOOD + patched(entry("a", b"L"), 124, b"77777777777\0") + bytes(3 << 20),
    "descriptions without end": lambda: GOOD + entry("a", b"x", content=b"9 a=b\n\n\n\n") * 4000 + END,
    "a sparse map without end": lambda: GOOD + _sparse(b"99999999\n" + b"%020d\n" % 0 * 100_000),
    "gzip, cut off": lambda: _half(gzip.compress(tar_with(entry("a", content=os.urandom(100_000))))),
    "xz, cut off": lambda: _half(lzma.compress(tar_with(entry("a", content=os.urandom(100_000))))),
    "zip: more claimed than there is": lambda: _zip_whose_member_lies(24, 1 << 30),
    "zip: less claimed than there is": lambda: _zip_whose_member_lies(24, 16),
    "zip: a false checksum": lambda: _zip_whose_member_lies(16, 1),
    "zip: it begins elsewhere": lambda: _zip_whose_member_lies(42, 0xFFFFFF),
    "zip: no table": lambda: zip_with()[:-10],
    "deb: no data": lambda: b"!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n",
    "deb: a size that is none": lambda: b"!<arch>\ndebian-binary   0           0     0     100644  -60       `\n2.0\n",
    "deb: truncated": lambda: b"!<arch>\ndebian-binary   0           0     0     100644  400       `\n2.0\n",
    "rpm: nothing but its magic": lambda: b"\xed\xab\xee\xdb" + bytes(92),
    "rpm: a header without end": lambda: b"\xed\xab\xee\xdb" + bytes(92) + b"\x8e\xad\xe8\1" + bytes(4) + b"\xff" * 8,
    "rpm: a negative size": lambda: rpm_of(cpio_entry("./a.so", ELF, b"-0000001"), b"a" * (60 << 20)),
    "rpm: a size with a plus": lambda: rpm_of(cpio_entry("./a.so", ELF, b"+0000040")),
    "rpm: a size with an underscore": lambda: rpm_of(cpio_entry("./a.so", ELF, b"0000_040")),
    "rpm: a size with a space": lambda: rpm_of(cpio_entry("./a.so", ELF, b"      40")),
    "rpm: strings without end": lambda: rpm_with(b"", NAMED | {1117: (8, 0xFFFFFFFF, bytes(30 << 20))}, _LISTS),
    "rpm: numbers without end": lambda: rpm_with(b"", NAMED | {1116: (4, 7 << 20, bytes(28 << 20))}, _LISTS),
    "rpm: more files than there may be": lambda: rpm_with(b"", NAMED | {1117: (8, 600_000, bytes(600_000))}, _LISTS),
    "rpm: one long name": lambda: rpm_with(
        b"070701", NAMED | {1118: (8, 1, b"a" * (20 << 20) + b"\0"), 1117: (8, 9, b"b\0" * 9), 1116: (4, 9, bytes(36))}
    ),
    "rpm: hard links without end": lambda: rpm_of(cpio_entry("./" + "a" * 4000, b"", links=2) * 4500),
    "apk of another format": lambda: b"ADBd" + bytes(100),
}


def _sparse(map_: bytes) -> bytes:
    """A sparse file as pax 1.0 has it, whose map is MAP."""
    said = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.realsize=4096\n25 GNU.sparse.name=a.so\n"
    return entry("x", b"x", content=said) + entry("a", content=map_) + END


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_said_and_takes_little_memory(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(DAMAGED[damage]())
    tracemalloc.start()
    try:
        with nothing_else_is_touched(tmp_path):
            found = look(path, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()
    assert found.problems
    assert not any("\n" in reason for reason in found.problems.values())
    whole = ("deb", "rpm", "apk", "gzip", "xz", "zip: no table")  # nothing of it can be read
    if not damage.startswith(whole) or ": a size with" in damage:
        assert "good.so" in found.seen.files


def _zip_of_members(count: int, said: int) -> bytes:
    """A zip of one good member whose table has COUNT others, all of one byte's name; SAID: how many it claims."""
    sound = zip_with()
    table, end = sound.index(b"PK\1\2"), sound.index(b"PK\5\6")
    rows = sound[table:end] + (b"PK\1\2" + bytes(24) + b"\1\0" + bytes(16) + b"x") * count
    return sound[:table] + rows + struct.pack("<4s4xHHIIH", b"PK\5\6", said, said, len(rows), table, 0)


@pytest.mark.parametrize("said", [60_001, 1])
def test_a_table_of_members_is_counted_before_it_is_held(said: int, tmp_path: Path) -> None:
    """zipfile takes some 500 bytes for each of 47, however many the archive says that there are."""
    path = tmp_path / "table.zip"
    path.write_bytes(_zip_of_members(60_000, said))
    tracemalloc.start()
    try:
        found = look(path, tmp_path, Limits(members=5000))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert found.problems == {"": "has more than 5000 members; nothing of it is looked at"}


def test_every_member_of_a_long_table_is_found(tmp_path: Path) -> None:
    """Also behind something that is no zip, as in a self-extracting archive, and before a comment."""
    path = tmp_path / "long.zip"
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for number in range(1500):
            archive.writestr(f"{number}.so", ELF if number % 7 == 0 else b"text")
        archive.comment = b"PK, so to speak"
    path.write_bytes(zip_with()[:200] + output.getvalue())
    with zipfile.ZipFile(path) as archive:
        judged = {name for name in archive.namelist() if archive.read(name).startswith(b"\x7fELF")}
    found = look(path, tmp_path)
    assert (set(found.seen.files), found.problems) == (judged, {})


def test_an_encrypted_member_is_said(tmp_path: Path) -> None:
    tree = furnish(tmp_path / "tree")
    path = makers.zipped(tree, tmp_path / "secret.zip", "-P", "secret")
    assert "is encrypted" in look(path, tmp_path).problems["!/usr/bin/app"]


def _zeros(size: int) -> bytes:
    """A tar of one ELF file that goes on with zeros."""
    return entry("bomb.so", content=ELF + bytes(size)) + END


BOMBS: dict[str, tuple[Callable[[], bytes], Limits, str]] = {
    "gzip": (lambda: gzip.compress(_zeros(90 << 20), 1), Limits(), "200 times its size"),
    "xz": (lambda: lzma.compress(_zeros(90 << 20), preset=0), Limits(), "200 times its size"),
    "bzip2": (lambda: makers.run("bzip2", "-1", data=_zeros(70 << 20)), Limits(), "200 times its size"),
    "zstd": (lambda: makers.run("zstd", "-1", data=_zeros(70 << 20)), Limits(), "200 times its size"),
    "zip": (lambda: zip_with(("bomb.so", 0o100644, ELF + bytes(90 << 20))), Limits(), "200 times its size"),
    "gzip within gzip": (
        lambda: gzip.compress(entry("inner.tar.gz", content=gzip.compress(_zeros(90 << 20), 1)) + END),
        Limits(),
        "200 times its size",
    ),
    "one large member": (lambda: _zeros(2 << 20), Limits(member=1 << 20), "larger than 1048576 bytes"),
    "a large whole": (lambda: _zeros(2 << 20), Limits(total=1 << 20), "more than 1048576 bytes"),
    "many members": (lambda: b"".join(entry(f"{n}") for n in range(50)) + END, Limits(members=40), "40 members"),
    "many folders": (lambda: entry("/".join("abcdefghij")) + END, Limits(folders=5), "5 folders"),
    "a sparse file": (
        lambda: makers.run("tar", "--sparse", "-c", "hole.so", cwd=_with_hole(Path(os.environ["BOMB"]))),
        Limits(),
        "200 times its size",
    ),
}


def _with_hole(folder: Path) -> Path:
    with open(folder / "hole.so", "wb") as file:
        file.write(ELF)
        file.truncate(1 << 30)
    return folder


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_not_let_off(bomb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of bytes, of members and of folders there are only as many as the limits allow; that is said."""
    made, limits, said = BOMBS[bomb]
    monkeypatch.setenv("BOMB", str(tmp_path))
    path = tmp_path / "bomb"
    path.write_bytes(made())
    into = tmp_path / "private"
    into.mkdir()
    with open_reader(str(path), "P") as reader, unpacked(reader, str(into), limits) as package:
        size = sum(file.lstat().st_blocks * 512 for file in into.rglob("*"))
        problems = [problem for one in package.all() for problem in one.problems]
    assert size < 70 << 20
    assert any(said in problem.reason for problem in problems), problems


def test_endless_nesting_ends(tmp_path: Path) -> None:
    content = GOOD + END
    for depth in range(6):
        content = entry(f"{depth}.tar", content=content) + entry("good.so", content=ELF) + END
    path = tmp_path / "nested.tar"
    path.write_bytes(content)
    found = look(path, tmp_path)
    problems = {problem.path: problem.reason for one in found.package.all() for problem in one.problems}
    assert problems.keys() == {"P!/5.tar!/4.tar"}
    assert "too deep" in problems["P!/5.tar!/4.tar"]
    assert [list(one.files) for one in found.package.all()] == [["good.so"], ["good.so"]]


def test_an_archive_that_holds_itself_ends(tmp_path: Path) -> None:
    """As a quine does: gzip of a tar whose member is the same archive again, as far as one looks."""
    content = gzip.compress(GOOD + END)
    for _ in range(30):
        content = gzip.compress(entry("r.tar.gz", content=content) + END)
    path = tmp_path / "r.tar.gz"
    path.write_bytes(content)
    assert len(list(look(path, tmp_path).package.all())) == 2


def test_thousands_of_faults_take_few_lines(tmp_path: Path) -> None:
    path = tmp_path / "devices.tar"
    path.write_bytes(b"".join(entry(f"d{n}", tarfile.CHRTYPE) for n in range(2000)) + END)
    found = look(path, tmp_path)
    (odd,) = found.package.oddities
    assert (odd.kind, odd.count, len(odd.members)) == ("special-file", 2000, 50)
    path.write_bytes(b"".join(entry(f"d{n}", b"Q") for n in range(2000)) + END)
    found = look(path, tmp_path)
    assert len(found.package.problems) == 51
    assert found.problems[""] == "has 1950 more members that could not be read"


_NAMES = st.lists(
    st.sampled_from(["..", ".", "", "a", "b", "a b", "\\..", "é", "\udcff", "x" * 200, "etc", "private", "good.so"]),
    min_size=1,
    max_size=5,
).map("/".join)
_KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"Z"]
)


@given(st.lists(st.tuples(_NAMES, _KINDS, _NAMES, st.booleans()), max_size=12))
def test_no_member_ever_stands_outside(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str, bool]]
) -> None:
    """Whatever their names, kinds, targets and order are."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "outside.so").write_bytes(OTHER)
    content = [
        entry(name, kind, link, ELF if elf and kind == tarfile.REGTYPE else b"") for name, kind, link, elf in members
    ]
    (folder / "odd.tar").write_bytes(entry("first.so", content=ELF) + b"".join(content) + END)
    with nothing_else_is_touched(folder):
        found = look(folder / "odd.tar", folder)
    assert all(content == ELF for _, content in found.seen.files.values())


@given(st.data())
def test_a_changed_byte_anywhere_is_no_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Of a tar, a zip, and a cpio archive's headers as RPM has them."""
    folder = tmp_path_factory.mktemp("bytes")
    content = bytearray(data.draw(st.sampled_from(_SOUND)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "changed").write_bytes(content)
    with (
        open_reader(str(folder / "changed")) as reader,
        suppress(NotAPackage),
        unpacked(reader, str(folder)) as package,
    ):
        assert package.path


def _debian(data: bytes) -> bytes:
    parts = ((b"debian-binary", b"2.0\n"), (b"control.tar", entry("control", content=b"Package: a\n") + END))
    rows = [
        b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(content))
        + content
        + b"\n" * (len(content) % 2)
        for name, content in (*parts, (b"data.tar", data))
    ]
    return b"!<arch>\n" + b"".join(rows)


_SOUND = [
    tar_with(entry("a", tarfile.SYMTYPE, "b")),
    zip_with(("a", 0o120777, b"b")),
    _debian(tar_with()),
    rpm_with(cpio_entry("./good.so", ELF) + cpio_entry("./b", b"good.so", mode=0o120777) + CPIO_END, NAMED),
]
