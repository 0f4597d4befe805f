"""gitleaks' and betterleaks' TOML: which of their keys are refused, and which change no finding.

The keys that are read are in toml_pack.py, which serves our own dialect as well.
"""

from __future__ import annotations

from vyre_dist.rules.draft import PackDraft
from vyre_dist.rules.pack_format import TOML_ENDINGS, PackFormat, PackSource
from vyre_dist.rules.toml_pack import Dialect, read_toml_pack

_EXPRESSION = "filter expressions are not evaluated; write allowlists and entropy instead"
_COMPOSITE = (
    "rules made of several rules are not supported; remove it to report the rule on its own"
)
_BEFORE_8 = "it is of a gitleaks before version 8, whose rules are read otherwise"

# what people write about a pack or a rule, beside what the tools read
_ABOUT = frozenset(
    {
        "name",
        "title",
        "description",
        "author",
        "authors",
        "license",
        "version",
        "metadata",
        "references",
        "url",
    }
)

_DIALECT = Dialect(
    format="gitleaks",
    extended=False,
    strict=False,
    refused={
        "pack": {
            "filter": _EXPRESSION,
            "prefilter": _EXPRESSION,
            "whitelist": _BEFORE_8,
        },
        "rule": {
            "required": _COMPOSITE,
            "components": _COMPOSITE,
            "filter": _EXPRESSION,
            "tokenEfficiency": "the token efficiency filter does not exist here; entropy is the "
            "nearest",
            "specificity": "every rule reports here, also where a more specific one does; remove "
            "it to have that",
            "entropies": _BEFORE_8,
            "whitelist": _BEFORE_8,
            "file": _BEFORE_8,
            "reportGroup": _BEFORE_8,
        },
        "allowlist": {
            "resources": "resources are not known here; use paths",
            "files": _BEFORE_8,
            "repos": _BEFORE_8,
        },
    },
    harmless={
        "pack": _ABOUT | {"betterleaksMinVersion"},
        # validate, analyze and revoke talk to services about what was found; confidence is a label
        "rule": _ABOUT
        | {
            "validate",
            "analyze",
            "revoke",
            "confidence",
            "severity",
            "category",
            "categories",
            "cwe",
            "message",
        },
        "allowlist": _ABOUT,
    },
)


def _recognises(source: PackSource) -> bool:
    return "rules" in source.toml.values or source.foreign is None


def _read(source: PackSource) -> PackDraft:
    return read_toml_pack(source, _DIALECT)


GITLEAKS = PackFormat("gitleaks", "gitleaks", TOML_ENDINGS, _recognises, _read)
