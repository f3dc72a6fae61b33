"""Documents of `check` for the reports to lay out, each test saying only what matters to it."""

import hashlib

from hypothesis import strategies as st

from linkscope.model.check import CheckDocument, Finding, Level, RuleText, Status, Waived, summary_of
from linkscope.model.document import AnalysisError

_RULES = (
    RuleText(
        id="missing-library",
        level="error",
        summary="A needed library is found nowhere, so that the program does not start.",
        why="The loader ends a start as soon as one library of the closure is missing.",
        remedy="Install the library, ship it beside the program with RUNPATH $ORIGIN, or link without it.",
    ),
    RuleText(
        id="executable-stack",
        level="warning",
        summary="The file asks for a stack that can be executed.",
        why="What is written to the stack can then be run as code.",
        remedy='Add `.section .note.GNU-stack,"",@progbits` to assembly sources, or link with `-z noexecstack`.',
    ),
    RuleText(
        id="no-canary",
        level="note",
        summary="No function of the file has a stack canary.",
        why="A write beyond the end of a buffer on the stack stays unnoticed.",
        remedy="Compile with `-fstack-protector-strong`.",
    ),
    RuleText(id="quiet", level="error", summary="Nothing.", why="It never speaks.", remedy="None."),
)
STATUSES: tuple[Status, ...] = ("new", "waived", "baseline")
_LEVELS: dict[str, Level] = {rule.id: rule.level for rule in _RULES}


def finding(rule: str, path: str = "dist/app", status: Status = "new", **other: object) -> Finding:
    """What RULE says of the file at PATH, at the rule's own level unless OTHER says otherwise."""
    facts: dict[str, object] = {
        "level": _LEVELS[rule],
        "subject": "",
        "message": f"{rule} objects",
        "evidence": [],
        "fingerprint": hashlib.sha256(f"{rule} {path}".encode()).hexdigest(),
        "waived": Waived(reason="until the next release", until="2027-01-31") if status == "waived" else None,
    }
    return Finding(rule=rule, path=path, status=status, **{**facts, **other})  # type: ignore[arg-type]  # all fields


def document(findings: list[Finding], files: int = 3, errors: list[AnalysisError] | None = None) -> CheckDocument:
    """FINDINGS with the rules and the summary that belong to them."""
    return CheckDocument(
        findings=findings, rules=list(_RULES), summary=summary_of(findings, files), errors=errors or []
    )


def several() -> CheckDocument:
    """Something of every kind: each level and status, a member of an archive, a file that could not be analysed."""
    findings = [
        finding(
            "missing-library",
            subject="libfoo.so.1",
            message="libfoo.so.1 is found nowhere",
            evidence=["needed by dist/app", *(f"asked for by object {number}" for number in range(20))],
        ),
        finding("executable-stack", message="asks for an executable stack", evidence=["PT_GNU_STACK has PF_X"]),
        finding("no-canary", message="has no stack canary"),
        finding("executable-stack", "dist/app.whl!/pkg/_ext.so", message="asks for an executable stack"),
        finding("missing-library", "dist/app.whl!/pkg/_ext.so", "waived", subject="libbar.so.2"),
        finding("executable-stack", "dist/old", "baseline"),
        *(finding("no-canary", f"dist/lib/lib{number}.so", message="has no stack canary") for number in range(12)),
    ]
    return document(findings, files=15, errors=[AnalysisError(path="dist/README", error="not an ELF file")])


def hostile(text: str) -> CheckDocument:
    """A document in which every string that can come out of a file, a policy or a command line is TEXT."""
    findings = [
        finding(
            rule,
            path,
            status,
            subject=text,
            message=text,
            evidence=[text] * 3,
            waived=Waived(reason=text, until=None) if status == "waived" else None,
        )
        for rule in ("missing-library", "executable-stack", "no-canary")
        for path in (text, f"{text}!/{text}")
        for status in STATUSES
    ]
    return document(findings, errors=[AnalysisError(path=text, error=text)])


# What some format, or what reads it, takes for more than text.
_NASTY = (
    *(
        "|",
        "`",
        "```",
        "\\",
        "@user",
        "#1",
        "<img src=x>",
        "</details>",
        "<!--",
        "[a](b)",
        "![",
        "*",
        "_",
        "$x$",
        ":x:",
    ),
    *(
        "&amp;",
        "&#64;",
        "]]>",
        "\x00",
        "\x1b[31m",
        "\u202e",
        "\ufffe",
        "\ud7ff",
        "\x85",
        "\u2028",
        "\n",
        "\r",
        "\t",
        " ",
    ),
    *(
        "::error::",
        "##[group]",
        "%0A",
        "%25",
        ",",
        "{0}",
        "{x}",
        "[x](0)",
        "www.x.org",
        "http://x.org",
        "a:b",
        "./",
        "!/",
    ),
)
hostile_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30) | st.lists(
    st.sampled_from(_NASTY), min_size=1, max_size=8
).map("".join)
"""Strings as a document can hold them: no surrogates are among them, for `model.document.text` replaced those."""
