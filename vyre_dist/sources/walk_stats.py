"""WalkStats: what a walk counts, and the reasons for which it leaves entries out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

SkipReason = Literal[
    "gitignored",
    "git-dir",
    "hidden",
    "symlink",
    "excluded-glob",
    "not-included",
    "too-large",
    "duplicate",
    "own-file",
]


@dataclass(slots=True)
class WalkStats:
    """What a walk has met so far.

    `skipped` counts entries that were left out, by reason; a directory counts once. `bytes` are
    those of the files whose sizes were looked up. `unused_ignore_files`: ignore files that would
    have left nothing of a folder that the user named.
    """

    files: int = 0
    directories: int = 0
    bytes: int = 0
    problems: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    unused_ignore_files: list[str] = field(default_factory=list)
