"""BoringSSL and its like: their own texts decide whose the code is that they have in common with OpenSSL."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from linkscope.analysis.who import who
from linkscope.contents import banners, forks
from linkscope.model.check import CheckDocument
from linkscope.model.inspect import Content, Evidence
from tests.cli.conftest import COMMAND, environment
from tests.contents.samples import all_found_in, texts, with_constants
from tests.contents.wheels import unpacked

_PATH = "third_party/boringssl-with-bazel/src/crypto/asn1/a_bitstr.c"
_CODE = Evidence(kind="fingerprint", archive="libcrypto.a", sections_matched=7, sections_total=640)
_SYMBOL = Evidence(kind="symbol", text="OPENSSL_LH_new, OPENSSL_LH_insert")
_BANNER = Evidence(kind="banner", text="OpenSSL 1.1.1w  11 Sep 2023")


def _content(name: str, version: str | None, *evidence: Evidence, ecosystem: str = "generic") -> Content:
    return Content(name=name, ecosystem=ecosystem, version=version, evidence=list(evidence))


_FORK = _content("boringssl", None, Evidence(kind="banner", text=_PATH))


@pytest.mark.parametrize("shared", [[_CODE], [_SYMBOL], [_CODE, _SYMBOL]], ids=["code", "symbols", "both"])
def test_what_both_have_is_the_forks_where_only_that_one_has_texts(shared: list[Evidence]) -> None:
    (found,) = forks.settled([_FORK, _content("openssl", None, *shared)])
    assert (found.name, found.evidence) == ("boringssl", [*_FORK.evidence, *shared])


@pytest.mark.parametrize(
    "openssl",
    [
        _content("openssl", "1.1.1w", _BANNER),
        _content("openssl", None, _CODE, Evidence(kind="banner", text="ssl/statem/statem_clnt.c")),
        _content("openssl", "1.1.1w", _CODE),
        _content("openssl", None, Evidence(kind="rust-path", text="openssl-0.10"), ecosystem="cargo"),
    ],
    ids=["banner", "path", "version", "crate"],
)
def test_what_is_openssls_own_stays(openssl: Content) -> None:
    assert forks.settled([_FORK, openssl]) == [_FORK, openssl]


@pytest.mark.parametrize("version", [None, "3.8.2"])
def test_of_several_forks_the_one_with_a_text_has_the_code(version: str | None) -> None:
    """The other ones may be there by the very symbols that all of them have in common."""
    aws = _content("aws-lc", version, Evidence(kind="banner", text="AWS-LC FIPS 2.0.0"))
    others = [_content("boringssl", None, _SYMBOL), _content("libressl", None, _SYMBOL)]
    found = {one.name: one.evidence for one in forks.settled([aws, *others, _content("openssl", None, _CODE)])}
    assert found == {"aws-lc": [*aws.evidence, _SYMBOL, _CODE], "libressl": [_SYMBOL]}


def test_without_a_fork_nothing_changes() -> None:
    alone = [_content("openssl", None, _CODE), _content("zlib", None, _SYMBOL)]
    assert forks.settled(alone) == alone


def test_every_fork_is_of_a_library_that_is_known() -> None:
    named = {parent for library in banners.libraries() for parent in library.fork_of}
    assert named <= {library.name for library in banners.libraries()}
    assert forks.of("openssl") == {"boringssl", "aws-lc", "libressl"}
    assert forks.with_forks(["openssl", "xz"]) == {"openssl", "boringssl", "aws-lc", "libressl", "xz"}


def test_a_path_and_a_text_of_aws_lc_are_not_boringssls(tmp_path: Path) -> None:
    path = "/work/aws-crt-python/crt/aws-lc/crypto/fipsmodule/bn/bn.c"
    (found,) = all_found_in(with_constants(tmp_path / "made", texts(path, "AWS-LC FIPS 2.0.9")))
    assert (found.name, found.version) == ("aws-lc", "2.0.9")


@pytest.fixture(scope="module")
def grpc() -> Path:
    """The module of a release of gRPC, which is built with BoringSSL and Abseil (its own third_party, and licences)."""
    return next(unpacked("grpcio", "1.62.0").glob("grpc/_cython/cygrpc*.so"))


def test_a_release_with_boringssl_and_abseil_holds_these_and_no_openssl(grpc: Path) -> None:
    done = subprocess.run(["strings", "-n", "12", grpc], capture_output=True, text=True, check=True)
    assert "third_party/abseil-cpp/absl/strings/" in done.stdout
    found = {one.name: one for one in all_found_in(grpc)}
    assert "openssl" not in found
    assert (found["boringssl"].version, found["abseil"].version) == (None, "20240116")
    assert f"lts_{found['abseil'].version}" in done.stdout


def test_who_finds_the_fork_and_not_what_it_was_made_of(grpc: Path) -> None:
    (match,) = who("boringssl", [str(grpc)]).matches
    assert (match.how, match.name, match.proof) == ("inside", "boringssl", "text")
    assert who("openssl", [str(grpc)]).matches == []


def _forbidden(name: str, path: Path) -> list[str]:
    """What a check of the file at PATH finds where the library NAME is forbidden."""
    command = [*COMMAND, "check", "--no-policy", "--forbid", name, "--format", "json", str(path)]
    done = subprocess.run(command, env=environment(), capture_output=True, check=False)
    document = msgspec.json.decode(done.stdout, type=CheckDocument)
    return [finding.message for finding in document.findings if finding.rule == "library-forbidden"]


def test_who_forbids_openssl_does_not_mean_boringssl(grpc: Path) -> None:
    assert _forbidden("openssl", grpc) == []
    assert _forbidden("boringssl", grpc) == ["holds boringssl, which the policy forbids"]
