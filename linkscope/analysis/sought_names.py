"""The names of the libraries that can be asked for, without all that is known of them: a shell completes them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import linkscope.contents

_FOLDER = os.path.dirname(linkscope.contents.__file__)
# To read 240 KB of TOML takes as long as all else that a shell waits for. In these tables a name comes first.
_NAME = re.compile(r'^\[\[(?:library|runtime)\]\]\n(?:#.*\n)*name = "([^"\\]+)"$', re.MULTILINE)


def known_names() -> list[str]:
    """The names by which a library or a language's run-time system is found inside of files, sorted."""
    return sorted({name for table in _tables() for name in _NAME.findall(table)})


def _tables() -> Iterator[str]:
    """The text of each table that has such names: banners, symbols, languages."""
    paths = [os.path.join(_FOLDER, "languages.toml")]
    for folder in ("banners", "symbols"):
        paths += [entry.path for entry in os.scandir(os.path.join(_FOLDER, folder)) if entry.name.endswith(".toml")]
    for path in paths:
        with open(path, encoding="utf-8") as table:
            yield table.read()
