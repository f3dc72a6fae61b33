"""Many texts looked for at once are found where `bytes.find` finds each of them."""

from hypothesis import given
from hypothesis import strategies as st

from linkscope.contents.needles import LEAST, Needles

# Few letters, so that texts overlap, contain one another and stand at every place of a word.
SCARCE = st.binary(min_size=1, max_size=12).map(lambda data: bytes(b"ab\0%"[byte % 4] for byte in data))


def _everywhere(text: bytes, data: bytes) -> set[tuple[bytes, int]]:
    return {(text, at) for at in range(len(data)) if data.startswith(text, at)}


@given(st.lists(SCARCE, min_size=1, max_size=8), st.lists(SCARCE, max_size=40).map(b"".join))
def test_every_place_of_every_text_is_found(texts: list[bytes], data: bytes) -> None:
    found = list(Needles(texts).find(data))
    assert set(found) == set().union(*(_everywhere(text, data) for text in texts))
    assert len(found) == len(set(found))


@given(st.binary(min_size=LEAST, max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_a_text_is_found_at_any_distance_from_both_ends(text: bytes, before: bytes, after: bytes) -> None:
    assert (text, len(before)) in set(Needles([text]).find(before + text + after))


def test_no_text_and_no_data_give_nothing() -> None:
    assert list(Needles([]).find(b"anything")) == []
    assert list(Needles([b"something", b"a"]).find(b"")) == []
