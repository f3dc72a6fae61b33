"""Where the keys of a TOML document stand: what tomllib reads there is the judge."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkscope.policy.positions import Path, line_of, positions

# Whatever reads lines has to get through these unharmed. Each is a key with one value, and counts no lines of its own.
ODD = [
    "odd{n} = '''\n[[files]]\nx = 1\n'''",
    'odd{n} = """\n# no comment \\""" still \\\\""" # a comment = """',
    'odd{n} = """"quoted""""" # two quotes of the text before the end',
    'odd{n} = """"""',
    "odd{n} = ''",
    'odd{n} = "# [x] = \' \\" "  # [y]',
    "odd{n} = 1979-05-27 07:32:00Z",
    'odd{n} = [1979-05-27 07:32:00, "]", \'[\', # ]\n  {{ a = "}}", b = [ ] }},\n]',
    '# just a comment with [[brackets]] and "quotes',
    "",
    "\t ",
    "odd{n}.\"dotted.key\" . 'other' = true",
]


class _Writer:
    """Writes a document whose numbers are the lines on which they stand."""

    def __init__(self) -> None:
        self.text = ""

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def key(self, name: str) -> None:
        self.text += f"{name} = {self.line}\n"

    def array(self, name: str, newlines: list[bool]) -> None:
        self.text += f"{name} = ["
        for newline in newlines:
            self.text += "\n" if newline else " "
            self.text += f"{self.line}, # ]\n" if newline else f"{{ in = {self.line}, a.b = {self.line} }},"
        self.text += "]\n"


@st.composite
def documents(draw: st.DrawFn) -> str:
    writer = _Writer()
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["key", "quoted", "table", "tables", "array", "odd", "dotted"]))
        if kind == "key":
            writer.key(f"key{number}")
        elif kind == "quoted":
            writer.key(f'"k\\u0065y.{number}"')
        elif kind == "dotted":
            writer.key(f"top{number} . 'sub' .leaf")
        elif kind == "table":
            writer.text += f" [ table{number} . sub ] # x\n"
        elif kind == "tables":
            writer.text += draw(st.sampled_from(["[[many]]\n", "[[many]]\n[many.sub]\n", "[[many]]\n[[many.more]]\n"]))
        elif kind == "array":
            writer.array(f"array{number}", draw(st.lists(st.booleans(), max_size=4)))
        else:
            writer.text += draw(st.sampled_from(ODD)).format(n=number) + "\n"
    return writer.text


def _leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, (*path, key))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _leaves(one, (*path, i))
    else:
        yield path, value


def _tables(value: object, path: Path = ()) -> Iterator[Path]:
    yield path
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _tables(one, (*path, key))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _tables(one, (*path, i))


@given(documents())
def test_every_value_is_found_on_its_own_line(text: str) -> None:
    lines = positions(text)
    for path, value in _leaves(tomllib.loads(text)):
        if type(value) is int:
            assert lines[path] == value, path


@given(documents())
def test_what_has_a_line_is_what_tomllib_reads(text: str) -> None:
    assert {(), *positions(text)} == set(_tables(tomllib.loads(text)))


@pytest.mark.parametrize("odd", ODD)
def test_what_follows_an_odd_line_is_found(odd: str) -> None:
    text = odd.format(n=1) + "\nafter = 1\r\nlast = 2"
    line = odd.count("\n") + 2
    assert (positions(text)["after",], positions(text)["last",]) == (line, line + 1)
    tomllib.loads(text)


def test_a_key_that_is_not_written_has_the_line_of_what_is_around_it() -> None:
    lines = positions("\n[[files]]\nfloors = { GLIBC = '2' }\n")
    assert line_of(("files", 0, "floors", "GLIBCXX"), lines) == 3
    assert line_of(("files", 0, "paths"), lines) == 2
    assert line_of(("waivers",), lines) is None
