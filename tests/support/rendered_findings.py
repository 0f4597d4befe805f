"""Findings as an output format writes them, and random ones."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

from hypothesis import strategies as st

from vyre_dist.finding import Finding
from vyre_dist.sinks import RunSummary, open_sinks

BYTES = st.binary(max_size=40) | st.text(max_size=20).map(
    lambda t: t.encode("utf-8", "surrogatepass")
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PATHS = st.binary(min_size=1, max_size=20).filter(lambda b: 0 not in b).map(os.fsdecode)
FINDINGS = st.builds(
    Finding,
    rule_id=TEXT.filter(bool),
    path=PATHS,
    start=st.integers(0, 2**40),
    end=st.integers(2**40, 2**41),
    line=st.integers(0, 2**40),
    column=st.integers(0, 2**40),
    match=BYTES,
    secret=BYTES,
    groups=st.lists(st.none() | BYTES, max_size=3).map(tuple),
    entropy=st.floats(0, 8),
    description=TEXT,
    tags=st.lists(TEXT, max_size=3).map(tuple),
)


def render(
    format_name: str, findings: Sequence[Finding], summary: RunSummary, redact: int | None = None
) -> bytes:
    out = io.BytesIO()
    with open_sinks([(format_name, "-")], stdout=out, redact_percent=redact) as sinks:
        for at in range(0, len(findings), 3):
            sinks.write(findings[at : at + 3])
        sinks.close(summary)
    return out.getvalue()
