"""What a static program loses: each is built, run, and does or does not do what is said of it."""

import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.comparing.losses import losses
from linkscope.analysis.facts import file_facts
from linkscope.elf.image import Image
from linkscope.elf.reader import Reader
from linkscope.model.compare import Loss
from linkscope.model.inspect import Libc
from tests.elf.samples import FixtureFile, RequireTool, ask, tool
from tests.oracle import runner
from tests.oracle.availability import Unavailable
from tests.oracle.roots import cache_folder
from tests.oracle.runner import Request

REPORT = """
#include <stdio.h>
#include <string.h>
static void report(void)
{
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, ".so")) fputs(strchr(line, '/'), stdout);
}
"""
NSS = (
    REPORT
    + """
#include <pwd.h>
int main(void) {
    printf("root %d\\nprobe %d\\n", getpwnam("root") != 0, getpwnam("probe") != 0);
    report();
    return 0;
}
"""
)
ICONV = (
    REPORT
    + """
#include <iconv.h>
int main(int n, char **a) {
    printf("refused %d\\n", iconv_open("UTF-8", n > 1 ? a[1] : "ISO-8859-2") == (iconv_t)-1);
    report();
    return 0;
}
"""
)
DLOPEN = (
    REPORT
    + """
#include <dlfcn.h>
int main(void) { void *h = dlopen("libm.so.6", RTLD_NOW); puts(h ? "opened" : dlerror()); report(); return 0; }
"""
)
LOCALE = (
    REPORT
    + """
#include <locale.h>
#include <stdlib.h>
int main(void) {
    wchar_t wide[4] = {0};
    setlocale(LC_ALL, "");
    size_t got = mbstowcs(wide, "\\xa1", 4);
    printf("read %x\\npoint %s\\n", got == 1 ? (unsigned)wide[0] : 0, localeconv()->decimal_point);
    report();
    return 0;
}
"""
)
NOTHING = {
    "nothing": REPORT + "int main(void) { report(); return 0; }",
    "threads": REPORT
    + """#include <pthread.h>
        static void *run(void *a) { return a; }
        int main(void) { pthread_t t; pthread_create(&t, 0, run, 0); pthread_join(t, 0); report(); return 0; }""",
    "wide": REPORT + '#include <wchar.h>\nint main(void) { fwprintf(stderr, L"%ls\\n", L"w"); report(); return 0; }',
}
# A service of the system's own: it knows one user.
SERVICE = """
#include <nss.h>
#include <pwd.h>
#include <string.h>
enum nss_status _nss_probe_getpwnam_r(const char *name, struct passwd *user, char *data, size_t size, int *error)
{
    if (strcmp(name, "probe") || size < 8) return NSS_STATUS_NOTFOUND;
    memset(user, 0, sizeof *user);
    user->pw_name = user->pw_passwd = user->pw_gecos = user->pw_dir = user->pw_shell = strcpy(data, "probe");
    *error = 0;
    return NSS_STATUS_SUCCESS;
}
"""


def _built(folder: Path, source: str, how: str, compiler: str = "cc") -> Path:
    (folder / "source.c").write_text(source)
    code = "-fPIE" if how in ("-static-pie", "-pie") else "-fno-pie"
    command: list[str | Path] = [compiler, "-O1", "-w", "-pthread", how, code, "-Wl,--no-warnings", folder / "source.c"]
    made = folder / f"made{how}"
    done = subprocess.run([*command, "-o", made], capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{compiler} cannot link it: {done.stderr.strip()}")
    return made


def _losses(path: Path) -> list[Loss]:
    return ask(lambda reader, image: losses(reader, image, file_facts(reader, image).file), path)  # type: ignore[no-any-return]


def _codes(path: Path) -> list[str]:
    return [loss.code for loss in _losses(path)]


def _run(path: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run([path, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


@pytest.mark.parametrize("how", ["-static", "-static-pie"])
@pytest.mark.parametrize("name", NOTHING)
def test_what_opens_nothing_loses_nothing(name: str, how: str, tmp_path: Path) -> None:
    program = _built(tmp_path, NOTHING[name], how)
    assert _run(program) == ""
    assert _codes(program) == []


@pytest.mark.parametrize("source", [NSS, ICONV, DLOPEN, LOCALE], ids=["nss", "iconv", "dlopen", "locale"])
def test_a_dynamic_program_loses_nothing(source: str, tmp_path: Path) -> None:
    assert _codes(_built(tmp_path, source, "-pie")) == []


def _system(folder: Path, program: Path) -> Path:
    """A root with the program, the C library of this machine, and two services for users: `files` and `probe`."""
    root = folder / "root"
    (root / "etc").mkdir(parents=True)
    (root / "proc").mkdir()
    (root / "etc/nsswitch.conf").write_text("passwd: files probe\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    shutil.copy(program, root / "program")
    copied = [word for word in tool("ldd", shutil.which("true") or "/bin/true").split() if word.startswith("/")]
    folders = [Path(os.path.dirname(path)) for path in copied if path.endswith("/libc.so.6")]
    if not folders:
        raise Unavailable("the C library of this machine is not glibc")
    beside = root / folders[0].relative_to("/")
    beside.mkdir(parents=True)
    for path in copied:  # what a static program opens looks for the loader in the same folders
        shutil.copy(path, beside)
    (folder / "service.c").write_text(SERVICE)
    library = beside / "libnss_probe.so.2"
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", library, folder / "service.c"], check=True)
    return library


def _said_in(root: Path) -> str:
    done = runner.run(Request(argv=("/program",), root=os.fspath(root), timeout=30))
    return os.fsdecode(done.stdout)


def test_a_service_of_the_system_is_opened_and_without_its_library_nothing_is_found(tmp_path: Path) -> None:
    """`files` is inside since glibc 2.34, and needs no library."""
    program = _built(tmp_path, NSS, "-static")
    library = _system(tmp_path, program)
    said = _said_in(tmp_path / "root")
    assert "probe 1" in said
    assert "libnss_probe.so.2" in said
    assert "libc.so.6" in said
    library.unlink()
    assert "root 1\nprobe 0" in _said_in(tmp_path / "root")
    (loss,) = _losses(program)
    assert (loss.code, "libnss_" in loss.message) == ("nss", True)


@pytest.mark.parametrize(("version", "inside"), [("2.36", True), ("2.34", True), ("2.33", False), (None, False)])
def test_two_services_are_inside_since_glibc_2_34(version: str | None, inside: bool, fixture_file: FixtureFile) -> None:
    """glibc's NEWS of 2.34 say so: nss_files and nss_dns have become part of libc."""

    def told(reader: Reader, image: Image) -> list[Loss]:
        file = msgspec.structs.replace(file_facts(reader, image).file, libc=Libc(family="glibc", version=version))
        return losses(reader, image, file)

    (loss,) = ask(told, fixture_file("runtime/static-nss"))
    assert ("`files` and `dns`" in loss.message) == inside
    assert (f"glibc {version}" in loss.message) == (version is not None)


def test_musl_asks_no_service(tmp_path: Path, require_tool: RequireTool) -> None:
    require_tool("musl-gcc")
    program = _built(tmp_path, NSS, "-static", "musl-gcc")
    _system(tmp_path, program)
    said = _said_in(tmp_path / "root")
    assert "root 1\nprobe 0" in said
    assert "libnss" not in said
    assert _codes(program) == ["nss"]


GO_USERS = """package main
import ("fmt"; "os/user")
func main() {
    _, e := user.Lookup("probe"); fmt.Println("probe", e == nil)
    _, e = user.Lookup("root"); fmt.Println("root", e == nil)
}
"""
GO_HOSTS = """package main
import ("fmt"; "net"; "os")
func main() { a, _ := net.LookupHost(os.Args[0]); fmt.Println(len(a)) }
"""
GO_PLAIN = """package main
import ("fmt"; "net")
func main() { fmt.Println(net.ParseIP("127.0.0.1"), "/etc/passwd /etc/nsswitch.conf") }
"""


def _built_by_go(folder: Path, go: str, source: str, *options: str) -> Path:
    (folder / "main.go").write_text(source)
    variables = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOCACHE": str(cache_folder() / "go")}
    command: list[str | Path] = [go, "build", *options, "-o", folder / "made", folder / "main.go"]
    subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True, timeout=300)
    return folder / "made"


def test_go_without_a_c_library_asks_no_service(tmp_path: Path, require_tool: RequireTool) -> None:
    program = _built_by_go(tmp_path, require_tool("go"), GO_USERS, "-ldflags=-s -w")
    _system(tmp_path, program)
    assert _said_in(tmp_path / "root") == "probe false\nroot true\n"
    (loss,) = _losses(program)
    assert loss.code == "nss"
    assert "looks up users or groups in Go's own way: in /etc/passwd and /etc/group;" in loss.message


@pytest.mark.parametrize(("source", "asked"), [(GO_HOSTS, True), (GO_PLAIN, False)], ids=["hosts", "plain"])
def test_that_go_looks_up_hosts_is_told_where_its_linker_has_put_that_in(
    source: str, asked: bool, tmp_path: Path, require_tool: RequireTool
) -> None:
    go = require_tool("go")
    program = _built_by_go(tmp_path, go, source)
    assert ("net.goLookupIPFiles" in tool(go, "tool", "nm", program)) == asked
    said = [loss.message for loss in _losses(program)]
    assert len(said) == asked
    assert all("looks up hosts in Go's own way: in /etc/hosts and by DNS;" in message for message in said)


def test_iconv_opens_its_converters_and_the_system_s_c_library(tmp_path: Path) -> None:
    program = _built(tmp_path, ICONV, "-static")
    said = _run(program)
    assert "refused 0" in said
    assert "/gconv/" in said
    assert "libc.so.6" in said
    for inside in ("ASCII", "UTF-8", "UCS-2", "UCS-4"):
        assert ".so" not in _run(program, inside)
    assert _codes(program) == ["iconv"]


def test_musl_s_iconv_has_no_modules(tmp_path: Path, require_tool: RequireTool) -> None:
    """A character set that glibc has, by a module, and musl has not."""
    require_tool("musl-gcc")
    (tmp_path / "musl").mkdir()
    theirs = _built(tmp_path, ICONV, "-static")
    ours = _built(tmp_path / "musl", ICONV, "-static", "musl-gcc")
    assert "refused 0" in _run(theirs, "HP-ROMAN8")
    assert _run(ours, "HP-ROMAN8") == "refused 1\n"
    assert _run(ours, "ISO-8859-2") == "refused 0\n"
    assert _codes(ours) == ["iconv"]


def test_dlopen_brings_the_system_s_c_library_along(tmp_path: Path) -> None:
    program = _built(tmp_path, DLOPEN, "-static")
    said = _run(program)
    assert said.startswith("opened")
    assert "libc.so.6" in said
    assert _codes(program) == ["dlopen"]


def test_dlopen_fails_in_a_static_program_of_musl(tmp_path: Path, require_tool: RequireTool) -> None:
    require_tool("musl-gcc")
    program = _built(tmp_path, DLOPEN, "-static", "musl-gcc")
    assert _run(program) == "Dynamic loading not supported\n"
    assert _codes(program) == ["dlopen"]


def _locale(folder: Path) -> Path:
    """A locale called `probe` whose character set is ISO-8859-2 and whose decimal point is a comma."""
    if shutil.which("localedef") is None:
        raise Unavailable("localedef is not here (Debian package libc-bin)")
    (folder / "charmap").write_text(
        "<escape_char> /\n<code_set_name> ISO-8859-2\n<mb_cur_min> 1\n<mb_cur_max> 1\nCHARMAP\n"
        + "".join(f"<U{code:04X}> /x{code:02x}\n" for code in range(128))
        + "<U0104> /xa1\nEND CHARMAP\n"
    )
    (folder / "source").write_text(
        "LC_CTYPE\nupper <U0041>;<U0104>\nlower <U0061>\nEND LC_CTYPE\n"
        'LC_NUMERIC\ndecimal_point "<U002C>"\nthousands_sep ""\ngrouping -1\nEND LC_NUMERIC\n'
    )
    command: list[str | Path] = ["localedef", "-c", "-i", folder / "source", "-f", folder / "charmap", folder / "probe"]
    subprocess.run(command, capture_output=True)
    if not (folder / "probe/LC_CTYPE").exists():
        raise Unavailable("localedef makes no locale here")
    return folder


def test_a_locale_is_the_system_s_and_its_character_set_a_converter(tmp_path: Path) -> None:
    program, folder = _built(tmp_path, LOCALE, "-static"), _locale(tmp_path)
    said = _run(program, LOCPATH=str(folder), LC_ALL="probe")
    assert "read 104\npoint ," in said
    assert "/gconv/ISO8859-2.so" in said
    assert "libc.so.6" in said
    assert "read 0\npoint ." in _run(program, LOCPATH="/nowhere", LC_ALL="probe")
    assert _codes(program) == ["locale"]


def test_musl_knows_no_locale_but_utf_8(tmp_path: Path, require_tool: RequireTool) -> None:
    require_tool("musl-gcc")
    program, folder = _built(tmp_path, LOCALE, "-static", "musl-gcc"), _locale(tmp_path)
    said = _run(program, LOCPATH=str(folder), MUSL_LOCPATH=str(folder), LC_ALL="probe")
    assert said == "read 0\npoint .\n"
    assert _codes(program) == ["locale"]


@pytest.mark.parametrize(
    "name", ["hello/hello-go", "kinds/bare-static", "hello/hello-musl-static", "hello/hello-static"]
)
def test_the_fixtures_that_use_none_of_it_lose_nothing(name: str, fixture_file: FixtureFile) -> None:
    assert _codes(fixture_file(name)) == []


def test_what_libstdcxx_brings_along_is_no_loss_of_the_program(tmp_path: Path, require_tool: RequireTool) -> None:
    """It calls setlocale and iconv_open in code that a plain program never comes to."""
    require_tool("g++")
    (tmp_path / "source.cc").write_text('#include <iostream>\nint main() { std::cout << "x\\n"; }\n')
    subprocess.run(["g++", "-O1", "-static", "-o", tmp_path / "made", tmp_path / "source.cc"], check=True)
    assert _run(tmp_path / "made") == "x\n"
    assert _codes(tmp_path / "made") == []


def test_a_stripped_program_still_tells_of_name_services(tmp_path: Path, require_tool: RequireTool) -> None:
    require_tool("strip")
    program = _built(tmp_path, NSS, "-static")
    tool("strip", program)
    assert _codes(program) == ["nss"]
