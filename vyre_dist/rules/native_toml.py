"""Our own TOML dialect: gitleaks' keys in snake_case or camelCase, and examples, flags, limits.

The keys that are read are in toml_pack.py. See docs/rule-packs.md.
"""

from __future__ import annotations

from vyre_dist.rules.draft import PackDraft
from vyre_dist.rules.pack_format import TOML_ENDINGS, PackFormat, PackSource
from vyre_dist.rules.toml_pack import Dialect, read_toml_pack

_DIALECT = Dialect(
    format="vyre",
    extended=True,
    strict=True,
    refused={"rule": {"skip_report": "use enabled = false"}},
)


def _recognises(source: PackSource) -> bool:
    # gitleaks has no such key
    document = source.toml.values
    return "schema" in document and ("rules" in document or source.foreign is None)


def _read(source: PackSource) -> PackDraft:
    return read_toml_pack(source, _DIALECT)


NATIVE = PackFormat("vyre", "vyre", TOML_ENDINGS, _recognises, _read)
