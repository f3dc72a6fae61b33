"""The store of signatures: what is put in comes out, whatever is done to the file or the process meanwhile."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from linkscope.contents import exchange, learning, packs
from linkscope.contents.fingerprints import Archive, Signature
from linkscope.contents.learning import Labels, Refused
from linkscope.contents.packs import Learnt, Store, default_store
from linkscope.elf.reader import open_reader
from linkscope.errors import LinkScopeError, StoreUnusable
from tests.cli.conftest import REPOSITORY, environment
from tests.elf.samples import tool
from tests.oracle.availability import Unavailable

_FUNCTION = """
int {name}_{number}(int *p, int n) {{
    int s = {number};
    for (int i = 0; i < n; i++) s = s * 31 + p[i];
    return s;
}}
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    return Store(str(tmp_path / "store" / "signatures.db"))


def archive(folder: Path, name: str, members: int = 3, options: tuple[str, ...] = (), ar: str = "rcs") -> Path:
    """A static library of so many objects, each with one function that no other has."""
    objects = []
    folder.mkdir(exist_ok=True, parents=True)
    for number in range(members):
        source = folder / f"{name}{number}.c"
        source.write_text(_FUNCTION.format(name=name, number=number + sum(name.encode())))
        tool("gcc", "-O2", *options, "-c", source, "-o", source.with_suffix(".o"))
        objects.append(f"{name}{number}.o")
    path = folder / f"lib{name}.a"
    path.unlink(missing_ok=True)
    command = ["gcc-ar" if "-flto" in options else "ar", *ar.split(), path.name, *objects]
    if subprocess.run(command, cwd=folder, capture_output=True).returncode:
        raise Unavailable(f"{command[0]} {ar} fails")
    return path


def lesson(path: Path, **labels: str) -> list[Learnt | Refused]:
    with open_reader(str(path)) as reader:
        return list(learning.of_file(reader, str(path), Labels(**labels)))


def learnt(path: Path, **labels: str) -> list[Learnt]:
    found = lesson(path, **labels)
    assert all(isinstance(one, Learnt) for one in found)
    return [one for one in found if isinstance(one, Learnt)]


def made_up(name: str, seed: int, count: int = 40) -> Learnt:
    """An archive whose numbers are as large as numbers get, and in which each code stands twice.

    What a code is follows from its number, the first of which is SEED.
    """
    signatures = tuple(
        Signature(
            member=f"{name}{number % 7}.o",
            section=f".text.f{number}" if number % 2 else ".text",
            length=0xFFFFFFFF - code,
            fixed=16 + code,
            digest=code.to_bytes(12, "big"),
            changeable=(code << 7 * (code % 5)).to_bytes(8, "little")[: code % 9],
            anchor=0xFFFFFFFFFFFFFFFF - code,
            anchor_at=code,
            check=0xFFFFFFFF - code,
            check_at=8 + code,
            shared=number % 3 == 0,
        )
        for number in range(count)
        for code in (seed + number // 2,)
    )
    whole = Archive(
        name=f"lib{name}.a",
        architecture="x86_64",
        members=7,
        sections=count,
        size=1 << 33,
        signatures=signatures,
        package="ä",
    )
    return Learnt(f"/some/where/lib{name}.a", whole)


def test_every_signature_comes_out_as_it_was_put_in(store: Store, tmp_path: Path) -> None:
    """In two blocks, among them code that several archives have."""
    first, second = learnt(archive(tmp_path, "one"), library="one", version="1"), [made_up("two", 1), made_up("six", 9)]
    store.add(first)
    store.add(second)
    put_in = {one.identity.hex(): one for one in (*first, *second)}
    assert {one.identity.hex(): one for one in store.learnt()} == put_in
    assert {one.identity: one.archive for one in store.filed()} == {
        identity: msgspec.structs.replace(one.archive, signatures=()) for identity, one in put_in.items()
    }
    assert [one.recognised for one in store.filed()] == [
        len(put_in[one.identity].archive.signatures) for one in store.filed()
    ]


def test_a_search_is_given_every_code_once_a_block_and_every_place_of_it(store: Store) -> None:
    put_in = [made_up("two", 1), made_up("six", 9), made_up("ten", 500)]
    store.add(put_in[:2])
    store.add(put_in[2:])
    codes = store.codes("x86_64")
    assert codes is not None
    numbers = range(len(codes.anchors))
    proofs = store.proofs("x86_64", numbers)
    assert len({digest for digest, _ in proofs}) == len(numbers) == 28 + 20
    rows = {
        digest: (int(anchor), int(at), int(check), int(check_at), int(length), changeable)
        for (digest, changeable), anchor, at, check, check_at, length in zip(
            proofs, codes.anchors, codes.anchors_at, codes.checks, codes.checks_at, codes.lengths, strict=True
        )
    }
    places = store.places("x86_64", numbers)
    found = {
        (store.archives([place.archive])[0].name, place.member, place.section, place.shared, proofs[place.code][0])
        for place in places
    }
    assert found == {
        (one.archive.name, signature.member, signature.section, signature.shared, signature.digest)
        for one in put_in
        for signature in one.archive.signatures
    }
    assert len(places) == sum(len(one.archive.signatures) for one in put_in)
    for s in (signature for one in put_in for signature in one.archive.signatures):
        assert rows[s.digest] == (s.anchor, s.anchor_at, s.check, s.check_at, s.length, s.changeable)


def test_the_versions_that_are_known_come_with_the_code_and_are_not_asked_for_again(store: Store) -> None:
    """A run asks for them with every file."""
    given = [("foo", "1"), ("foo", "2"), ("foo", "2"), ("bar", None)]
    for number, (library, version) in enumerate(given):
        one = made_up(f"n{number}", 50 * number)
        archive = msgspec.structs.replace(one.archive, library=library, version=version)
        store.add([Learnt(one.origin, archive), made_up(f"unnamed{number}", 900 + 50 * number)])
    assert store.codes("x86_64") is not None
    Path(store.path).unlink()
    assert store.versions("x86_64") == {"foo": {"1", "2"}, "bar": {None}, "ä": {None}}
    assert store.versions("aarch64") == {}


def test_nothing_is_known_of_another_machine(store: Store) -> None:
    assert store.codes("x86_64") is None
    store.add([made_up("two", 1)])
    assert Store(store.path).codes("aarch64") is None
    assert Store(store.path).places("aarch64", []) == []


def test_the_same_is_not_added_twice_and_other_code_of_that_name_is(store: Store, tmp_path: Path) -> None:
    first = learnt(archive(tmp_path, "same"))
    assert store.add(first) == (1, 0)
    assert store.add([*first, *first]) == (0, 1)
    other = learnt(archive(tmp_path, "same", options=("-O1",)))
    assert store.add(other) == (1, 0)


def test_what_is_removed_leaves_the_others_and_takes_its_code_along(store: Store) -> None:
    two, six = made_up("two", 1), made_up("six", 9)
    store.add([two, six])
    assert store.remove([two.identity.hex()]) == 1
    assert list(store.learnt()) == [six]
    codes = Store(store.path).codes("x86_64")
    assert codes is not None
    assert len(codes.anchors) == 20
    assert store.remove([six.identity.hex()]) == 1
    assert Store(store.path).codes("x86_64") is None


# A first change, and a later one: half of it is written when the process is killed.
_KILLED = """
import sys, time
from linkscope.contents import packs
from tests.contents.test_packs import made_up
insert = packs._insert
def slow(*given):
    insert(*given)
    print("half", flush=True)
    time.sleep(60)
packs._insert = slow
packs.Store(sys.argv[1]).add([made_up("new", 7000, 2000)])
"""


@pytest.mark.parametrize("before", [[], [made_up("two", 1)]], ids=["a store that is not there", "one with an archive"])
def test_a_killed_process_leaves_the_store_as_it_was(store: Store, before: list[Learnt]) -> None:
    if before:
        store.add(before)
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, store.path], env=environment(), cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"half\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert list(Store(store.path).learnt()) == before
    if before:
        assert (
            b"ok"
            == subprocess.run(["sqlite3", store.path, "pragma integrity_check"], capture_output=True).stdout.strip()
        )
    assert Store(store.path).add([made_up("new", 7000, 2000)]) == (1, 0)


def test_two_that_add_at_the_same_time_both_succeed(store: Store) -> None:
    script = "import sys; from linkscope.contents.packs import Store; from tests.contents.test_packs import made_up\n"
    script += "for n in range(5): Store(sys.argv[1]).add([made_up(sys.argv[2] + str(n), 40 * n)])"
    running = [
        subprocess.Popen([sys.executable, "-c", script, store.path, name], env=environment(), cwd=REPOSITORY)
        for name in ("left", "right")
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    assert {one.archive.name for one in store.filed()} == {f"lib{s}{n}.a" for s in ("left", "right") for n in range(5)}


def test_who_waits_too_long_is_told_that_another_process_writes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add([made_up("two", 1)])
    monkeypatch.setattr(packs, "_WAIT", 0.05)
    holding = sqlite3.connect(store.path, isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreUnusable, match="another process writes to it"):
            store.add([made_up("six", 9)])
        assert len(Store(store.path).filed()) == 1
    finally:
        holding.close()
    assert store.add([made_up("six", 9)]) == (1, 0)


def a_text(path: Path) -> None:
    path.write_text("signatures\n" * 1000)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def of_another_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")


def of_somebody_else(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cookies (name TEXT)")


def without_a_column(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM columns WHERE name = 'digests'")


def with_another_columns_data(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE columns SET data = (SELECT data FROM columns WHERE name = 'checks') WHERE name = 'place_codes'"
        )


def with_a_flipped_bit(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        ((data,),) = connection.execute("SELECT data FROM columns WHERE name = 'digests'").fetchall()
        connection.execute("UPDATE columns SET data = ? WHERE name = 'digests'", (data[:-9] + b"\0" + data[-8:],))


def with_a_row_of_no_block(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE archives SET block = 77")


def with_text_for_a_number(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE archives SET members = 'many'")


@pytest.mark.parametrize(
    "damage",
    [
        *(a_text, cut_off, of_another_version, of_somebody_else, without_a_column, with_another_columns_data),
        *(with_a_flipped_bit, with_a_row_of_no_block, with_text_for_a_number),
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_store_says_so_in_one_line_with_what_to_do(store: Store, damage: Callable[[Path], None]) -> None:
    store.add([made_up("two", 1, 400)])
    damage(Path(store.path))
    with pytest.raises(StoreUnusable) as caught:  # noqa: PT012  # whichever meets it first
        again = Store(store.path)
        again.filed()
        again.codes("x86_64")
        numbers = range(200)
        again.proofs("x86_64", numbers)
        again.archives([place.archive for place in again.places("x86_64", numbers)])
    assert "\n" not in caught.value.reason
    assert "sigs add" in caught.value.reason or "--store" in caught.value.reason


def test_every_flipped_byte_is_an_error_or_changes_nothing_of_the_code(store: Store) -> None:
    store.add([made_up("two", 1)])
    whole, path = Path(store.path).read_bytes(), Path(store.path)
    for at in range(0, len(whole), 211):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        again = Store(store.path)
        try:
            again.filed()
            if again.codes("x86_64") is not None:
                again.places("x86_64", range(20))
            list(again.learnt())
        except StoreUnusable:
            pass


def test_a_store_that_may_not_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="is a directory"):
        Store(str(tmp_path)).filed()
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable, match="cannot be made"):
        Store(str(tmp_path / "file" / "store")).add([made_up("two", 1)])
    with pytest.raises(StoreUnusable, match="not changed"):
        Store(packs.SHIPPED, fixed=True).add([made_up("two", 1)])


def test_an_empty_file_is_an_empty_store(tmp_path: Path) -> None:
    """As SQLite leaves one whose first change was interrupted."""
    (tmp_path / "store").touch()
    store = Store(str(tmp_path / "store"))
    assert store.filed() == []
    assert store.add([made_up("two", 1)]) == (1, 0)


def test_where_the_store_is() -> None:
    """XDG Base Directory Specification: a relative path is to be ignored."""
    assert default_store({"LINKSCOPE_STORE": "/a", "XDG_DATA_HOME": "/b"}) == "/a"
    assert default_store({"XDG_DATA_HOME": "/b", "HOME": "/h"}) == "/b/linkscope/signatures.db"
    assert default_store({"XDG_DATA_HOME": "b", "HOME": "/h"}) == "/h/.local/share/linkscope/signatures.db"
    assert default_store({"HOME": "/h"}) == "/h/.local/share/linkscope/signatures.db"


def with_long_name(path: Path, name: bytes, content: Path) -> Path:
    """An archive of one member, whose name stands before its content, as BSD's ar writes it: with NULs up to a word."""
    data = name + bytes(-len(name) % 4) + content.read_bytes()
    header = b"#1/%-13d%-12d%-6d%-6d%-8s%-10d`\n" % (len(name) + -len(name) % 4, 0, 0, 0, b"644", len(data))
    path.write_bytes(b"!<arch>\n" + header + data + b"\n" * (len(data) % 2))
    return path


def test_a_name_with_nul_bytes_ends_there_and_leaves_those_of_other_archives_alone(
    store: Store, tmp_path: Path
) -> None:
    good = archive(tmp_path, "good")
    evil = with_long_name(tmp_path / "libevil.a", b"a\0b\0c.o", next(tmp_path.glob("good*.o")))
    said = subprocess.run(["ar", "t", evil], check=True, capture_output=True, text=True).stdout.split()
    both = [*learnt(evil), *learnt(good)]
    assert {one.member for one in both[0].archive.signatures} == set(said) == {"a"}
    store.add(both)
    assert list(store.learnt()) == both
    assert store.add(both) == (0, 2)


def test_a_name_with_nul_bytes_is_filed_and_read_by_nobody(store: Store, tmp_path: Path) -> None:
    one = made_up("two", 1)
    for field in ("member", "section"):
        signature = msgspec.structs.replace(one.archive.signatures[0], **{field: "a\0b"})
        strange = Learnt("two", msgspec.structs.replace(one.archive, signatures=(signature,)))
        with pytest.raises(ValueError, match="NUL"):
            store.add([strange])
        exchange.write(str(tmp_path / field), [strange])
        with pytest.raises(StoreUnusable, match="contradict themselves"):
            exchange.read(str(tmp_path / field))
    assert store.filed() == []


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    store.add([*learnt(archive(tmp_path, "one")), made_up("two", 1)])
    exchange.write(str(tmp_path / "exported"), store.learnt())
    return tmp_path / "exported"


def test_what_is_exported_is_read_again_and_zstd_can_test_it(store: Store, exported: Path) -> None:
    assert exchange.read(str(exported)) == list(store.learnt())
    if shutil.which("zstd") is None:
        raise Unavailable("zstd is not here")
    subprocess.run(["zstd", "-t", exported], check=True, capture_output=True)


def test_an_exported_file_that_is_damaged_is_refused(exported: Path, tmp_path: Path) -> None:
    whole = exported.read_bytes()
    plain = subprocess.run(["zstd", "-dc", exported], check=True, capture_output=True).stdout
    other = subprocess.run(["zstd", "-c"], input=plain.replace(b"signatures/1", b"signatures/8"), capture_output=True)
    huge = plain.replace(b"\xa6anchor\xcf", b"\xa6anchor\xd3", 1)
    negative = subprocess.run(["zstd", "-c"], input=huge, capture_output=True)
    for data in (b"", b"signatures", whole[:-20], whole[:40] + b"\0\0" + whole[42:], other.stdout, negative.stdout):
        (tmp_path / "damaged").write_bytes(data)
        with pytest.raises(LinkScopeError):
            exchange.read(str(tmp_path / "damaged"))


@pytest.mark.parametrize("field", ["members", "sections", "size", "bitcode"])
def test_an_exported_file_with_an_impossible_number_is_refused(field: str, tmp_path: Path) -> None:
    one, path = made_up("two", 1), str(tmp_path / "exported")
    for number, refused in ((-1, True), (0, False), ((1 << 63) - 1, False), (1 << 63, True), ((1 << 64) - 1, True)):
        exchange.write(path, [Learnt("two", msgspec.structs.replace(one.archive, **{field: number}))])
        if refused:
            with pytest.raises(StoreUnusable, match="impossible number"):
                exchange.read(path)
        else:
            assert Store(str(tmp_path / str(number))).add(exchange.read(path)) == (1, 0)
        Path(path).unlink()


def test_a_small_file_that_unpacks_to_very_much_is_refused_before_it_has(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(zstandard.compress(bytes(1 << 27)))
    with pytest.raises(StoreUnusable, match="unpacks to more than 16777216 bytes"):
        exchange.read(str(tmp_path / "bomb"))
