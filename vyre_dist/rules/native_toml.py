"""Our own TOML dialect: gitleaks' keys in snake_case (or camelCase), plus examples, flags and
limits. See docs/rule-packs.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from vyre_dist.rules.toml_pack import Dialect

NATIVE = Dialect(
    format="vyre",
    extended=True,
    strict=True,
    refused={"rule": {"skip_report": "use enabled = false"}},
)


def is_native(document: Mapping[str, object]) -> bool:
    """A document is ours when it says `schema = …`; gitleaks has no such key."""
    return "schema" in document
