"""From candidates to exact spans: windows of documents, and the chains of google-re2's matches.

Where to look is found by the backends (kernels/); what is reported is decided by the engine.
"""

from vyre_dist.extract.matcher import RuleMatcher
from vyre_dist.extract.spans import CAPPED, DROPPED, REJECTED, Span
from vyre_dist.extract.window import Window

__all__ = ["CAPPED", "DROPPED", "REJECTED", "RuleMatcher", "Span", "Window"]
