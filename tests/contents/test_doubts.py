"""What is said to be doubtful about a version is so."""

from linkscope.contents.claims import Claim
from linkscope.contents.fingerprints import Archive
from linkscope.contents.regions import Holder, Region
from linkscope.contents.releases import LinkedLibrary, releases
from linkscope.contents.surroundings import Surroundings

ARCHIVES = {
    (0, number): Archive(
        name="libfoo.a",
        architecture="x86_64",
        members=9,
        sections=9,
        size=9000,
        signatures=(),
        library="foo",
        version=version,
    )
    for number, version in enumerate(("1", "2"))
}


def _region(start: int, *versions: int) -> Region:
    holders = tuple(Holder((0, number), f"{start}.o", ".text") for number in versions)
    return Region(start=start, length=1000, fixed=1000, code=(0, start), telling=True, holders=holders)


def _release(*regions: Region) -> LinkedLibrary:
    return releases(Claim("foo", regions), ARCHIVES, {"1", "2"}, Surroundings({}, ()))[0]


def test_versions_that_have_as_much_of_the_code_are_not_said_to_have_all_of_it() -> None:
    """One function is the first version's alone, and one as long the second's: neither has both."""
    shared, first, second = _region(0, 0, 1), _region(1000, 0), _region(2000, 1)
    for regions in ((shared, first, second), (shared,)):
        found = _release(*regions)
        assert found.version is None
        assert found.fits == ("1", "2")
        assert found.doubt == "several versions have as much of this code"
