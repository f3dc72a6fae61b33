"""All rules, found in the files of `rules/`, and all settings, which are the union of theirs."""

from __future__ import annotations

import functools
import os
from importlib import import_module

import msgspec

from linkscope.policy.rule import Rule

_FOLDER = os.path.join(os.path.dirname(__file__), "rules")


@functools.cache
def rules() -> dict[str, Rule]:
    """The rules by id, in alphabetical order."""
    found: list[Rule] = []
    for name in os.listdir(_FOLDER):
        module, dot, extension = name.partition(".")
        if dot and extension == "py" and not module.startswith("_"):
            found.append(import_module(f"linkscope.policy.rules.{module}").RULE)
    return {rule.id: rule for rule in sorted(found, key=lambda rule: rule.id)}


@functools.cache
def settings_type() -> type[msgspec.Struct]:
    """One frozen Struct that has the settings of all rules as its fields, each with its default."""
    fields: dict[str, tuple[str, object, object]] = {}
    for rule in rules().values():
        for field in msgspec.structs.fields(rule.settings):
            fields.setdefault(field.name, (field.name, field.type, _default_of(field)))
    made = [fields[name] for name in sorted(fields)]
    return msgspec.defstruct("Settings", made, frozen=True, kw_only=True, forbid_unknown_fields=True)


def settings_for(rule: Rule, given: msgspec.Struct) -> msgspec.Struct:
    """The settings of one rule out of GIVEN, the settings of all."""
    return rule.settings(**{field.name: getattr(given, field.name) for field in msgspec.structs.fields(rule.settings)})


def _default_of(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory, name=field.encode_name)
    return msgspec.field(default=field.default, name=field.encode_name)
