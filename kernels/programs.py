"""What backends take and put out: the program's type, and the layout of the pairs that prefilters
find.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from vyre_dist.program.scan_program import ScanProgram

if TYPE_CHECKING:
    import numpy as np

    CANDIDATE_DTYPE: np.dtype[np.void]
    ARENA_CANDIDATE_DTYPE: np.dtype[np.void]

__all__ = ["ARENA_CANDIDATE_DTYPE", "CANDIDATE", "CANDIDATE_DTYPE", "ScanProgram"]

# one (window number in the dispatch, rule number in the pack) pair; CANDIDATE_DTYPE is the same for
# NumPy
CANDIDATE = struct.Struct("<II")

# ARENA_CANDIDATE_DTYPE: a candidate on compiled tables: its window's place in the arena, the entry
# that it leads to, and its pivot's document
_DTYPES = {
    "CANDIDATE_DTYPE": [("window", "<u4"), ("rule", "<u4")],
    "ARENA_CANDIDATE_DTYPE": [("place", "<u8"), ("entry", "<u4"), ("document", "<u4")],
}


def __getattr__(name: str) -> Any:
    """The dtypes: made when they are asked for, as NumPy takes longer to import than a small scan
    to run.
    """
    if name not in _DTYPES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import numpy as np

    return np.dtype(_DTYPES[name])
