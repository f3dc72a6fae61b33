"""`make conformance`: the scoreboard. With --write it also goes into the pages that show it."""

import argparse
import re
import sys
from pathlib import Path

from tests.conformance import table
from tests.conformance.rules import SUBJECTS
from tests.conformance.scoreboard import rows
from tests.conformance.systems import systems

_PROJECT = Path(__file__).resolve().parents[2]
# The pages, each with the blocks that stand in it between `<!-- NAME -->` and `<!-- /NAME -->`.
_PAGES = {"README.md": ("scoreboard",), "docs/conformance.md": ("scoreboard", "rules")}


def main() -> int:
    """Print it; 1 where LinkScope errs anywhere."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"renew {', '.join(_PAGES)}")
    write = parser.parse_args().write
    made = list(rows(SUBJECTS, _progress))
    compared = list(systems(_progress))
    _progress("")
    blocks = {"scoreboard": table.summary(made, compared), "rules": table.rules(made)}
    print(blocks["rules"], blocks["scoreboard"], sep="\n", end="")
    if write:
        for page, names in _PAGES.items():
            _renew(_PROJECT / page, {name: blocks[name] for name in names})
    wrong = table.faults(made, compared)
    print(wrong and f"\nLinkScope errs here:\n{wrong}", end="")
    return 1 if wrong else 0


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:78]}", end="", file=sys.stderr, flush=True)


def _renew(page: Path, blocks: dict[str, str]) -> None:
    text = page.read_text()
    for name, block in blocks.items():
        shown = f"<!-- {name} -->\n```text\n{block}```\n<!-- /{name} -->"
        text = re.sub(rf"<!-- {name} -->\n.*?<!-- /{name} -->", lambda _, shown=shown: shown, text, flags=re.DOTALL)  # type: ignore[misc]
    page.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
