"""Where LinkScope runs for others: the GitHub action, the pre-commit hook, and what docs/ci.md says to write."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml

from linkscope.cli.commands import commands
from tests.cli.conftest import environment
from tests.oracle.pythontools import program, surroundings

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs/ci.md").read_text()
ACTION: dict[str, Any] = yaml.safe_load((REPOSITORY / "action.yml").read_text())
# The inputs that are no options of `linkscope check`.
_OF_THE_ACTION = {"paths", "args", "sarif", "fail", "python"}
_RECORDING = '#!{python}\nimport json, sys\nopen("arguments", "w").write(json.dumps(sys.argv[1:]))\n'


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def _block(part: str) -> str:
    """The one block of YAML that has PART in it."""
    (found,) = [block for block in _blocks("yaml") if part in block]
    return found


class Step(msgspec.Struct, frozen=True):
    """How a step of the action ended. outputs: what it wrote into GITHUB_OUTPUT."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str


class Runner:
    """What a runner does with a composite action: expressions become values, and each script runs in bash."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "runner temp"
        self.workspace = folder / "work space"
        self.action = folder / "an action"
        for path in (self.temporary, self.workspace):
            path.mkdir()
        self.action.symlink_to(REPOSITORY)
        self._base = surroundings(folder)

    def step(self, number: int, inputs: Mapping[str, str]) -> Step:
        """Carries out one step with INPUTS; those not given have the action's defaults."""
        values = {name: str(row.get("default", "")) for name, row in ACTION["inputs"].items()} | dict(inputs)
        step = ACTION["runs"]["steps"][number]
        assert step["shell"] == "bash"
        files = {name: self.temporary / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        script = self.temporary / "script.sh"
        script.write_text(step["run"])
        own = {name: _evaluated(value, values) for name, value in step["env"].items()}
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace,
            env={
                **self._base,
                **{name: str(path) for name, path in files.items()},
                "RUNNER_TEMP": str(self.temporary),
                "GITHUB_ACTION_PATH": str(self.action),
                **own,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        return Step(ran.returncode, ran.stdout, outputs, files["GITHUB_STEP_SUMMARY"].read_text())


def _evaluated(text: str, inputs: Mapping[str, str]) -> str:
    """TEXT with the values of its expressions, of which the action has but one kind."""
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], text)


def test_the_action_is_one_by_githubs_schema() -> None:
    _holds("vendor.github-actions", REPOSITORY / "action.yml")


def _holds(schema: str, file: Path, *options: str) -> None:
    command = [program("check-jsonschema"), "--builtin-schema", schema, *options, str(file)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_input_becomes_part_of_a_script() -> None:
    """GitHub puts the value of an expression into the script as text, whatever it is."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]
    used = re.findall(r"inputs\.([\w-]+)", json.dumps(ACTION["runs"]))
    assert sorted(used) == sorted(ACTION["inputs"])


def test_an_input_is_named_as_the_option_and_all_of_them_are_documented() -> None:
    check = commands.get_command(click.Context(commands), "check")
    assert check is not None
    options = {name.removeprefix("--") for parameter in check.params for name in parameter.opts}
    assert set(ACTION["inputs"]) - _OF_THE_ACTION <= options
    table = PAGE.partition("| input | |")[2].partition("Its outputs are")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([\w-]+)`", "".join(rows))) == sorted(ACTION["inputs"])
    named = PAGE.partition("Its outputs are")[2].partition("\n\n")[0]
    assert re.findall(r"`([\w-]+)`", named) == list(ACTION["outputs"])


@pytest.fixture
def recording(tmp_path: Path) -> Runner:
    """A runner in which a program is installed that writes down its arguments."""
    runner = Runner(tmp_path)
    fake = runner.temporary / "linkscope/bin/linkscope"
    fake.parent.mkdir(parents=True)
    fake.write_text(_RECORDING.format(python=sys.executable))
    fake.chmod(0o755)
    return runner


def _arguments(runner: Runner, inputs: Mapping[str, str]) -> list[str]:
    ended = runner.step(1, inputs)
    assert ended.code == 0, ended.log
    command, shown, *given = json.loads((runner.workspace / "arguments").read_text())
    assert (command, shown) == ("check", "--format=github")
    assert [word for word in given if word.startswith("--output=markdown=")]
    return [word for word in given if not word.startswith("--output=markdown=")]


def test_every_input_reaches_the_command(recording: Runner) -> None:
    inputs = {
        "paths": "dist/app\n  dist/other  \n\n",
        "policy": "ci/linkscope.toml",
        "target": "debian:11 ubuntu:20.04\nmanylinux_2_17",
        "glibc": "2.28",
        "static": "true",
        "allow": "libc.so.6,libm.so.6",
        "forbid": "libssl*",
        "no-build-paths": "true",
        "baseline": "accepted.json",
        "args": "--library-path=lib:lib64\n--symbols",
        "sarif": "out/report.sarif",
    }
    assert _arguments(recording, inputs) == [
        *("--policy=ci/linkscope.toml", "--glibc=2.28", "--allow=libc.so.6,libm.so.6", "--forbid=libssl*"),
        *("--baseline=accepted.json", "--static", "--no-build-paths"),
        *("--target=debian:11", "--target=ubuntu:20.04", "--target=manylinux_2_17"),
        *("--library-path=lib:lib64", "--symbols", "--output=sarif=out/report.sarif"),
        *("--", "dist/app", "dist/other"),
    ]


def test_without_inputs_only_the_paths_reach_it(recording: Runner) -> None:
    assert _arguments(recording, {"paths": "dist"}) == ["--", "dist"]


@pytest.mark.parametrize(
    "value",
    [
        "with a space",
        'it\'s "quoted"',
        "$(touch evil)",
        "`touch evil`",
        "; touch evil",
        "$HOME",
        "\\",
        "--static",
        "-n",
    ],
)
def test_a_strange_value_stays_one_word_and_is_not_carried_out(recording: Runner, value: str) -> None:
    given = _arguments(recording, {"paths": value, "policy": value, "args": value, "sarif": value})
    assert given == [f"--policy={value}", value, f"--output=sarif={value}", "--", value]
    assert [path.name for path in recording.workspace.iterdir()] == ["arguments"]


def test_a_pattern_stands_for_the_names_that_it_finds(recording: Runner) -> None:
    for name in ("dist/a b.so", "dist/deep/er/c.so", "dist/d.txt", "[x]"):
        (recording.workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (recording.workspace / name).touch()
    given = _arguments(recording, {"paths": "dist/*.so\ndist/**/c.so\n[x]\n*.none\n$(touch evil)*"})
    assert given == ["--", "dist/a b.so", "dist/deep/er/c.so", "[x]", "*.none", "$(touch evil)*"]
    assert not (recording.workspace / "evil").exists()


@pytest.mark.parametrize(
    "inputs",
    [
        {"paths": " \n"},
        {"paths": "app", "static": "yes"},
        {"paths": "app", "fail": "no"},
        {"paths": "app", "sarif": "a\nexit-code=0"},
    ],
    ids=repr,
)
def test_an_input_that_cannot_be_meant_ends_the_step(recording: Runner, inputs: Mapping[str, str]) -> None:
    ended = recording.step(1, inputs)
    assert (ended.code, ended.outputs) == (2, {"exit-code": "2"})
    assert ended.log.startswith("::error::")
    assert ended.log.count("\n") == 1


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A runner on which the first step was carried out: pip builds and installs the project, as on GitHub."""
    program("python")  # raises Unavailable where PyPI cannot be reached
    runner = Runner(tmp_path_factory.mktemp("github"))
    ended = runner.step(0, {"python": sys.executable})
    assert ended.code == 0, ended.log
    return runner


def test_the_action_checks_and_reports(installed: Runner, fixture_file: Callable[[str], Path]) -> None:
    shutil.copy(fixture_file("hello/hello-dynamic-pie"), installed.workspace / "my app")
    inputs = {"paths": "my app", "static": "true", "sarif": "linkscope.sarif"}
    ended = installed.step(1, inputs)
    assert ended.code == 1, ended.log
    assert re.search(r"^::error file=my app,.*interpreter", ended.log, re.MULTILINE)
    assert (ended.outputs["exit-code"], ended.outputs["sarif"]) == ("1", "linkscope.sarif")
    assert json.loads((installed.workspace / "linkscope.sarif").read_text())["version"] == "2.1.0"
    assert "my app" in ended.summary
    assert Path(ended.outputs["markdown"]).read_text() == ended.summary
    assert installed.step(1, {**inputs, "fail": "false"}).code == 0
    assert installed.step(1, {**inputs, "static": "false"}).outputs["exit-code"] == "0"


def test_what_cannot_be_analysed_fails_the_action_in_any_case(installed: Runner) -> None:
    ended = installed.step(1, {"paths": "absent", "fail": "false"})
    assert (ended.code, ended.outputs["exit-code"]) == (2, "2")


def test_an_old_python_is_told(recording: Runner, tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    ended = recording.step(0, {"python": str(old)})
    assert ended.code == 2
    assert ended.log.startswith("::error::linkscope needs Python 3.11 or later")


def _git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, env=surroundings(folder), check=True, capture_output=True)


def _commit_all(folder: Path) -> None:
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "all")


def test_pre_commit_installs_the_hook_and_gives_it_the_programs(
    tmp_path: Path, fixture_file: Callable[[str], Path], require_tool: Callable[[str], str]
) -> None:
    require_tool("git")
    source, project = tmp_path / "linkscope", tmp_path / "project"
    shutil.copytree(REPOSITORY / "linkscope", source / "linkscope", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(REPOSITORY / name, source)
    _commit_all(source)
    _git(source, "tag", "v0.1.0")
    (project / "bin").mkdir(parents=True)
    shutil.copy(fixture_file("hello/hello-dynamic-pie"), project / "bin/my app")
    shutil.copy(fixture_file("hello/hello-static"), project / "bin/static")
    (project / "README").write_text("text\n")
    (project / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    # What the page says, with the place where the hook is.
    config = yaml.safe_load(_block("--glibc=2.28"))
    config["repos"][0]["repo"] = str(source)
    config["repos"][0]["hooks"][0]["args"] = ["--static"]
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    _commit_all(project)
    surrounding = {**surroundings(tmp_path), "PRE_COMMIT_HOME": str(tmp_path / "hooks")}
    command = [program("pre-commit"), "run", "--all-files", "--color=never"]
    ran = subprocess.run(command, cwd=project, env=surrounding, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "linkscope check...." in ran.stdout
    assert "exit code: 1" in ran.stdout
    assert "bin/my app" in ran.stdout
    assert "2 files: 1 error" in ran.stdout


def test_the_manifest_of_hooks_is_one() -> None:
    command = [program("pre-commit"), "validate-manifest", str(REPOSITORY / ".pre-commit-hooks.yaml")]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_workflow_of_the_page_is_one_and_gives_inputs_that_there_are(tmp_path: Path) -> None:
    text = _block("name: release")
    workflow = tmp_path / "workflow.yml"
    workflow.write_text(text)
    _holds("vendor.github-workflows", workflow)
    (step,) = [one for one in yaml.safe_load(text)["jobs"]["linkage"]["steps"] if one.get("id") == "linkscope"]
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert set(re.findall(r"steps\.linkscope\.outputs\.([\w-]+)", text)) <= set(ACTION["outputs"])


def test_the_hooks_of_the_page_are_configured_as_pre_commit_wants(tmp_path: Path) -> None:
    found = [block for block in _blocks("yaml") if block.startswith("repos:")]
    assert len(found) == 2
    for number, block in enumerate(found):
        config = tmp_path / f"{number}.yaml"
        config.write_text(block)
        checked = subprocess.run(
            [program("pre-commit"), "validate-config", str(config)], capture_output=True, text=True
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_job_for_gitlab_is_one_and_writes_its_reports(tmp_path: Path, fixture_file: Callable[[str], Path]) -> None:
    text = _block("codequality:")
    job = tmp_path / ".gitlab-ci.yml"
    job.write_text(text)
    _holds("vendor.gitlab-ci", job, "--data-transform", "gitlab-ci")
    row = yaml.safe_load(text)["linkscope"]
    (command,) = [line for line in row["script"] if line.startswith("linkscope ")]
    assert _in_a_shell(command, tmp_path, fixture_file) in (0, 1)
    for name in row["artifacts"]["reports"].values():
        assert (tmp_path / name).stat().st_size


@pytest.mark.parametrize("block", [block for block in _blocks("sh") if block.startswith("linkscope ")])
def test_what_the_page_says_to_type_works(block: str, tmp_path: Path, fixture_file: Callable[[str], Path]) -> None:
    assert _in_a_shell(block, tmp_path, fixture_file) in (0, 1)


def _in_a_shell(script: str, folder: Path, fixture_file: Callable[[str], Path]) -> int:
    """The exit code of SCRIPT in a folder that has a program in `dist`, and a policy that asks for nothing."""
    (folder / "dist").mkdir()
    shutil.copy(fixture_file("hello/hello-dynamic-pie"), folder / "dist/app")
    (folder / "linkscope.toml").write_text("")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    ran = subprocess.run(["sh", "-c", script], cwd=folder, env=environment(PATH=path), capture_output=True, text=True)
    assert "Error" not in ran.stderr, ran.stderr
    return ran.returncode
