"""The gitleaks and betterleaks TOML dialect: which of their keys are refused, and which make no difference
here.
"""

from __future__ import annotations

from vyre_dist.rules.toml_pack import Dialect

_EXPRESSION = "filter expressions are not evaluated; write allowlists and entropy instead"
_COMPOSITE = "rules made of several rules are not supported; remove it to report the rule on its own"

GITLEAKS = Dialect(
    format="gitleaks",
    extended=False,
    # gitleaks itself ignores keys that it does not know
    strict=False,
    refused={
        "pack": {"filter": _EXPRESSION, "prefilter": _EXPRESSION},
        "rule": {
            "required": _COMPOSITE,
            "components": _COMPOSITE,
            "filter": _EXPRESSION,
            "tokenEfficiency": "the token efficiency filter does not exist here; entropy is the nearest",
        },
        "allowlist": {"resources": "resources are not known here; use paths"},
    },
    ignored={
        "rule": {
            "validate": "findings are not checked against their service",
            "analyze": "findings are not checked against their service",
            "revoke": "nothing is revoked",
            "specificity": "every rule reports, also where another one does",
            "confidence": "it changes no finding",
        },
    },
)
