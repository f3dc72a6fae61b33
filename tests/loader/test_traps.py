"""The rules of the conformance tables: what each says is what the real loader does, and what LinkScope predicts."""

import os

import pytest

from tests.conformance.judge import disagreement, verdict
from tests.conformance.rules import ALL
from tests.conformance.rules.rule import Refused, Rule
from tests.loader.agreement import prediction

_GLIBC = {sentence: rule for sentence, rule in ALL.items() if rule.libc == "glibc"}  # musl's: test_musl.py
_PRIVILEGED = "chroot, setuid files, and files that one may not read, need root"


@pytest.mark.parametrize("rule", _GLIBC.values(), ids=_GLIBC)
def test_rule(rule: Rule) -> None:
    forest = rule.forest
    if os.geteuid() != 0 and (forest.rooted or forest.for_ordinary_user):
        pytest.skip(_PRIVILEGED)
    with forest.planted(*rule.loader_and_ldconfig()) as planted:
        said = verdict(rule, planted)
        paths = rule.paths("" if planted.root else planted.base)
        if isinstance(rule.expected, Refused):
            assert not said.starts
            assert rule.expected.words in said.words
        else:
            assert said.starts is (paths is None or None not in paths), said
            assert paths is None or said.entries is None or said.paths == paths
        assert disagreement(rule, said, prediction(planted, rule.depth), planted) is None
