"""The package that a file comes from, as its note says: written by ld, from JSON."""

from pathlib import Path

import pytest

from linkscope.model.inspect import Content, Evidence
from tests.contents.samples import found_in, linked
from tests.elf.samples import RequireTool, tool

NOTE = '{"type":"rpm","os":"fedora","name":"hello","version":"2.12-1.fc39","architecture":"x86_64"}'


def _noted(folder: Path, json: str, owner: str = "FDO") -> Path:
    text = json.replace('"', '\\"')
    source = (
        'int main(void) { return 0; }\n__asm__(".section .note.package,\\"a\\",@note\\n.balign 4\\n'
        f'.long {len(owner) + 1}, 2f - 1f, 0xcafe1a7e\\n.asciz \\"{owner}\\"\\n.balign 4\\n'
        f'1: .asciz \\"{text.replace(chr(92), chr(92) * 3)}\\"\\n2: .balign 4\\n.previous\\n");\n'
    )
    return linked(folder / "noted", source, [])


def test_the_package_is_named(tmp_path: Path, require_tool: RequireTool) -> None:
    path = _noted(tmp_path, NOTE)
    assert "FDO" in tool(require_tool("readelf"), "-nW", path)
    evidence = [Evidence(kind="note", text="rpm hello 2.12-1.fc39 (fedora)")]
    assert found_in(path) == {
        "rpm:hello": Content(name="hello", ecosystem="rpm", version="2.12-1.fc39", evidence=evidence, itself=True)
    }


@pytest.mark.parametrize("json", ["{", "[]", '{"name": 1}', "{}", "\\377"])
def test_what_is_no_such_note_is_none(json: str, tmp_path: Path) -> None:
    assert found_in(_noted(tmp_path, json)) == {}


def test_another_owners_note_is_none(tmp_path: Path) -> None:
    assert found_in(_noted(tmp_path, NOTE, owner="ABC")) == {}
