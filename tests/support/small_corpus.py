"""A folder of small files with findings of simple rules: what the pools' tests scan."""

from __future__ import annotations

from pathlib import Path


def write_small_files(root: Path, count: int) -> None:
    """`count` files in three folders of `root`, each with an AKIA key and a port on one to seven
    pairs of lines.
    """
    for i in range(count):
        path = root / f"d{i % 3}" / f"f{i:02d}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"id AKIA{'B' * 14}{i:02d}\nport={i}\n" * (i % 7 + 1))
