"""`linkscope schema`: the JSON Schema of a document, made from the same types as the document."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click
import msgspec

from linkscope.cli import exit_codes
from linkscope.cli.commands import COMMANDS
from linkscope.cli.help import Command, examples
from linkscope.cli.output import Output

_DOCUMENTS = {name: entry.document for name, entry in COMMANDS.items() if entry.document is not None}
_EXAMPLES = examples("linkscope schema inspect > inspect.schema.json")


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("name", type=click.Choice(list(_DOCUMENTS)))
def command(name: str) -> int:
    """Print the JSON Schema (draft 2020-12) of what `linkscope NAME --format json` prints."""
    Output().finish(msgspec.json.format(msgspec.json.encode(schema_of(name))) + b"\n")
    return exit_codes.FINE


def schema_of(name: str) -> dict[str, Any]:
    """The schema of the document of the command NAME."""
    module, _, document = _DOCUMENTS[name].partition(":")
    schema = msgspec.json.schema(getattr(import_module(module), document))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"linkscope {name}", **schema}
