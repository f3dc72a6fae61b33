"""Released files of many projects: what they say themselves is what must be found in them, and nothing else."""

import re

import msgspec

from linkscope.contents import upstream
from linkscope.contents.attribution import linked_in
from linkscope.contents.packs import SHIPPED, Store
from linkscope.elf.image import Image
from linkscope.model.inspect import Content
from tests.contents import released
from tests.contents.samples import all_found_in
from tests.elf.samples import ask, opened

RECALL, PRECISION = 0.85, 0.97
# What is inside though the release does not say so.
_UNSAID = {
    ("imageio-ffmpeg", "glibc"): "ffmpeg is a static program, as file(1) says",
    ("imageio-ffmpeg", "nettle"): "GnuTLS, which it names, is made on it (GnuTLS, README)",
}


class Score(msgspec.Struct):
    """What was found, over all releases. Each entry names its package."""

    files: int = 0
    said: list[str] = []
    missed: list[str] = []
    found: list[str] = []
    false: list[str] = []
    versions: list[str] = []
    other_versions: list[str] = []

    @property
    def recall(self) -> float:
        """The part of the libraries said that was found."""
        return 1 - len(self.missed) / len(self.said)

    @property
    def precision(self) -> float:
        """The part of what was found that is there, and in no other version."""
        return 1 - (len(self.false) + len(self.other_versions)) / len(self.found)


def score() -> Score:
    """All releases judged."""
    total = Score()
    for release in released.releases():
        _judge(release, total)
    return total


def _judge(release: released.Release, total: Score) -> None:
    paths = released.files(release)
    own = {path.name for path in paths}
    there = released.called(own) | set(release.also)
    outside = released.called(name for path in paths for name in ask(_needed, path) if name not in own) - there
    said = {name: version for name, version in released.all_say()[release.package].items() if name not in outside}
    found: dict[str, list[Content]] = {}
    for path in paths:
        for content in all_found_in(path):
            if content.ecosystem == "generic":
                found.setdefault(content.name, []).append(content)
    names = {name: f"{release.package}: {name}" for name in {*said, *found}}
    total.files += len(paths)
    total.said += [names[name] for name in said]
    total.missed += [names[name] for name in said if name not in found]
    total.found += [names[name] for name in found]
    total.false += [names[name] for name in found if name not in there and name not in said]
    for name in set(found) & set(said):
        told = {content.version for content in found[name]} - {None}
        if said[name] and told:
            total.versions.append(names[name])
            if not any(_agree(content, said[name]) for content in found[name]):
                total.other_versions.append(f"{names[name]} {said[name]}, found {sorted(map(str, told))}")


def _needed(_: object, image: Image) -> list[str]:
    return list(image.needed)


def _agree(content: Content, said: str) -> bool:
    """Whether one is the other with fewer numbers, or with something behind it: 72 and 72.1, 1.3.1-motley.

    Of two versions inside, the older one is named and the other one is among the proofs.
    """
    told = [content.version or "", *(proof.text or "" for proof in content.evidence)]
    return any(_same(version, said) for version in told)


def _same(found: str, said: str) -> bool:
    numbers = [re.findall(r"\d+[a-z]?", one) for one in (re.sub(r"^\D+", "", found), said)]
    least = min(map(len, numbers))
    return least > 0 and (numbers[0][:least] == numbers[1][:least] or upstream.key(found) == upstream.key(said))


def test_what_releases_say_is_found_and_nothing_else() -> None:
    total = score()
    print(f"{total.files} files of {len(released.releases())} projects name {len(total.said)} libraries")
    print(f"found: {total.recall:.1%}; right: {total.precision:.1%}; with a version: {len(total.versions)}")
    print("missed:", *total.missed, sep="\n  ")
    print("false:", *total.false, *total.other_versions, sep="\n  ")
    assert total.files >= 30
    assert len(released.releases()) >= 15
    assert total.recall >= RECALL, total.missed
    assert total.precision >= PRECISION, [*total.false, *total.other_versions]


def test_whose_code_is_in_releases_is_what_they_say() -> None:
    """GCC links functions of its runtime into all that it makes."""
    shipped = Store(SHIPPED, fixed=True)
    found: list[str] = []
    for release in released.releases():
        paths = released.files(release)
        there = {*released.called(path.name for path in paths), *release.also, *released.all_say()[release.package]}
        there |= {name for package, name in _UNSAID if package == release.package} | {"gcc"}
        for path in paths:
            with opened(path) as (reader, image):
                names = [one.name for one in linked_in(reader, image, [shipped]).libraries]
            assert set(names) <= there, path
            found += names
    assert len(found) >= 10
