"""The package URLs of what no package of its registry is; those of packages are in test_cyclonedx.py."""

import pytest

from linkscope.model.inspect import Content, Evidence
from linkscope.report.purls import purl_of


@pytest.mark.parametrize(
    ("name", "version", "purl"),
    [
        ("std", "1.95.0", "pkg:generic/rust@1.95.0"),
        ("std", None, "pkg:generic/rust"),
        ("stdweb", "0.4.20", "pkg:cargo/stdweb@0.4.20"),
    ],
)
def test_the_standard_library_of_rust_is_no_package_of_crates_io(name: str, version: str | None, purl: str) -> None:
    """Called as Syft calls it: by the compiler that it comes with."""
    proof = Evidence(kind="comment", text="rustc version 1.95.0")
    found = purl_of(Content(name=name, ecosystem="cargo", version=version, evidence=[proof]))
    assert found is not None
    assert found.to_string() == purl
