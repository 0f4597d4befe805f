"""The library on a Ray cluster: scans of paths by actors, and a Scanner in a task's closure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from vyre_dist import Scanner

PATTERNS = {"key": r"key_[0-9]{4}"}


@pytest.fixture
def cluster() -> Iterator[None]:
    """A cluster of one processor on this machine, which this process is connected to."""
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_scans_on_ray_find_the_same(cluster: None, tmp_path: Path) -> None:
    """Actors find what this process finds; so does a task that a Scanner was sent to. The
    connection stays the caller's.
    """
    for number in range(12):
        (tmp_path / f"{number:02}").write_text(f"key_{number:04}")
    scanner = Scanner(PATTERNS, shard_bytes=50)
    want = list(scanner.scan_paths(tmp_path))
    assert len(want) == 12
    with scanner.iter_paths(tmp_path, address="auto", workers=1) as scan:
        assert list(scan) == want
    assert scan.complete and ray.is_initialized()

    @ray.remote
    def count(text: str) -> list[int]:
        return [finding.start for finding in scanner.scan(text)]

    assert ray.get(count.remote("é key_1234"), timeout=60) == [3]
