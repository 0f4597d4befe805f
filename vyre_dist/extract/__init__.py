"""From candidates to exact spans: windows of documents, and the chains of google-re2's matches.

Where to look is found by the backends (kernels/); what is reported is decided by the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vyre_dist.extract.matcher import RuleMatcher
from vyre_dist.extract.spans import CAPPED, DROPPED, empty_spans
from vyre_dist.extract.window import Window

if TYPE_CHECKING:
    from vyre_dist.extract.spans import SPAN_DTYPE, Spans

__all__ = ["CAPPED", "DROPPED", "SPAN_DTYPE", "RuleMatcher", "Spans", "Window", "empty_spans"]


def __getattr__(name: str) -> Any:
    """What needs NumPy is there when it is asked for."""
    from vyre_dist.extract import spans

    return getattr(spans, name)
