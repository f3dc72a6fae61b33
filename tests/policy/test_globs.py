"""Which paths a glob means."""

import re
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.policy.globs import Sieve, escaped, folder_of, matches, objection, sole_path

MEANS = [
    ("*", "app"),
    ("*", "dist/bin/app"),
    ("**", "dist/bin/app"),
    ("**", "/usr/bin/app"),
    ("app", "dist/bin/app"),
    ("*.so*", "dist/lib/libx.so.1"),
    ("dist/*", "dist/app"),
    ("./dist/*", "dist/app"),
    ("dist/*", "./dist//app"),
    ("dist/*", "/home/me/dist/app"),
    ("dist/*", "../dist/app"),
    ("dist/**", "dist/bin/app"),
    ("dist/**/app", "dist/app"),
    ("dist/**/app", "dist/a/b/app"),
    ("/usr/**", "/usr/bin/app"),
    ("dist", "dist/bin/app"),
    ("dist/", "dist/bin/app"),
    ("dist/bin", "dist/bin/app"),
    ("dist/x.whl", "dist/x.whl!/pkg/libx.so"),
    ("x.whl", "dist/x.whl!/pkg/libx.so"),
    ("dist/*.whl!/**", "dist/x.whl!/pkg/libx.so"),
    ("pkg/libx.so", "/dist/x.whl!/pkg/libx.so"),
    ("app-?.[0-9]", "app-1.2"),
    ("app[!0-9]", "appx"),
    ("[]a]pp", "]pp"),
    ("a[*]p", "a*p"),
    ("caf\udce9", "caf\udce9"),
    ("a\nb", "dist/a\nb"),
]
DOES_NOT_MEAN = [
    ("dist/*", "dist/bin/app"),
    ("dist/*", "other/dist/app"),
    ("/dist/*", "dist/app"),
    ("dist", "district/app"),
    ("dist", "my-dist"),
    ("dist", "dist!"),
    ("app", "app2"),
    ("?", "dist/ap"),
    ("a[!b]c", "a/c"),
    ("a[*]p", "abp"),
    ("a.c", "abc"),
    ("app*", "dist/App"),
    ("dist/**/app", "dist/xapp"),
]


@pytest.mark.parametrize(("glob", "path"), MEANS)
def test_a_glob_means(glob: str, path: str) -> None:
    assert matches(path, glob)
    assert objection(glob) is None


@pytest.mark.parametrize(("glob", "path"), DOES_NOT_MEAN)
def test_a_glob_does_not_mean(glob: str, path: str) -> None:
    assert not matches(path, glob)


@pytest.mark.parametrize("glob", ["", "dist/*/", "**/", ".", "./", "/", "..", "a\0b", "[z-a]"])
def test_what_can_match_nothing_is_objected_to(glob: str) -> None:
    assert objection(glob)


@given(st.text(alphabet="ab/.*?[]!-^\\&~|", min_size=1))
def test_whatever_is_not_objected_to_can_be_asked_about(glob: str) -> None:
    if objection(glob) is None:
        matches("dist/app", glob)
    else:
        assert glob.endswith(("/", ".")) or "-" in glob


@given(st.text(alphabet="ab.*?[]!-^\\", min_size=1).filter(lambda name: not re.fullmatch(r"\.+", name)))
def test_an_escaped_path_means_itself_alone(name: str) -> None:
    path = f"dist/{name}"
    assert matches(path, escaped(path))
    assert sole_path(escaped(path)) == path
    assert not matches(f"dist/x{name}", escaped(path))


@pytest.mark.parametrize(
    ("glob", "folder"),
    [
        ("*", ""), ("**", ""), ("app", ""), ("*.so", ""), ("dist/*", "dist"), ("dist/bin*/x", "dist"),
        ("/a/b/**", "/a/b"),
        ("dist/app", "dist/app"), ("dist/[*]/x/*", "dist/*/x"), ("**/x", ""), ("d[ab]/x", ""), ("dist/", "dist/"),
    ],
)  # fmt: skip
def test_the_folder_of_a_glob_is_what_stands_before_its_wildcards(glob: str, folder: str) -> None:
    assert folder_of(glob) == folder


def test_git_says_the_same(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """`git check-ignore` is the judge of globs with a folder in them, where both have the same rules."""
    paths = ["app", "a/app", "a/b/app", "a/b/c/app", "a/x.so", "a/b/x.so.1"]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    git = require_tool("git")
    subprocess.run([git, "init", "-q", tmp_path], check=True)
    for glob in ["/a/*.so", "a/**/app", "**/b/app", "/a/?/app", "a/[!c]/app", "/a/**", "*.so", "app", "a/b", "b"]:
        (tmp_path / ".gitignore").write_text(glob + "\n")
        ran = subprocess.run([git, "-C", tmp_path, "check-ignore", *paths], capture_output=True, text=True)
        meant = [path for path in paths if matches(path, glob.removeprefix("/"))]
        assert meant == ran.stdout.split(), glob


_NAMES = st.lists(st.sampled_from(["a", "b", "a!", "..", ".", ""]), min_size=1, max_size=5).map("/".join)
_GLOBS = st.lists(st.sampled_from(["a", "b", "b!", "..", "*", "**", "[*]", "?"]), min_size=1, max_size=4).map("/".join)


@given(_NAMES.filter(bool), st.lists(st.lists(_GLOBS | st.just("/a") | st.just("/a/b"), max_size=3), max_size=4))
def test_a_sieve_says_what_each_glob_says(path: str, lists: list[list[str]]) -> None:
    meant = [i for i, globs in enumerate(lists) if any(matches(path, glob) for glob in globs)]
    assert Sieve(lists).hits(path) == tuple(meant)


@pytest.mark.parametrize("start", ["/", "../", ""])
def test_a_deep_path_takes_no_more_room_than_its_depth(start: str) -> None:
    """An archive may have a member that is some thousand folders deep, and a name for each part of it would be GBs."""
    folders = [f"folder{i}" for i in range(3000)]
    path = start + "/".join(folders)
    ends = ["folder0/folder1", "/".join(folders[7:]), "folder2999", "folder1/folder3"]
    sieve = Sieve([[end] for end in ends])
    tracemalloc.start()
    try:
        hits = sieve.hits(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert hits == tuple(i for i, end in enumerate(ends) if matches(path, end))
    assert most < 2 << 20


_COMPONENTS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=6)


def _walked(path: list[str], glob: list[str]) -> bool:
    """Whether the components of GLOB, of which each is a name, `*` or `**`, are those of PATH: every way is tried."""
    if not glob:
        return not path
    if glob[0] == "**":
        return any(_walked(path[i:], glob[1:]) for i in range(len(glob) == 1, len(path) + 1))
    return bool(path) and glob[0] in ("*", path[0]) and _walked(path[1:], glob[1:])


@given(_COMPONENTS, st.lists(st.sampled_from(["a", "b", "*", "**", "**"]), min_size=1, max_size=6))
def test_any_number_of_folders_is_what_every_way_to_walk_them_says(path: list[str], glob: list[str]) -> None:
    glob = [*glob, "*"]  # a glob without a wildcard would be a folder too
    for up in ("", "/", "../"):
        ends = range(len(path) if up else 1)
        assert matches(up + "/".join(path), "/".join(["a", *glob])) == any(
            _walked(path[i:], ["a", *glob]) for i in ends
        )
    assert matches("/" + "/".join(path), "/" + "/".join(glob)) == _walked(path, glob)


@pytest.mark.parametrize("glob", ["a/**/a/**/a/**/a/**/b", "**/a/**/*/**/?/**/b", "a/**/b/**"])
def test_a_glob_takes_no_longer_for_each_of_its_gaps(glob: str) -> None:
    start = time.process_time()
    assert not matches("/" + "a/" * 3000, glob)
    assert time.process_time() - start < 5
