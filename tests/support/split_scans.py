"""Scanners that go on with shards of another size."""

from __future__ import annotations

from dataclasses import replace

from vyre_dist import Scanner


def split_at(scanner: Scanner, shard_bytes: int) -> None:
    """Have the scanner split documents that are larger than this, without compiling its rules
    anew.
    """
    scanner._config = replace(scanner._config, shard_bytes=shard_bytes)
    scanner.engine.config = replace(scanner.engine.config, shard_bytes=shard_bytes)
