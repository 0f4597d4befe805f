"""What backends take and put out: the program's type, and the layout of the pairs that the cpu backend's prefilter finds."""

from __future__ import annotations

import numpy as np

from vyre_dist.program.scan_program import ScanProgram

__all__ = ["ARENA_CANDIDATE_DTYPE", "CANDIDATE_DTYPE", "ScanProgram"]

# one (window number in the dispatch, rule number in the pack) pair
CANDIDATE_DTYPE = np.dtype([("window", "<u4"), ("rule", "<u4")])

ARENA_CANDIDATE_DTYPE = np.dtype([("place", "<u8"), ("entry", "<u4"), ("document", "<u4")])
"""A candidate on compiled tables: its window's place in the arena, the entry that it leads to, and its pivot's document."""
