"""What known code proves by itself is the same question everywhere."""

import msgspec
import pytest

from linkscope.contents.regions import COMMON, Holder, Region, proof
from linkscope.contents.surroundings import unknown_before

ARCHIVE = (0, 0)


def region(start: int, fixed: int) -> Region:
    holders = (Holder(ARCHIVE, f"{start}.o", ".text"),)
    return Region(start=start, length=200, fixed=fixed, code=(0, start), telling=True, holders=holders)


@pytest.mark.parametrize(("fixed", "firm"), [(COMMON - 1, False), (COMMON, False), (COMMON + 1, True)])
def test_code_is_firm_that_has_more_fixed_bytes_than_compilers_make_of_anything(fixed: int, firm: bool) -> None:
    one, other = region(0, fixed), region(1000, fixed)
    assert one.is_firm == firm
    assert (proof([one]) > 0) == firm
    assert unknown_before(other, one, {ARCHIVE}) == (800 if firm else 0)


def test_a_headers_code_is_not_firm_however_much_it_is() -> None:
    assert not msgspec.structs.replace(region(0, 10 * COMMON), telling=False).is_firm
