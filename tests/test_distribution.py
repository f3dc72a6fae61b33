"""What is installed is whole: the wheel has every file of data, and with pipx and uv the program runs from it."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope import __version__
from tests.oracle.pythontools import program, surroundings

REPOSITORY = Path(__file__).resolve().parent.parent
# Where a prefix has what belongs to its programs.
SHARED = {
    "share/man/man1/linkscope.1",
    "share/bash-completion/completions/linkscope",
    "share/zsh/site-functions/_linkscope",
    "share/fish/vendor_completions.d/linkscope.fish",
}


def _run(command: list[str], environment: dict[str, str], folder: Path | None = None) -> str:
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, f"{command}:\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def _build(kind: str, source: Path, target: Path) -> Path:
    command = [program("python"), "-m", "build", "--quiet", f"--{kind}", "--no-isolation", "--outdir", str(target)]
    _run([*command, str(source)], surroundings(target))
    (made,) = [path for path in target.iterdir() if path.suffix in (".whl", ".gz")]
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources as they are."""
    return _build("wheel", REPOSITORY, tmp_path_factory.mktemp("wheel"))


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    package = REPOSITORY / "linkscope"
    there = {
        path.relative_to(REPOSITORY).as_posix()
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"linkscope/py.typed", "linkscope/process/jits.toml", "linkscope/cli/shells/linkscope.zsh"} <= there
    assert {name for name in _names(wheel) if name.startswith("linkscope/")} == there


def test_the_wheel_has_the_manual_page_and_the_completions(wheel: Path) -> None:
    data = f"linkscope-{__version__}.data/data/"
    assert {name.removeprefix(data) for name in _names(wheel) if name.startswith(data)} == SHARED
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"{data}share/man/man1/linkscope.1").startswith(b".TH LINKSCOPE 1 ")


def test_an_sdist_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte: what is built once more is the same."""
    with tarfile.open(_build("sdist", REPOSITORY, tmp_path)) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    for needed in ("action.yml", ".pre-commit-hooks.yaml", "docs/ci.md", "tests/test_distribution.py", "LICENSE"):
        assert (source / needed).exists(), needed
    (tmp_path / "again").mkdir()
    assert _build("wheel", source, tmp_path / "again").read_bytes() == wheel.read_bytes()


def _with_pipx(wheel: Path, home: Path) -> tuple[Path, Path]:
    own = {"PIPX_HOME": str(home / "pipx"), "PIPX_BIN_DIR": str(home / "bin"), "PIPX_MAN_DIR": str(home / "man")}
    _run([program("pipx"), "install", "--python", sys.executable, str(wheel)], {**surroundings(home), **own})
    assert (home / "man/man1/linkscope.1").exists()  # pipx shows the pages of what it installs
    return home / "bin/linkscope", home / "pipx/venvs/linkscope"


def _with_uv(wheel: Path, home: Path) -> tuple[Path, Path]:
    own = {"UV_TOOL_DIR": str(home / "tools"), "UV_TOOL_BIN_DIR": str(home / "bin")}
    _run([program("uv"), "tool", "install", "--python", sys.executable, str(wheel)], {**surroundings(home), **own})
    return home / "bin/linkscope", home / "tools/linkscope"


@pytest.mark.parametrize("install", [_with_pipx, _with_uv], ids=["pipx", "uv"])
def test_it_is_installed_from_the_wheel_and_runs(
    install: Callable[[Path, Path], tuple[Path, Path]],
    wheel: Path,
    tmp_path: Path,
    require_tool: Callable[[str], str],
) -> None:
    linkscope, prefix = install(wheel, tmp_path)
    environment = {"PATH": os.pathsep.join([str(prefix / "bin"), os.defpath]), "HOME": str(tmp_path)}
    assert _run([str(linkscope), "--version"], environment, tmp_path) == f"linkscope {__version__}\n"
    assert "libc.so.6" in _run([str(linkscope), "inspect", "/bin/ls"], environment, tmp_path)
    # The data files are read where they lie now.
    assert _run([str(linkscope), "ps", "--format", "json"], environment, tmp_path).startswith("{")
    assert _run([str(linkscope), "completion", "fish"], environment, tmp_path).startswith("#")
    assert not [name for name in SHARED if not (prefix / name).is_file()]
    page = _run([require_tool("man"), "-w", "linkscope"], environment).strip()
    assert Path(page) == prefix / "share/man/man1/linkscope.1"
