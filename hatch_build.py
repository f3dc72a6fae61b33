"""What hatchling does beside packing: the wheel gets the manual page, made from the commands' own help."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPage(BuildHookInterface):
    """Adds share/man/man1/linkscope.1 to a wheel that is to be installed elsewhere."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the files are gathered. VERSION is `editable` for one that is used in place."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from linkscope.cli.commands import commands
        from linkscope.cli.manpage import manual

        self._folder = tempfile.TemporaryDirectory(prefix="linkscope-")
        page = Path(self._folder.name, "linkscope.1")
        page.write_text(manual(commands), encoding="ascii")
        build_data["shared_data"][str(page)] = "share/man/man1/linkscope.1"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 (its signature)
        """Called when the wheel is written."""
        if version != "editable":
            self._folder.cleanup()
