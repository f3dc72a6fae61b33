"""What check says of targets is what `linkscope targets` says, for every target that there is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from linkscope.analysis import targets as answered
from linkscope.policy.catalogue import rules
from linkscope.policy.evaluate import Evaluation
from linkscope.policy.targets.catalogue import targets
from linkscope.policy.terms import Group, Policy
from tests.analysis.test_subject import subject_of

FixtureFile = Callable[[str], Path]
RULES = {rule.id for rule in rules().values() if "target" in rule.asked}
OF_STARTS = {"unresolved-symbol", "bad-candidate"}  # of which nothing is known to a wheel's tag
SAMPLES = (
    "hello/hello-dynamic-pie",
    "hello/hello-cpp",
    "hello/hello-static",
    "hello/hello-musl-dynamic-pie",
    "chain/no-search-path/app",
    "chain/rpath-serves/app",
    "candidates/text/app",
    "floors/absent-now",
    "floors/brings-absent-lazy",
    "floors/brings-absent-now",
    "floors/brings-frozen",
    "floors/zlib-absent",
    "policy/librelr.so",
    "policy/musl-newer",
    "policy/pyfpe.so",
    "platform/isa-v4/libleaf.so",
    "runtime/static-nss",
    "versions/relr",
)


@pytest.mark.parametrize("name", SAMPLES)
def test_check_has_an_error_of_each_target_on_which_the_file_does_not_start(
    name: str, fixture_file: FixtureFile
) -> None:
    """A warning where it cannot be told; and what decides is the subject of a finding."""
    path = fixture_file(name)
    subject = subject_of(path, symbols=True)
    (file,) = answered.targets([str(path)]).files
    for one, said in zip(targets(), file.verdicts, strict=True):
        told = RULES | OF_STARTS if one.kind == "system" else RULES
        policy = Policy(groups=(Group(paths=("**",), settings={"target": (said.target,)}),))
        found = [one for one in Evaluation(policy, frozenset({"symbols"})).findings(subject) if one.rule in told]
        levels = {one.level for one in found}
        assert ("error" in levels) == (said.starts is False), said.target
        assert "warning" in levels or said.starts is not None, said.target
        if said.because is not None:
            assert said.because in {one.subject for one in found}, said.target
