"""From candidates to exact spans: windows of documents, span records, and google-re2 chains over them."""

from vyre_dist.extract.matcher import RuleMatcher
from vyre_dist.extract.spans import CAPPED, DROPPED, SPAN_DTYPE, Spans, empty_spans
from vyre_dist.extract.window import Window

__all__ = ["CAPPED", "DROPPED", "SPAN_DTYPE", "RuleMatcher", "Spans", "Window", "empty_spans"]
