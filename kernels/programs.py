"""The programs that every scan backend runs, and the layout of what they put out."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    CANDIDATE_DTYPE: np.dtype[np.void]

# one (window number in the dispatch, rule number in the pack) pair; CANDIDATE_DTYPE is the same for NumPy
CANDIDATE = struct.Struct("<II")


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


def __getattr__(name: str) -> Any:
    """CANDIDATE_DTYPE: made when it is asked for, as NumPy takes longer to import than a small scan to run."""
    if name != "CANDIDATE_DTYPE":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import numpy as np

    return np.dtype([("window", "<u4"), ("rule", "<u4")])
