"""Which file of a new release takes the place of which one of the old."""

import string

from hypothesis import given
from hypothesis import strategies as st

from linkscope.policy.pairing import pairs


def test_equal_names_belong_together_whatever_their_sonames() -> None:
    assert pairs({"lib/a.so": "liba.so.1"}, {"lib/a.so": "liba.so.2"}) == [("lib/a.so", "lib/a.so")]


def test_a_library_is_known_by_its_soname_when_its_file_has_another_name() -> None:
    assert pairs({"lib/libz.so.1.2.11": "libz.so.1"}, {"lib64/libz.so.1.3": "libz.so.1"}) == [
        ("lib/libz.so.1.2.11", "lib64/libz.so.1.3")
    ]


def test_numbers_and_the_hashes_of_auditwheel_do_not_part_files() -> None:
    old = {"app-1.2/bin/app": None, "x.libs/libgfortran-040039e1.so.5.0.0": "libgfortran-040039e1.so.5.0.0"}
    new = {"app-1.3/bin/app": None, "x.libs/libgfortran-91cc3cb1.so.3.0.0": "libgfortran-91cc3cb1.so.3.0.0"}
    assert pairs(old, new) == list(zip(old, new, strict=True))


def test_the_folder_that_an_archive_puts_around_all_files_parts_none() -> None:
    old = {"app": None, "lib/liba.so": None, "lib/libb.so": None}
    new = {"dist/app": None, "dist/lib/liba.so": None, "dist/lib/libb.so": None}
    assert pairs(old, new) == list(zip(old, new, strict=True))


def test_where_two_could_be_meant_nothing_is_guessed() -> None:
    assert pairs({"a1": None, "a2": None}, {"a3": None}) == [(None, "a3"), ("a1", None), ("a2", None)]


_NAMES = st.dictionaries(
    st.text(string.ascii_lowercase[:3] + "12/", min_size=1, max_size=4),
    st.none() | st.sampled_from(["liba.so.1", "libb.so.1"]),
    max_size=8,
)


@given(_NAMES, _NAMES)
def test_every_file_of_both_sides_appears_once(old: dict[str, str | None], new: dict[str, str | None]) -> None:
    found = pairs(old, new)
    assert sorted(name for name, _ in found if name is not None) == sorted(old)
    assert sorted(name for _, name in found if name is not None) == sorted(new)
    assert {(name, name) for name in old.keys() & new.keys()} <= set(found)
