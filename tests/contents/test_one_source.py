"""A copy is made of a source file: what one member of an archive proves, and what takes two."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from linkscope.contents.attribution import explained, linked_in
from linkscope.contents.copied import is_collection
from tests.contents.attributed import FUNCTION, by_name, calls, found_in, linked_with_map
from tests.contents.memorypack import MemoryPack, read
from tests.contents.suites import package_files
from tests.elf.samples import opened
from tests.oracle.availability import Unavailable

_NAMES = [f"f{number}" for number in range(24)]


def _object(folder: Path, name: str) -> Path:
    """An object of one source file, whose code is enough for a proof, with a function of that NAME among others."""
    folder.mkdir(exist_ok=True)
    marks = {f"{name}{suffix}": 3000 + 11 * int(name[1:]) + at for at, suffix in enumerate(("", "_b", "_c"))}
    source = folder / f"{name}.c"
    source.write_text("".join(FUNCTION.format(name=one, mark=mark) for one, mark in marks.items()))
    subprocess.run(["gcc", "-O2", "-c", source.name], cwd=folder, check=True)
    return source.with_suffix(".o")


def _archive(folder: Path, names: Sequence[str]) -> Path:
    """libfoo.a with a member for each of the names."""
    objects = [_object(folder, name) for name in names]
    subprocess.run(["ar", "rcs", "libfoo.a", *(one.name for one in objects)], cwd=folder, check=True)
    return folder / "libfoo.a"


@pytest.fixture(scope="module")
def foo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """libfoo.a of 24 members."""
    return _archive(tmp_path_factory.mktemp("foo"), _NAMES)


def _with_own_copies(folder: Path, *names: str) -> Path:
    """A program that has sources of libfoo among its own."""
    made, _ = linked_with_map(folder, calls(*names), [_object(folder / "own", name) for name in names])
    return made


def test_a_source_file_that_a_program_has_too_does_not_name_the_library(foo: Path, tmp_path: Path) -> None:
    pack = MemoryPack(read(foo, library="foo", version="1"))
    made = _with_own_copies(tmp_path, "f3")
    assert _known_bytes(made, pack) > 512
    assert found_in(made, pack).libraries == ()
    assert set(by_name(found_in(_with_own_copies(tmp_path, "f3", "f9"), pack))) == {"foo"}


def test_what_nobody_is_accused_of_may_be_another_librarys(foo: Path, tmp_path: Path) -> None:
    """The one that has the file as a good part of itself."""
    small = _archive(tmp_path / "small", ["f3", "f99"])
    pack = MemoryPack([*read(foo, library="foo"), *read(small, library="small")])
    assert set(by_name(found_in(_with_own_copies(tmp_path, "f3"), pack))) == {"small"}


def test_one_member_of_an_archive_with_few_names_it(tmp_path: Path) -> None:
    few = _archive(tmp_path / "foo", _NAMES[:6])
    made, _ = linked_with_map(tmp_path, calls("f3"), [few])
    assert set(by_name(found_in(made, MemoryPack(read(few, library="foo"))))) == {"foo"}


def test_what_the_files_texts_or_symbols_tell_is_confirmed_by_one_source_file(foo: Path, tmp_path: Path) -> None:
    made, _ = linked_with_map(tmp_path, calls("f3"), [foo])
    with opened(made) as (reader, image):
        found = [linked_in(reader, image, [MemoryPack(read(foo, library="foo"))], told) for told in ((), ("foo",))]
    assert [set(by_name(one)) for one in found] == [set(), {"foo"}]


def test_the_members_of_one_source_are_one(foo: Path, tmp_path: Path) -> None:
    """automake has the library's own name before that of an object with flags of its own: `libfoo_la-f3.o`."""
    folder = tmp_path / "twice"
    folder.mkdir()
    subprocess.run(["ar", "x", foo], cwd=folder, check=True)
    for name in [*_NAMES, *_NAMES]:  # which makes each a small part of it
        (folder / f"{name}-{len(list(folder.iterdir()))}.o").write_bytes((folder / f"{name}.o").read_bytes())
    (folder / "f9.o").rename(folder / "libfoo_la-f3.o")
    objects = [one.name for one in folder.glob("*.o") if not one.name.startswith(("f3-", "f9-"))]
    subprocess.run(["ar", "rcs", "libtwice.a", *objects], cwd=folder, check=True)
    pack = MemoryPack(read(folder / "libtwice.a", library="foo"))
    assert found_in(_with_own_copies(tmp_path, "f3", "f9"), pack).libraries == ()


_WIDE = """
int main(int c, char **v) {
    volatile unsigned __int128 a = (unsigned long)v, b = (unsigned __int128)c << 65 | 9;
    return (int)(a * a / b) ^ (int)(a * a % b);
}
"""


def test_one_function_of_the_compilers_runtime_names_it(tmp_path: Path) -> None:
    """GCC links it into what needs it, and nobody copies it (gcc -print-libgcc-file-name, and the linker's map)."""
    made, map_file = linked_with_map(tmp_path, _WIDE, ["-static-libgcc"])
    if "libgcc.a" not in map_file.read_text():
        raise Unavailable("this compiler needs no function of libgcc.a for a division of 128 bits")
    path = subprocess.run(["gcc", "-print-libgcc-file-name"], capture_output=True, text=True, check=True).stdout
    pack = MemoryPack(read(Path(path.strip()), library="gcc"))
    assert set(by_name(found_in(made, pack))) == {"gcc"}


# Real members that are copied one by one, with what of them is public, out of Debian's own archives.
COPIED = {
    "nettle-dev": ("nettle", "libnettle.a", "_nettle_ripemd160_compress"),
    "libbsd-dev": ("libbsd", "libbsd.a", "sl_init"),
    "libglib2.0-dev": ("glib", "libgio-2.0.a", "g_app_info_create_flags_get_type"),
    "libblkid-dev": ("util-linux", "libblkid.a", "strtod_or_err"),
}


@pytest.mark.parametrize("package", COPIED)
def test_files_that_others_copy_accuse_no_library(package: str, tmp_path: Path) -> None:
    """The object alone, as one of a program's own."""
    library, name, function = COPIED[package]
    path = package_files("bookworm", package) / "usr/lib/x86_64-linux-gnu" / name
    index = subprocess.run(["nm", "-sA", path], capture_output=True, text=True).stdout
    (member,) = {row.split(":")[1] for row in index.splitlines() if row.endswith(f" T {function}")}
    subprocess.run(["ar", "x", path, member], cwd=tmp_path, check=True)
    flags: list[str | Path] = [tmp_path / member, "-Wl,--unresolved-symbols=ignore-all"]
    made, _ = linked_with_map(tmp_path, f"int {function}(); int main() {{ return {function}(); }}", flags)
    whole = MemoryPack(read(path, library=library))
    assert _known_bytes(made, whole) > 512
    assert found_in(made, whole).libraries == ()


def _known_bytes(program: Path, pack: MemoryPack) -> int:
    with opened(program) as (reader, image):
        return sum(region.length for region in explained(reader, image, [pack]).known.regions)


def test_a_collection_is_named_by_two_of_its_files(tmp_path: Path) -> None:
    path = package_files("bookworm", "libmd-dev") / "usr/lib/x86_64-linux-gnu/libmd.a"
    pack = MemoryPack(read(path, library="libmd"))
    assert is_collection(path.name)
    for functions, expected in (["SHA1Transform"], set()), (["SHA1Transform", "RMD160Transform"], {"libmd"}):
        source = "".join(f"int {name}();" for name in functions)
        source += f"int main(int c, char **v) {{ return {' + '.join(f'{name}(v)' for name in functions)}; }}"
        made, _ = linked_with_map(tmp_path, source, [path])
        assert _known_bytes(made, pack) > 512
        assert set(by_name(found_in(made, pack))) == expected
