"""The page about policies: its example is one, and what it says of globs is so."""

import re

from linkscope.policy.config import parse
from linkscope.policy.globs import matches
from tests.cli.conftest import REPOSITORY

TEXT = (REPOSITORY / "docs/policy.md").read_text()


def test_the_example_is_a_policy() -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    policy = parse(example.encode())
    assert [len(policy.groups_of(path)) for path in ("dist/bin/render", "dist/lib/libx.so")] == [2, 1]
    assert len(policy.waivers) == 1


def test_the_globs_mean_what_is_said_of_them() -> None:
    means = [
        ("app", "dist/app"), ("*.so*", "lib/libx.so.1"), ("dist/*", "dist/app"), ("dist/**", "dist/bin/app"),
        ("**/plugins/*", "a/b/plugins/x"), ("dist", "dist/bin/app"), ("dist/app-1.0.whl", "dist/app-1.0.whl!/x.so"),
        ("dist/*.whl!/**", "dist/a.whl!/b/x.so"),
        ("dist/[[]1]", "dist/[1]"), ("dist/*", "/home/me/dist/app"), ("dist/*", "../dist/app"),
    ]  # fmt: skip
    for glob, path in means:
        assert matches(path, glob), glob
        assert f"`{glob}`" in TEXT
    assert not matches("dist/bin/app", "dist/*")
