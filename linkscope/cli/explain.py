"""`linkscope explain`: what a rule of `check` is about, why it matters, and what mends what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from linkscope.cli import completion, exit_codes
from linkscope.cli.help import Command, examples
from linkscope.cli.options import formats
from linkscope.cli.output import Output
from linkscope.policy.catalogue import rules
from linkscope.policy.pages import page_of

if TYPE_CHECKING:
    from linkscope.model.explain import RulePage

_EXAMPLES = examples("linkscope explain", "linkscope explain missing-library")


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("rule", required=False, shell_complete=completion.rules)
@formats("text", "json", "markdown")
def command(rule: str | None, form: str) -> int:
    """What the RULE of `linkscope check` finds, why that matters, and what mends it; without RULE, all rules.

    Formats: text for people; json, one document; markdown, as in the documentation.

    Exit code: 0, or 2 where there is no such rule.
    """
    if rule is not None and rule not in rules():
        from linkscope.policy.values import near

        raise click.UsageError(f"There is no rule {rule}{near(rule, rules()) or '; `linkscope explain` lists them'}")
    chosen = list(rules().values()) if rule is None else [rules()[rule]]
    output = Output()
    output.finish(_told([page_of(one) for one in chosen], form, output, alone=rule is not None))
    return exit_codes.FINE


def _told(pages: Sequence[RulePage], form: str, output: Output, *, alone: bool) -> str | bytes:
    if form == "json":
        from linkscope.model.explain import ExplainDocument
        from linkscope.report.json import visible, whole

        encoded = whole(ExplainDocument(rules=list(pages)))
        return visible(encoded) if output.terminal else encoded
    from linkscope.report import explain

    if form == "markdown":
        return "".join(explain.section(pages[0]) if alone else explain.markdown(pages))
    return explain.text(pages[0], output.page()) if alone else explain.listed(pages, output.page())
