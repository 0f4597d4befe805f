"""The library on a Ray cluster: scans of paths by actors, and a Scanner in a task's closure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ray_head import Head

# A user's program, in a process of its own: what Ray once read of tokens it keeps in a process.
_PROGRAM = """
import sys
import ray
from vyre_dist import Scanner

ray.init(address=sys.argv[2], log_to_driver=False)
scanner = Scanner({"key": r"key_[0-9]{4}"}, shard_bytes=50)
want = list(scanner.scan_paths(sys.argv[1]))
assert len(want) == 12
with scanner.iter_paths(sys.argv[1], address="auto", workers=1) as scan:
    assert list(scan) == want
assert scan.complete and ray.is_initialized()

@ray.remote
def count(text):
    return [finding.start for finding in scanner.scan(text)]

assert ray.get(count.remote("é key_1234"), timeout=60) == [3]
ray.shutdown()
print("fine")
"""


def test_scans_on_ray_find_the_same(head: Head, tmp_path: Path) -> None:
    """Actors find what this process finds; so does a task that a Scanner was sent to. The
    connection stays the caller's.
    """
    for number in range(12):
        (tmp_path / f"{number:02}").write_text(f"key_{number:04}")
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, tmp_path, head.gcs],
        env=head.environment | head.token,
        capture_output=True,
        text=True,
        timeout=180,
        cwd="/",
    )
    assert done.returncode == 0 and done.stdout.endswith("fine\n"), done.stderr
