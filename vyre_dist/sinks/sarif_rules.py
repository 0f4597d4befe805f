"""SARIF's description of a rule: text, help, severity and tags, made for GitHub's code scanning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vyre_dist.sinks.text import lossy_path

LEVEL = "error"
# "high" in GitHub's terms (7.0 to 8.9): packs do not say how severe their rules are
SECURITY_SEVERITY = "8.0"
# of more, GitHub refuses the file
_MAX_TAGS = 20
_MAX_DESCRIPTION = 1024
_MAX_NAME = 255

_WORD = re.compile(r"[a-z]+|[0-9]+")
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>()#+\-.!|~&]")

_HELP = (
    "If the match is a credential, assume that others know it: revoke it where it was issued, and "
    "issue a new one. Deleting it is not enough, as older versions of the file still have it. Then "
    "have the program read it from its environment or from a secret manager. If the match is no "
    "credential, add it to the rule's allowlist."
)


def message(text: str) -> str:
    """Text as a sentence in SARIF's message syntax, where brackets begin links and braces
    placeholders.
    """
    text = lossy_path(text)[0]
    for char, escaped in (("\\", "\\\\"), ("[", "\\["), ("]", "\\]"), ("{", "{{"), ("}", "}}")):
        text = text.replace(char, escaped)
    return text if text.endswith((".", "!", "?")) else text + "."


def rule_record(rule_id: str, description: str, tags: Sequence[str]) -> dict[str, Any]:
    """A rule as a reportingDescriptor."""
    text = lossy_path(description)[0].strip() or f"Match of the rule {rule_id}"
    record: dict[str, Any] = {"id": rule_id}
    if name := _friendly_name(rule_id):
        record["name"] = name
    full = text if text.endswith((".", "!", "?")) else text + "."
    return record | {
        "shortDescription": {"text": _cut(text)},
        "fullDescription": {"text": _cut(full)},
        "help": {
            "text": f"{full}\n\nRule: {rule_id}\n\n{_HELP}",
            "markdown": f"{_plain(full)}\n\n**Rule:** {_plain(rule_id)}\n\n{_HELP}",
        },
        "defaultConfiguration": {"level": LEVEL},
        "properties": {
            "security-severity": SECURITY_SEVERITY,
            "tags": list(dict.fromkeys(("security", *tags)))[:_MAX_TAGS],
        },
    }


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_DESCRIPTION else text[: _MAX_DESCRIPTION - 1] + "…"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, without links and headings."""
    return _MARKDOWN.sub(lambda found: "\\" + found[0], " ".join(text.split()))


def _friendly_name(rule_id: str) -> str:
    """`AwsAccessKey` for `aws-access-key`. It is never the id itself; "" if the id is too short."""
    words: list[str] = []
    for word in _WORD.findall(rule_id.lower()):
        # each word is a capital and more: what is too short for that belongs to the one before
        if words and (len(word) == 1 or word.isdigit() or len(words[-1]) == 1):
            words[-1] += word
        else:
            words.append(word)
    if not words or len(words[-1]) == 1:
        return ""
    name = "".join(word.capitalize() for word in words)
    if name[0].isdigit() or name == rule_id:
        name = "Rule" + name
    return name if len(name) <= _MAX_NAME else ""
