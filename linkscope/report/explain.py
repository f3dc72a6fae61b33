"""The rules for people: one, or all, as text for a terminal or as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from linkscope.model.explain import RulePage, Setting
from linkscope.report.lines import painted
from linkscope.report.page import INDENT, Page, Span, padded, words

_WIDEST = 80  # columns: longer lines of running text are hard to read
_LABEL = 12
_STYLES = {"error": "bad", "warning": "warn", "note": "faint"}
_LEVEL = max(map(len, _STYLES)) + 2
_NEEDS = {
    "symbols": "Every symbol is bound for it: it has its say with --symbols, --root or --target, or where a policy "
    "names it.",
    "contents": "What is linked in is identified for it, where a policy or an option asks for that.",
}
_INTRODUCTION = """\
<!-- Made by `make docs` from the rules themselves. -->

# The rules of `linkscope check`

Each rule is named after the fault that it finds. Its level counts where no policy says otherwise: an error makes the
exit code 1, and without a policy only what keeps a program from starting, and what an option or a setting asked for,
is one. A policy changes a level in `[files.rules]` (`error`, `warning`, `note`, or `off`), an option does with
`--rule RULE=LEVEL`. Settings are keys of the policy's `[[files]]`.
"""


def listed(rules: Sequence[RulePage], page: Page) -> str:
    """All RULES: the name and level of each, and what it is about."""
    page = _narrow(page)
    width = max((len(rule.id) for rule in rules), default=0) + 2
    beside = (page.width or _WIDEST) - width - _LEVEL >= _WIDEST // 2
    lines: list[list[Span]] = []
    for rule in rules:
        head = [padded(rule.id, "name", width), padded(rule.level, _STYLES[rule.level], _LEVEL)]
        if not beside:
            lines.append(head)
            head = [(" " * 2 * INDENT, "")]
        lines += words(rule.summary, "", page, head)
    return painted([*lines, [], [("linkscope explain RULE says more of one.", "faint")]], page)


def text(rule: RulePage, page: Page) -> str:
    """One RULE: what it is about, why that matters, what mends it, and what can be set."""
    return painted(_lines(rule, _narrow(page)), page)


def _narrow(page: Page) -> Page:
    return msgspec.structs.replace(page, width=min(page.width or _WIDEST, _WIDEST))


def _lines(rule: RulePage, page: Page) -> Iterator[list[Span]]:
    yield [(rule.id, "title"), ("  ", ""), (rule.level, _STYLES[rule.level])]
    yield from words(rule.summary, "", page, [(" " * INDENT, "")])
    parts = [("Why", rule.why), ("Remedy", rule.remedy)]
    parts += [("Setting", _setting(setting)) for setting in rule.settings]
    parts += [("Needs", _NEEDS.get(need, need)) for need in rule.needs]
    if rule.silent_without:
        parts.append(("Silent", f"without {' or '.join(rule.silent_without)}"))
    for label, said in parts:
        yield []
        yield from words(said, "", page, [(" " * INDENT, ""), padded(label, "faint", _LABEL)])


def _setting(setting: Setting) -> str:
    meaning = f": {setting.meaning}" if setting.meaning else ""
    return f"{setting.key} = {setting.value}{meaning}"


def markdown(rules: Sequence[RulePage]) -> Iterator[str]:
    """RULES as a page of the documentation, a section each."""
    yield _INTRODUCTION
    yield "\n| rule | level | what it finds |\n| --- | --- | --- |\n"
    for rule in rules:
        yield f"| [`{rule.id}`](#{rule.id}) | {rule.level} | {rule.summary.replace('|', chr(92) + '|')} |\n"
    for rule in rules:
        yield "\n"
        yield from section(rule)


def section(rule: RulePage) -> Iterator[str]:
    """One RULE as a section of the page."""
    yield f"## {rule.id}\n\n**{rule.summary}** Level: {rule.level}.\n\n{rule.why}\n\nRemedy: {rule.remedy}\n"
    if rule.settings:
        yield "\n| setting | value | what it asks for |\n| --- | --- | --- |\n"
        for setting in rule.settings:
            cells = [f"`{setting.key}`", setting.value, setting.meaning]
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
    for need in rule.needs:
        yield f"\n{_NEEDS.get(need, need)}\n"
    if rule.silent_without:
        yield f"\nWithout {' or '.join(f'`{key}`' for key in rule.silent_without)} it has nothing to say.\n"
