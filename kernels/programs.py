"""The programs that every scan backend runs, and the layout of what they put out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

# one (window number in the dispatch, rule number in the pack) pair
CANDIDATE_DTYPE = np.dtype([("window", "<u4"), ("rule", "<u4")])


@dataclass(frozen=True, slots=True)
class ScanProgram:
    """`prefilter` puts out candidates (CANDIDATE_DTYPE); `fused` puts out spans (SPAN_DTYPE) and the counter tail.

    Inputs of both: a sequence of vyre_dist.extract.Window. A tile is one window: attempted when the confirmer ran on
    it, committed when it gave spans, rolled back when it gave none.
    """

    kind: Literal["prefilter", "fused"]
    pack_key: str

    @property
    def name(self) -> str:
        """For messages and logs."""
        return f"{self.kind}[{self.pack_key[:12]}]"
