"""What the benchmarks scan: whole files of a tree, drawn in a fixed random order."""

from __future__ import annotations

import os
import random
from pathlib import Path


def shuffled_paths(tree: str, seed: int) -> list[str]:
    """The regular files of `tree`, links left out, in an order that depends on `seed` only."""
    paths = sorted(
        path
        for folder, _, names in os.walk(tree)
        for name in names
        if os.path.isfile(path := os.path.join(folder, name)) and not os.path.islink(path)
    )
    random.Random(seed).shuffle(paths)
    return paths


def sampled_files(tree: str, megabytes: float) -> list[tuple[str, bytes]]:
    """(path in the tree, content) of regular files of `tree`, until there are `megabytes` of them."""
    files: list[tuple[str, bytes]] = []
    size = 0.0
    for path in shuffled_paths(tree, 7):
        if size >= megabytes * 1e6:
            break
        files.append((os.path.relpath(path, tree), Path(path).read_bytes()))
        size += len(files[-1][1])
    return files
