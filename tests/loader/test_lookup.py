"""What one object offers to the look-ups of the others."""

import subprocess
from pathlib import Path

import pytest

from linkscope.elf.image import read_image
from linkscope.elf.reader import open_reader
from linkscope.loader.lookup import GLIBC, MUSL, Dialect, read_tables

_SOURCE = """
int shown, *f(void);
extern int elsewhere;
__attribute__((visibility("hidden"))) int unseen;
__attribute__((visibility("protected"))) int fixed;
static int own;
int *f(void) { return &elsewhere + own; }
"""


@pytest.mark.parametrize("dialect", [GLIBC, MUSL], ids=lambda dialect: dialect.name)
def test_what_is_hidden_local_or_undefined_is_not_offered(dialect: Dialect, tmp_path: Path) -> None:
    (tmp_path / "source.c").write_text(_SOURCE)
    made = tmp_path / "made.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-nostdlib", tmp_path / "source.c", "-o", made], check=True)
    with open_reader(str(made)) as reader:
        tables = read_tables(reader, read_image(reader), dialect)
    assert {"shown", "f", "fixed"} <= tables.exports.names.keys()
    assert not {"unseen", "own", "elsewhere"} & tables.exports.names.keys()
    assert "elsewhere" in tables.by_name
