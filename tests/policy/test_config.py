"""The policy file: what is read, and what is said of every mistake in it."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.errors import FileUnreadable
from linkscope.policy.catalogue import rules
from linkscope.policy.config import PolicyInvalid, parse, read
from linkscope.policy.terms import Policy, Terms, Waiver

GOOD = b"""\
# What the release has to be.
[[files]]
linkage = "dynamic"
floors = { GLIBC = "2.28", GLIBCXX = "3.4.25" }
target = ["debian:11"]
allow = ["libc.so.6", "libm.so.*"]
build-paths = false

[files.rules]
executable-stack = "error"
packed = "off"

[[files]]
paths = ["dist/tool", "**/plugins/*.so"]
linkage = "static"
floors.GLIBC = "2.17"

[[waivers]]
rule = "executable-stack"
path = "dist/tool"
reason = "nested functions"
until = 2026-12-31

[[waivers]]
rule = "missing-library"
path = "**"
subject = "libcuda.so.1"
reason = "the driver brings it"
"""


def _complaints(text: str | bytes) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(PolicyInvalid) as caught:
        parse(content, "policy.toml")
    assert caught.value.exit_code == 2
    return caught.value.lines


def test_a_good_file_is_read_whole() -> None:
    policy = parse(GOOD, today=dt.date(2026, 1, 1))
    first, second = policy.groups
    assert first.paths == ("**",)
    assert first.settings == {
        "linkage": "dynamic",
        "floors": {"GLIBC": "2.28", "GLIBCXX": "3.4.25"},
        "target": ("debian:11",),
        "allow": ("libc.so.6", "libm.so.*"),
        "build_paths": False,
    }
    assert first.levels == {"executable-stack": "error", "packed": "off"}
    assert second.paths == ("dist/tool", "**/plugins/*.so")
    assert [group.line for group in policy.groups] == [2, 13]
    assert policy.waivers[0] == Waiver(
        rule="executable-stack", path="dist/tool", reason="nested functions", until=dt.date(2026, 12, 31), line=18
    )
    assert policy.waivers[1].subject == "libcuda.so.1"
    assert policy.today == dt.date(2026, 1, 1)


def test_later_sections_refine_earlier_ones() -> None:
    policy = parse(GOOD)
    general, tool = _terms(policy, "dist/other").settings, _terms(policy, "dist/tool").settings
    assert (general.linkage, tool.linkage) == ("dynamic", "static")  # type: ignore[attr-defined]
    assert tool.floors == {"GLIBC": "2.17", "GLIBCXX": "3.4.25"}  # type: ignore[attr-defined]
    assert tool.build_paths is False  # type: ignore[attr-defined]
    assert _terms(policy, "dist/tool").levels == {"executable-stack": "error", "packed": "off"}


def test_an_empty_file_asks_for_nothing() -> None:
    assert parse(b"") == Policy(today=parse(b"").today)


def test_a_waiver_is_held_against_the_day_of_the_run() -> None:
    assert parse(GOOD).today == dt.datetime.now(dt.UTC).date()


def test_every_rule_and_its_own_level_can_be_named() -> None:
    text = "[[files]]\n[files.rules]\n" + "".join(f'{rule.id} = "{rule.level}"\n' for rule in rules().values())
    assert parse(text.encode()).groups[0].levels == {rule.id: rule.level for rule in rules().values()}


FILES = "[[files]]\n"
WAIVER = '[[waivers]]\nrule = "packed"\npath = "app"\nreason = "so it is"\n'
# What is written, the line that is named, and words of the complaint; each is the only complaint.
MISTAKES: dict[str, tuple[str | bytes, int, str]] = {
    "not TOML": ("[[files]]\nlinkage = \n", 2, "is not TOML: invalid value"),
    "an unclosed string": ('[[files]]\nlinkage = "static\n', 2, "is not TOML"),
    "an end too early": ("[[files]]\npaths = [", 2, "is not TOML"),
    "a key twice": ('[[files]]\nlinkage = "static"\nlinkage = "static"\n', 3, "is not TOML"),
    "not UTF-8": (b"# \n\n# caf\xe9\n", 3, "is not UTF-8"),
    "an unknown section": ("[[file]]\n", 1, 'no section "file", only [[files]] and [[waivers]]; did you mean files?'),
    "an unknown key at the top": ("\nversion = 1\n", 2, 'no section "version"'),
    "a setting at the top": ('linkage = "static"\n', 1, '"linkage" belongs into a section [[files]]'),
    "paths at the top": ('paths = ["a"]\n', 1, '"paths" belongs into a section [[files]]'),
    "a rule at the top": ('packed = "error"\n', 1, "is a rule, whose level belongs into [files.rules]"),
    "single brackets": ('\n[files]\npaths = ["a"]\n', 2, "two brackets: [[files]]"),
    "waivers in single brackets": ('[waivers]\nrule = "packed"\n', 1, "two brackets: [[waivers]]"),
    "files that are a number": ("files = 1\n", 1, "two brackets: [[files]]"),
    "files that are numbers": ("files = [1]\n", 1, "two brackets: [[files]]"),
    "an unknown setting": (FILES + 'linkges = "static"\n', 2, 'no key "linkges"; did you mean linkage?'),
    "a setting with an underscore": (FILES + "build_paths = false\n", 2, "did you mean build-paths?"),
    "a setting like no other": (FILES + "zzz = 1\n", 2, "it has paths, rules, "),
    "a rule among the settings": (FILES + 'packed = "off"\n', 2, "is a rule, whose level belongs into [files.rules]"),
    "a rule misspelt among the settings": (FILES + 'executable-stak = "off"\n', 2, "did you mean executable-stack?"),
    "a setting among the rules": (FILES + '[files.rules]\nlinkage = "static"\n', 3, "belongs into [[files]] itself"),
    "an unknown rule": (FILES + '[files.rules]\nno-such-thing = "error"\n', 3, "`linkscope explain` lists them"),
    "a rule that is none": (FILES + '[files.rules]\nnope = "error"\n', 3, "`linkscope explain` lists"),
    "a rule misspelt": (FILES + '[files.rules]\nmising-library = "error"\n', 3, "did you mean missing-library?"),
    "a level misspelt": (FILES + '[files.rules]\npacked = "warn"\n', 3, "did you mean warning?"),
    "a level in capitals": (FILES + '[files.rules]\npacked = "ERROR"\n', 3, "the levels are error, warning, note, off"),
    "a level that is a truth": (FILES + "[files.rules]\npacked = false\n", 3, "packed: false is no level"),
    "a level that is a list": (FILES + "[files.rules]\npacked = []\n", 3, "packed: a list is no level"),
    "rules that are a list": (FILES + 'rules = ["packed"]\n', 2, "rules: a list is not a table"),
    "no such linkage": (FILES + 'linkage = "statc"\n', 2, 'or "no-libraries"; did you mean static?'),
    "a linkage that is a number": (FILES + "linkage = 3\n", 2, 'linkage: 3 is not "static"'),
    "a floor that is a number": (FILES + "floors = { GLIBC = 2.28 }\n", 2, '2.28 is not text in quotes: write "2.28"'),
    "floors that are text": (FILES + 'floors = "2.28"\n', 2, "floors: \"2.28\" is not a table"),
    "no version": (FILES + '[files.floors]\nGLIBC = "2.x"\n', 3, 'floors: "2.x" is no version'),
    "a version with its family": (FILES + 'floors.GLIBC = "GLIBC_2.28"\n', 2, 'write "2.28"'),
    "a library's version in words": (FILES + 'embedded.zlib = "newest"\n', 2, 'embedded: "newest" is no version'),
    "an empty version": (FILES + 'floors.GLIBC = ""\n', 2, 'floors: "" is no version'),
    "a family in small letters": (FILES + 'floors = { glibc = "2.28" }\n', 2, "did you mean GLIBC?"),
    "a family misspelt": (FILES + 'floors = { GLIBXX = "3.4" }\n', 2, "did you mean GLIBCXX?"),
    "no family": (FILES + 'floors = { "" = "2.28" }\n', 2, 'floors: "" is no family'),
    "an unknown target": (FILES + 'target = [\n"debian:11",\n"debain:12"]\n', 4, "did you mean debian:12"),
    "a target that is text": (FILES + 'target = "debian:11"\n', 2, 'not a list ([...]): write ["debian:11"]'),
    "an empty target": (FILES + 'target = [""]\n', 2, 'target: "" is no target'),
    "nothing allowed": (FILES + "allow = []\n", 2, "allow: an empty list asks for nothing"),
    "an empty name allowed": (FILES + 'allow = ["libc.so.6", " "]\n', 2, "allow: the name is empty"),
    "names in one text": (FILES + 'forbid = ["a.so,b.so"]\n', 2, 'forbid: "a.so,b.so" is not one name'),
    "a name that is a number": (FILES + "allow = [1]\n", 2, "allow: 1 is not text in quotes"),
    "a truth in quotes": (FILES + 'build-paths = "no"\n', 2, 'build-paths: "no" is not true or false'),
    "no interpreter allowed": (FILES + "interpreters = []\n", 2, "interpreters: an empty list"),
    "no such CPU": (FILES + 'cpu = "x86-64-v5"\n', 2, "did you mean x86-64-v"),
    "paths that are text": (FILES + 'paths = "dist/*"\n', 2, 'paths: "dist/*" is not a list ([...]): write ["dist/*"]'),
    "no paths": (FILES + "paths = []\n", 2, "paths: an empty list means no file"),
    "an empty glob": (FILES + 'paths = ["a",\n"",\n]\n', 3, 'paths: "" can match no file: it is empty'),
    "a glob that ends with a slash": (FILES + 'paths = ["a*/"]\n', 2, "all that lies in such a folder is `a*/**`"),
    "a glob of no characters": (FILES + 'paths = ["[z-a]"]\n', 2, "can match no file: bad character range"),
    "a glob that is a number": (FILES + "paths = [1]\n", 2, "paths: 1 is not text in quotes"),
    "a waiver without rule": ('[[waivers]]\npath = "a"\nreason = "b"\n', 1, "the waiver has no rule"),
    "a waiver without path": ('[[waivers]]\nrule = "packed"\nreason = "b"\n', 1, "the waiver has no path"),
    "a waiver without reason": ('[[waivers]]\nrule = "packed"\npath = "a"\n', 1, "the waiver has no reason"),
    "a waiver of no rule": (WAIVER.replace("packed", "paked"), 2, 'no rule "paked"; did you mean packed?'),
    "a waiver of a number": (WAIVER.replace('"packed"', "1"), 2, "rule: 1 is not text in quotes"),
    "a waiver for no path": (WAIVER.replace('"app"', '"app*/"'), 3, 'path: "app*/" can match no file'),
    "a waiver for paths": (WAIVER.replace('"app"', '["app"]'), 3, "path: a list is not text"),
    "an empty reason": (WAIVER.replace("so it is", "  "), 4, "reason: it is empty; say why"),
    "a reason that is none": (WAIVER.replace('"so it is"', "true"), 4, "reason: true is not text"),
    "an unknown key of a waiver": (WAIVER + 'expires = "x"\n', 5, "it has rule, path, subject, reason, until"),
    "a key of a waiver misspelt": (WAIVER + 'untill = 2026-12-31\n', 5, "did you mean until?"),
    "a subject that is a number": (WAIVER + "subject = 6\n", 5, "subject: 6 is not text in quotes"),
    "a day in quotes": (WAIVER + 'until = "2026-12-31"\n', 5, "write the day without quotes: 2026-12-31"),
    "a day that is none": (WAIVER + 'until = "2026-02-30"\n', 5, '"2026-02-30" is no day'),
    "a day that TOML refuses": (WAIVER + "until = 2026-02-30\n", 5, "is not TOML"),
    "a day with a time": (WAIVER + "until = 2026-12-31T10:00:00Z\n", 5, "write the last day alone: 2026-12-31"),
    "a time": (WAIVER + "until = 10:00:00\n", 5, "until: 10:00:00 is no day"),
    "a year": (WAIVER + "until = 2026\n", 5, "until: 2026 is no day"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line(name: str) -> None:
    text, line, words = MISTAKES[name]
    (told,) = _complaints(text)
    assert told.startswith(f"policy.toml:{line}: ")
    assert words in told


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    texts = [text for text, _, what in MISTAKES.values() if "is not TOML" not in what]
    whole = [text for text in texts if isinstance(text, str) and text.startswith(("[[files]]", "[[waivers]]"))]
    told = _complaints("".join(whole))
    assert len(told) == len(whole)
    lines = [int(line.split(":")[1]) for line in told]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("x = " + "1" * 5000, "number that is too long"),
        ("#" * (5 << 20), "larger than"),
    ],
    ids=["brackets", "digits", "bytes"],
)
def test_what_no_policy_has_is_refused(content: str, words: str) -> None:
    (told,) = _complaints(content)
    assert told.startswith("policy.toml: ")
    assert words in told


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="no such file or directory"):
        read(str(tmp_path / "absent.toml"))
    with pytest.raises(FileUnreadable, match="is a directory"):
        read(str(tmp_path))


_PIECES = sorted(
    {
        *GOOD.split(),
        *GOOD.splitlines(keepends=True),
        b'"',
        b"'",
        b"[",
        b"]",
        b"{",
        b"\n",
        b"=",
        b"\x00",
        b"\xff",
        b'"""',
    }
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The good file with some pieces cut out, doubled, or put elsewhere."""
    content = GOOD
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 30)))
        content = content[:start] + draw(st.sampled_from([b"", *_PIECES])) + content[end:]
    return content


@given(damaged())
def test_no_damage_ends_in_anything_but_a_policy_or_clear_lines(content: bytes) -> None:
    lines = _lines_or_none(content)
    assert lines is None or (lines and all(line.startswith("policy.toml:") for line in lines))


def _lines_or_none(content: bytes) -> list[str] | None:
    """The complaints, or None of a policy that can be used."""
    try:
        _terms(parse(content, "policy.toml"), "dist/tool")
    except PolicyInvalid as invalid:
        return invalid.lines
    return None


def _terms(policy: Policy, path: str) -> Terms:
    return policy.terms(policy.groups_of(path))


_VALUES = st.recursive(
    st.sampled_from(
        [
            '"x"',
            '""',
            "1",
            "1.5",
            "nan",
            "true",
            "2026-12-31",
            "2026-12-31T00:00:00",
            "10:00:00",
            "0xfe",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"k{i} = {one}" for i, one in enumerate(items)) + "}"
        )
    ),
    max_leaves=5,
)
_KEYS = ["paths", "rules", "linkage", "floors", "target", "allow", "forbid", "build-paths", "interpreters", "cpu"]


@given(st.sampled_from(["files", "waivers"]), st.sampled_from([*_KEYS, "rule", "path", "until", "reason"]), _VALUES)
def test_no_type_in_any_place_ends_in_a_traceback(section: str, key: str, value: str) -> None:
    for text in (f"[[{section}]]\n{key} = {value}\n", f"{section} = {value}\n", f"{key} = {value}\n"):
        assert _lines_or_none(text.encode()) != []


def test_a_slip_in_a_family_is_told_beside_a_version_of_the_wrong_type() -> None:
    with pytest.raises(PolicyInvalid) as invalid:
        parse(b'[[files]]\nfloors = { GLBC = "2", GCC = 4 }\n')
    assert [mistake.what for mistake in invalid.value.mistakes] == [
        'floors: 4 is not text in quotes: write "4"',
        'floors: "GLBC" is no family of versions; did you mean GLIBC?',
    ]
    with pytest.raises(PolicyInvalid, match="did you mean GLIBC"):
        parse(b'[[files]]\nfloors = { GLBC = "2" }\n')
