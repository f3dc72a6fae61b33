"""Which libraries are linked into a file, by their code alone: the linker's map of that link says what is right."""

import functools
import shutil
import subprocess
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

import msgspec
import pytest

from linkscope.contents.attribution import Found, explained, linked_in
from linkscope.contents.known import Pack
from linkscope.contents.matcher import matches
from linkscope.elf.constants import PT_LOAD
from tests.contents import linkermaps
from tests.contents.attributed import (
    DECOYS,
    FUNCTION,
    OLD,
    archive_of,
    by_name,
    calls,
    found_in,
    linked_of,
    linked_with_map,
    of_all_suites,
)
from tests.contents.memorypack import MemoryPack, installed, installed_pack, read
from tests.contents.suites import package_files
from tests.elf.samples import RequireTool, opened
from tests.oracle.availability import Unavailable

_FOREIGN = 0.001  # of what a library explains may be templates that the program's own objects brought along
_SMALL = 512  # bytes of code of an archive that need not be found: too little for a proof

_C = """
#include <sqlite3.h>
#include <expat.h>
#include <png.h>
#include <lzma.h>
#include <bzlib.h>
int main(int argc, char **argv) {
    static char b[9999];
    sqlite3_open(b, (sqlite3 **)argv);
    XML_ParserCreate(0);
    png_create_read_struct(b, 0, 0, 0);
    lzma_easy_encoder((lzma_stream *)b, 6, 4);
    return BZ2_bzCompressInit((bz_stream *)b, 1, 1, 1);
}
"""
_TLS = """
#include <openssl/ssl.h>
int main(void) { return SSL_new(SSL_CTX_new(TLS_client_method())) == 0; }
"""
_CRC = """
#include <zlib.h>
int main(int argc, char **argv) { return crc32(0, (unsigned char *)argv[0], argc); }
"""
_CXX = """
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <vector>
int main(int argc, char **argv) {
    std::vector<std::string> words(argv, argv + argc);
    std::map<std::string, int> counts;
    for (const auto &word : words) ++counts[word];
    try { if (std::regex_match(words[0], std::regex("a.b"))) throw 1; } catch (int) { std::cout << counts.size(); }
}
"""


class Program(msgspec.Struct, frozen=True):
    source: str
    libraries: str = ""
    compiler: str = "gcc"


PROGRAMS = {
    "many": Program(_C, "-lsqlite3 -lexpat -lpng -llzma -lbz2 -lz -lm -ldl -lpthread"),
    "tls": Program(_TLS, "-lssl -lcrypto -ldl -lpthread"),
    "crc": Program(_CRC, "-lz"),
    "c++": Program(_CXX, "", "g++"),
}
SHAPES = {
    "static": "-static",
    "static-pie": "-static-pie",
    "stripped": "-static -s",
    "gc-sections": "-static -Wl,--gc-sections",
    "one-segment": "-static -Wl,-z,noseparate-code",
    "not-relaxed": "-static -Wl,--no-relax",
    "sorted": "-static -Wl,--sort-section=alignment",
    "gold": "-static -fuse-ld=gold",
    "gold-icf": "-static -fuse-ld=gold -Wl,--icf=all,--gc-sections",
    "lld": "-static -fuse-ld=lld",
    "lld-pie": "-static-pie -fuse-ld=lld",
    "lld-icf": "-static -fuse-ld=lld -Wl,--icf=all,--gc-sections",
}
# Every shape with a program of many libraries; the others in those that concern them.
CASES = [
    *(("many", shape) for shape in SHAPES),
    *(("tls", shape) for shape in ("static", "gold-icf", "lld-icf")),
    *(("crc", shape) for shape in ("static", "gc-sections")),
    *(("c++", shape) for shape in ("static", "static-pie", "gc-sections", "gold", "lld-icf")),
]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The object of one of PROGRAMS, compiled once for all the ways in which it is linked."""
    folder = tmp_path_factory.mktemp("objects")

    @functools.cache
    def made(name: str) -> Path:
        program = PROGRAMS[name]
        source = folder / ("main.cc" if program.compiler == "g++" else "main.c")
        source.write_text(program.source)
        command = [program.compiler, "-O1", "-w", "-fPIE", "-ffunction-sections", "-c", str(source), "-o"]
        done = subprocess.run([*command, str(folder / f"{name}.o")], capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"{program.compiler}: {done.stderr[-300:]}")
        return folder / f"{name}.o"

    return made


def _archives(found: Found) -> set[str]:
    return {archive.archive.name for library in found.libraries for archive in library.archives}


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(archive.name for archive in installed())


def _agrees_with_the_map(found: Found, program: Path, map_file: Path) -> None:
    sizes = {name: size for name, size in linkermaps.linked_archives(map_file, program).items() if name in _names()}
    assert len(_names() - set(sizes)) >= DECOYS
    assert _archives(found) <= set(sizes)
    assert {name for name, size in sizes.items() if size >= _SMALL} <= _archives(found)
    assert 0.95 * sum(sizes.values()) <= found.attributed <= sum(sizes.values()) * 1.001
    assert _foreign(program, map_file, installed_pack()) <= found.attributed * _FOREIGN


def _foreign(program: Path, map_file: Path, *packs: Pack) -> int:
    """How many of the bytes that libraries explain are by the map from no archive of theirs."""
    with opened(program) as (reader, image):
        found = explained(reader, image, packs)
        shifts = [(s.offset, s.offset + s.filesz, s.vaddr - s.offset) for s in image.segments if s.type == PT_LOAD]
    parts = []
    for claim in found.claims:
        own = {one.name for one in found.known.archives.values() if one.called == claim.library}
        for region in claim.regions:
            (shift,) = (by for start, end, by in shifts if start <= region.start < end)
            parts.append((region.start + shift, region.start + region.length + shift, own))
    parts.sort(key=itemgetter(0))
    there = linkermaps.bytes_from(linkermaps.placed(map_file, program), parts)
    return sum(end - start for start, end, _ in parts) - there


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_every_archive_that_is_linked_is_found_and_no_other(
    name: str, shape: str, compiled: Callable[[str], Path], tmp_path: Path
) -> None:
    program = PROGRAMS[name]
    inputs: list[str | Path] = [compiled(name), *SHAPES[shape].split(), *program.libraries.split()]
    made, map_file = linked_of(tmp_path, inputs, [program.compiler])
    found = found_in(made, installed_pack())
    _agrees_with_the_map(found, made, map_file)
    assert found.attributed <= found.size <= made.stat().st_size
    versions = {archive.library: archive.version for archive in installed()}
    named = {one.name: one.version for one in found.libraries}
    # Of a library of which one function is there, and no other version is known, none is named.
    assert named == {one: None if (one, name) == ("zlib", "crc") else versions[one] for one in named}


def test_libraries_inside_a_dynamic_program_are_found(tmp_path: Path) -> None:
    program = PROGRAMS["tls"]
    flags = ["-Wl,-Bstatic", "-lssl", "-lcrypto", "-Wl,-Bdynamic"]
    made, map_file = linked_with_map(tmp_path, program.source, flags)
    found = found_in(made, installed_pack())
    _agrees_with_the_map(found, made, map_file)
    assert set(by_name(found)) == {"openssl"}


_HIDING = """
#include <zlib.h>
__attribute__((visibility("default"))) int packed(unsigned char *b) {
    unsigned long n = 9;
    return compress(b, &n, b, 9);
}
"""


def test_a_library_inside_a_shared_one_that_shows_nothing_of_it_is_found(tmp_path: Path) -> None:
    flags = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-Bsymbolic,--exclude-libs,ALL", "-l:libz.a"]
    made, map_file = linked_with_map(tmp_path, _HIDING, flags)
    found = found_in(made, installed_pack())
    _agrees_with_the_map(found, made, map_file)
    assert set(by_name(found)) == {"zlib"}


def without_section_headers(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[40:48] = bytes(8)  # e_shoff
    content[58:64] = bytes(6)  # e_shentsize, e_shnum, e_shstrndx
    bare = path.with_name("bare")
    bare.write_bytes(content)
    return bare


def test_section_headers_are_not_needed(tmp_path: Path) -> None:
    made, _ = linked_with_map(tmp_path, PROGRAMS["crc"].source, ["-static", "-s", "-lz"])
    whole, bare = (found_in(path, installed_pack()) for path in (made, without_section_headers(made)))
    assert whole.libraries == bare.libraries
    assert bare.size >= whole.size


_PLAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <regex.h>
int main(int c, char **v) {
    regex_t r;
    char *b = malloc(c);
    return printf("%d%s%f", regcomp(&r, v[0], c), b, 1.5 * c);
}
"""


def test_musl_is_found(require_tool: RequireTool, tmp_path: Path) -> None:
    made, map_file = linked_with_map(tmp_path, _PLAIN, ["-static"], [require_tool("musl-gcc")])
    found = found_in(made, installed_pack())
    assert set(by_name(found)) == {"musl"}
    sizes = linkermaps.linked_archives(map_file, made)
    assert found.attributed >= 0.95 * sizes["libc.a"]
    assert _foreign(made, map_file, installed_pack()) == 0


_FILES = """
#include <dirent.h>
#include <glob.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
int main(int c, char **v) {
    char b[99];
    glob_t g;
    time_t t = time(0);
    DIR *d = opendir("/");
    FILE *f = fopen(v[1], "r");
    signal(2, exit);
    qsort(b, 9, 1, (int (*)(const void *, const void *))strcmp);
    strftime(b, 99, "%Y", localtime(&t));
    while (readdir(d)) printf("%s", getpwuid(c)->pw_name);
    sscanf(fgets(b, 99, f), "%d", &c);
    return glob(v[2], 0, 0, &g) + socket(1, 2, 3) + (gethostbyname(v[1]) != 0) + system(b) + strtol(b, 0, 10);
}
"""
_TINY = """
#include <unistd.h>
int main(void) { return write(1, "1", 1); }
"""


@pytest.mark.parametrize("shape", ["", "-s", "-Wl,--gc-sections", "-fuse-ld=gold", "-fuse-ld=lld"])
@pytest.mark.parametrize("source", [_PLAIN, _FILES, _TINY], ids=["plain", "files", "tiny"])
def test_dietlibc_is_found(source: str, shape: str, require_tool: RequireTool, tmp_path: Path) -> None:
    """Many of its functions have so few bytes that they stand everywhere: system calls of seven, for one."""
    made, map_file = linked_with_map(tmp_path, source, ["-static", *shape.split()], [require_tool("diet"), "gcc"])
    found = found_in(made, installed_pack())
    assert set(by_name(found)) == {"dietlibc"}
    size = linkermaps.linked_archives(map_file, made)["libc.a"]
    assert 0.95 * size <= found.attributed <= size
    # Its start code, of which libc.a has a copy, is an object by itself.
    assert _foreign(made, map_file, installed_pack()) <= 64


def test_a_program_without_a_library_holds_none(tmp_path: Path) -> None:
    function = "int f{0}(int *p, int c) {{ int s = {0}; while (c--) s = s * 31 ^ p[c] >> {1}; return s; }}\n"
    source = "".join(function.format(number, number % 7) for number in range(300))
    made, _ = linked_with_map(tmp_path, f"{source}\nint main(int c, char **v) {{ return f1((int *)v, c); }}", [])
    assert found_in(made, installed_pack()).libraries == ()


def test_arm64_is_found_as_x86_64_is(require_tool: RequireTool, tmp_path: Path) -> None:
    compiler = require_tool("aarch64-linux-gnu-gcc")
    libc = Path("/usr/aarch64-linux-gnu/lib/libc.a")
    if not libc.exists():
        raise Unavailable("libc6-dev-arm64-cross is not installed")
    gcc = Path(subprocess.run([compiler, "-print-libgcc-file-name"], capture_output=True, text=True).stdout.strip())
    pack = MemoryPack(
        [
            *read(libc, library="glibc", version="2.36"),
            *(one for path in sorted(gcc.parent.glob("lib*.a")) for one in read(path, library="gcc", version="12")),
        ]
    )
    made, map_file = linked_with_map(tmp_path, _PLAIN, ["-static"], [compiler])
    found = found_in(made, pack)
    assert {one.name: one.version for one in found.libraries} == {"glibc": "2.36", "gcc": "12"}
    sizes = linkermaps.linked_archives(map_file, made)
    assert _archives(found) == {name for name, size in sizes.items() if size >= _SMALL}
    assert found.attributed >= 0.95 * sum(sizes.values())


def test_what_two_libraries_share_counts_to_the_one_of_which_more_is_there(tmp_path: Path) -> None:
    own = {"fifth": 7001, "sixth": 7002}
    foo, bar = archive_of(tmp_path / "foo", OLD), archive_of(tmp_path / "bar", {"first": 1001, **own})
    pack = MemoryPack([*read(foo, library="foo", version="1"), *read(bar, library="bar", version="1")])
    made, map_file = linked_with_map(tmp_path, calls(*OLD), [foo])
    found = found_in(made, pack)
    assert set(by_name(found)) == {"foo"}
    assert found.attributed == linkermaps.linked_archives(map_file, made)["libfoo.a"]
    made, _ = linked_with_map(tmp_path, calls(*own, *OLD), [bar, foo])
    assert set(by_name(found_in(made, pack))) == {"foo", "bar"}


def test_of_two_libraries_with_the_same_code_the_one_that_has_little_else_is_named(tmp_path: Path) -> None:
    more = {f"more{number}": 8000 + number for number in range(6)}
    foo, bundle = archive_of(tmp_path / "foo", OLD), archive_of(tmp_path / "bundle", OLD | more)
    pack = MemoryPack([*read(bundle, library="bundle", version="1"), *read(foo, library="foo", version="1")])
    made, _ = linked_with_map(tmp_path, calls(*OLD), [foo])
    assert set(by_name(found_in(made, pack))) == {"foo"}


_SHORT = "int {name}(int *p, int n) {{ return p[n] * 31 + (p[n + 1] ^ p[n + 2]) % 7; }}\n"


def test_a_short_function_counts_where_it_stands_with_others_of_its_library(tmp_path: Path) -> None:
    """A program's own one may be the same, byte for byte."""
    folder = archive_of(tmp_path / "foo", OLD).parent
    (folder / "short.c").write_text(_SHORT.format(name="short_of_foo"))
    subprocess.run(["gcc", "-O2", "-c", "short.c"], cwd=folder, check=True)
    subprocess.run(["ar", "rs", "libfoo.a", "short.o"], cwd=folder, check=True, capture_output=True)
    long = [FUNCTION.format(name=f"own{number}", mark=9000 + number) for number in range(2)]
    source = _SHORT.format(name="own_short").join(long)
    used = [*OLD, "short_of_foo", "own0", "own1", "own_short"]
    declared = "".join(f"int {name}(int *, int);" for name in OLD) + "int short_of_foo(int *, int);"
    main = f"int main(int c, char **v) {{ return {' + '.join(f'{name}((int *)v, c)' for name in used)}; }}"
    made, map_file = linked_with_map(tmp_path, declared + source + main, ["-fno-inline", folder / "libfoo.a"])
    pack = MemoryPack(read(folder / "libfoo.a", library="foo", version="1"))
    with opened(made) as (reader, image):
        assert len(matches(reader, image, [pack])) == len(OLD) + 2
    assert found_in(made, pack).attributed == linkermaps.linked_archives(map_file, made)["libfoo.a"]
    assert _foreign(made, map_file, pack) == 0


_GNUTLS = """
int gnutls_init(), gnutls_global_init();
int main(int c, char **v) { return gnutls_init(v, c) + gnutls_global_init(); }
"""


def test_the_assembly_that_gnutls_and_openssl_have_in_common_accuses_neither(tmp_path: Path) -> None:
    """Of both, other releases are linked than those that are known."""
    folder = Path("usr/lib/x86_64-linux-gnu")
    gnutls, openssl = folder / "libgnutls.a", folder / "libcrypto.a"
    known = [
        *read(package_files("bullseye", "libgnutls28-dev") / gnutls, library="gnutls", version="3.7.1"),
        *(one for one in of_all_suites("openssl") if one.distribution == "trixie"),
    ]
    linked = {
        "gnutls": (package_files("bookworm", "libgnutls28-dev") / gnutls, _GNUTLS),
        "openssl": (package_files("bullseye", "libssl-dev") / openssl, "int main() { return SHA1(); }"),
    }
    for name, (archive, source) in linked.items():
        made, _ = linked_with_map(tmp_path, source, [archive, "-Wl,--unresolved-symbols=ignore-all"])
        with opened(made) as (reader, image):
            common = explained(reader, image, [MemoryPack(known)]).known.regions
        assert sum(region.length for region in common) > 1 << 14
        libraries = found_in(made, MemoryPack(known)).libraries
        assert {(one.name, one.version) for one in libraries} <= {(name, None)}


_SORTS = """
#include <algorithm>
#include <string>
#include <vector>
inline int sorted(char **v, int c) {
    std::vector<std::string> words(v, v + c);
    std::sort(words.begin(), words.end());
    words.insert(words.begin(), "x");
    return words.size();
}
"""


def test_code_of_a_header_does_not_accuse_a_library_that_includes_it_too(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        raise Unavailable("g++ is not here")
    (tmp_path / "decoy.cc").write_text(_SORTS + "int decoy(char **v, int c) { return sorted(v, c) * 77; }\n")
    subprocess.run(["g++", "-O2", "-c", "decoy.cc"], cwd=tmp_path, check=True)
    subprocess.run(["ar", "rcs", "libdecoy.a", "decoy.o"], cwd=tmp_path, check=True)
    (learnt,) = read(tmp_path / "libdecoy.a", library="decoy")
    (tmp_path / "main.cc").write_text(_SORTS + "int main(int c, char **v) { return sorted(v, c) + 3; }\n")
    made, _ = linked_of(tmp_path, [tmp_path / "main.cc"], ["g++"])
    with opened(made) as (reader, image):
        assert len(matches(reader, image, [MemoryPack([learnt])])) >= 3
        assert linked_in(reader, image, [MemoryPack([learnt])]).libraries == ()
