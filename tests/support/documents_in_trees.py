"""Trees of small files, and what a walk gave of them."""

from __future__ import annotations

from pathlib import Path

from vyre_dist.sources import DocumentRef


def make(top: Path, *names: str, size: int = 1) -> None:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)


def shown(items: object) -> list[str]:
    return [i.path if isinstance(i, DocumentRef) else f"{i.reason}:{i.path}" for i in items]  # type: ignore[attr-defined]
