"""What a static program loads when it runs: each program is run, and says itself what it has mapped at its end."""

import subprocess
from pathlib import Path

import pytest

from linkscope.elf.runtimeloads import loads_at_run_time
from tests.elf.samples import FixtureFile, RequireTool, ask, tool

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
QUIET = {
    "nothing": "int main(void) { report(); return 0; }",
    "locale": """#include <locale.h>
        #include <stdlib.h>
        int main(void) { wchar_t w[9]; setlocale(LC_ALL, ""); mbstowcs(w, "abc", 9); report(); return 0; }""",
    "wide": """#include <wchar.h>
        int main(void) { fwprintf(stderr, L"%ls\\n", L"wide"); report(); return 0; }""",
    "threads": """#include <pthread.h>
        static void *run(void *a) { pthread_exit(a); }
        int main(void) { pthread_t t; pthread_create(&t, 0, run, 0); pthread_join(t, 0); report(); return 0; }""",
    "gettext": """#include <libintl.h>
        int main(void) { textdomain("x"); fputs(gettext("x"), stderr); report(); return 0; }""",
}
LOADING = {
    "iconv": """#include <iconv.h>
        int main(void) { iconv_open("UTF-16", "ISO-8859-2"); report(); return 0; }""",
    "dlopen": """#include <dlfcn.h>
        int main(void) { dlopen("libm.so.6", RTLD_NOW); report(); return 0; }""",
    "dlopen-in-a-tail": """#include <dlfcn.h>
        __attribute__((noinline)) static void *get(const char *s) { report(); return dlopen(s, RTLD_NOW); }
        int main(void) { void *h = get("libm.so.6"); report(); return h == 0; }""",
}


def _built(tmp_path: Path, source: str, how: str) -> Path:
    (tmp_path / "source.c").write_text(REPORT + source)
    code = "-fPIE" if how == "-static-pie" else "-fno-pie"
    command: list[str | Path] = [
        "cc",
        "-O2",
        "-pthread",
        how,
        code,
        "-Wl,--no-warnings",
        tmp_path / "source.c",
        "-o",
        tmp_path / "made",
    ]
    subprocess.run(command, check=True)
    return tmp_path / "made"


def _ways(path: Path) -> list[str]:
    return [load.how for load in ask(loads_at_run_time, path)]


@pytest.mark.parametrize("how", ["-static", "-static-pie"])
@pytest.mark.parametrize("name", QUIET)
def test_a_program_that_loads_nothing_is_not_said_to(
    name: str, how: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    """All of these hold the code of iconv and dlopen, which every static program of glibc 2.34 and later does."""
    require_tool("/usr/include/stdio.h")
    program = _built(tmp_path, QUIET[name], how)
    assert tool(program) == ""
    assert _ways(program) == []


@pytest.mark.parametrize("how", ["-static", "-static-pie"])
@pytest.mark.parametrize("name", LOADING)
def test_a_program_that_loads_libraries_is_said_to(
    name: str, how: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    require_tool("/usr/include/stdio.h")
    program = _built(tmp_path, LOADING[name], how)
    assert "libc.so.6" in tool(program)
    assert _ways(program) == [name.partition("-")[0]]


@pytest.mark.parametrize("how", ["-static", "-static-pie"])
@pytest.mark.parametrize("converts", [False, True])
def test_a_cpp_program_converts_only_where_it_calls_iconv_itself(
    converts: bool, how: str, tmp_path: Path, require_tool: RequireTool
) -> None:
    """libstdc++ calls iconv_open in every one that prints, in a function that this one never comes to."""
    require_tool("g++")
    call = 'iconv_open("UTF-16", "ISO-8859-2"); ' if converts else ""
    source = f'#include <iconv.h>\n#include <iostream>\nint main() {{ std::cerr << "x\\n"; {call}report(); }}\n'
    (tmp_path / "source.cc").write_text(REPORT + source)
    made = tmp_path / "made"
    subprocess.run(["g++", "-O2", how, "-Wl,--no-warnings", "-o", made, tmp_path / "source.cc"], check=True)
    assert "iconv_open" in tool("nm", made)
    assert ("libc.so.6" in tool(made)) is converts
    assert _ways(made) == ["iconv"] * converts


def test_name_services_are_told_of_a_stripped_file_too(fixture_file: FixtureFile, tmp_path: Path) -> None:
    program = fixture_file("runtime/static-nss")
    assert _ways(program) == ["nss"]
    tool("strip", "-o", tmp_path / "stripped", program)
    assert _ways(tmp_path / "stripped") == ["nss"]


@pytest.mark.parametrize(
    "name",
    ["hello/hello-dynamic-pie", "hello/hello-musl-static", "hello/hello-go", "kinds/bare-static", "kinds/hello.o"],
)
def test_only_static_programs_of_glibc_can_load_that_way(name: str, fixture_file: FixtureFile) -> None:
    assert _ways(fixture_file(name)) == []
