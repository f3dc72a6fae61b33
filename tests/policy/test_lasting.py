"""Globs that a first policy has for members of packages, whose names change from release to release."""

import pytest

from linkscope.policy.globs import matches
from linkscope.policy.lasting import Lasting

# Two releases of one member, the packages called as their projects, dpkg, rpm and apk do.
RELEASES = [
    (
        "dist/numpy-1.26.4-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl!/numpy.libs/libgfortran-040039e1.so.5.0.0",
        "dist/numpy-2.1.0rc1-cp313-cp313-manylinux_2_28_x86_64.whl!/numpy.libs/libgfortran-040039e1-0352e75f.so.5.0.0",
    ),
    (
        "numpy-1.26.4-cp312-cp312-win.whl!/numpy/core/_simd.cpython-312-x86_64-linux-gnu.so",
        "numpy-2.0-cp313-cp313-win.whl!/numpy/core/_simd.cpython-313-x86_64-linux-gnu.so",
    ),
    (
        "dist/curl_7.88.1-10+deb12u5_amd64.deb!/usr/lib/x86_64-linux-gnu/libcurl.so.4.8.0",
        "dist/curl_8.5.0-2_amd64.deb!/usr/lib/x86_64-linux-gnu/libcurl.so.4.9.0",
    ),
    ("curl-8.5.0-1.fc40.x86_64.rpm!/usr/bin/curl", "curl-8.11.1-3.fc41.x86_64.rpm!/usr/bin/curl"),
    ("zlib-1.3-r2.apk!/lib/libz.so.1.3", "zlib-1.3.1-r0.apk!/lib/libz.so.1.3.1"),
    ("dist/app-v1.2.tar.gz!/app-1.2/bin/app", "dist/app-v1.10.tar.gz!/app-1.10/bin/app"),
    ("all.zip!/curl_7.88.1-10_amd64.deb!/usr/bin/curl", "all.zip!/curl_8.5.0-2_amd64.deb!/usr/bin/curl"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), RELEASES, ids=lambda path: path.rpartition("/")[2])
def test_the_glob_for_a_member_means_it_in_the_next_release_too(before: str, after: str) -> None:
    (glob,) = Lasting([before]).globs([before])
    assert matches(before, glob)
    assert matches(after, glob)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ("dist/app-1.0_amd64.deb!/bin/app", "dist/app-1.0_arm64.deb!/bin/app"),
        ("dist/app-1.0-cp311-x.whl!/app.so", "dist/app-1.0-cp312-x.whl!/app.so"),
        ("a.zip!/libx.so.1", "a.zip!/libx.so.2"),
        ("dist/app-1.0.zip!/app", "dist/app-extra-1.0.zip!/app"),
        ("dist/a[-1.zip!/a*", "dist/a[-2.zip!/ab"),
    ],
)
def test_no_glob_means_another_file(own: str, other: str) -> None:
    (glob,) = Lasting([own, other]).globs([own])
    assert matches(own, glob)
    assert not matches(other, glob)


def test_the_architecture_stays_where_it_tells_packages_apart() -> None:
    paths = [f"dist/app_1.0_{architecture}.deb!/bin/app" for architecture in ("amd64", "arm64")]
    assert Lasting(paths).globs(paths[:1]) == ["dist/app_*_amd64.deb!/bin/app"]


def test_a_file_that_is_in_no_package_has_its_own_name() -> None:
    assert Lasting(["dist/libx.so.1.2"]).globs(["dist/libx.so.1.2"]) == ["dist/libx.so.1.2"]


def test_a_package_stands_for_all_that_is_in_it() -> None:
    paths = ["a-1.0.whl!/x.so", "a-1.0.whl!/y/z.so", "b-1.0.whl!/x.so"]
    assert Lasting(paths).globs(paths[:2]) == ["a-*.whl!/**"]
