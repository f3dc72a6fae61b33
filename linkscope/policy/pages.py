"""What is told of a rule, made out of the rule itself."""

from __future__ import annotations

import re

import msgspec

from linkscope.model.explain import RulePage, Setting
from linkscope.policy.rule import Rule
from linkscope.policy.values import wish


def page_of(rule: Rule) -> RulePage:
    """All that people are told of RULE."""
    fields = msgspec.structs.fields(rule.settings)
    meanings = _meanings(rule.settings.__doc__ or "", [field.name for field in fields])
    return RulePage(
        id=rule.id,
        level=rule.level,
        summary=rule.summary,
        why=rule.why,
        remedy=rule.remedy,
        settings=[
            Setting(key=_key(field.name), value=wish(field.type), meaning=meanings[field.name]) for field in fields
        ],
        silent_without=[_key(name) for name in rule.asked],
        needs=sorted(rule.needs),
    )


def _key(name: str) -> str:
    return name.replace("_", "-")


def _meanings(text: str, names: list[str]) -> dict[str, str]:
    """What TEXT says of each of NAMES: what follows `NAME: ` up to the next of them, with lists as TOML has them."""
    found = dict.fromkeys(names, "")
    if names:
        parts = re.split(rf"(?:^|\s)({'|'.join(map(re.escape, names))}): ", text)
        found |= {
            name: " ".join(said.split()).replace("()", "[]")
            for name, said in zip(parts[1::2], parts[2::2], strict=True)
        }
    return found
