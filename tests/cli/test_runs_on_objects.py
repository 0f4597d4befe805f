"""`vyre-dist scan --run-dir s3://…`: as in a directory, on a real S3 server, which may fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from killed_runs import KILLED, KilledRuns
from object_store import Gate

from vyre_dist.storage import open_storage

Cli = Callable[..., Any]


@pytest.fixture
def undisturbed(stored: KilledRuns, cli: Cli) -> dict[str, object]:
    """What a scan without a place finds."""
    place, stored.place = stored.place, ""
    assert stored.run().returncode == 1
    outputs = stored.outputs()
    stored.forget()
    stored.place = place
    return outputs


def test_a_run_is_resumed_and_merged(
    stored: KilledRuns, undisturbed: dict[str, object], cli: Cli, gate: Gate
) -> None:
    """After its driver was killed. A second one is refused while the first one lives."""

    def is_recorded() -> bool:
        return any(
            method == "PUT" and path.endswith("ledger/000001-000000000001")
            for method, path in gate.asked
        )

    assert stored.killed_after(is_recorded) == KILLED
    done = stored.run()
    assert done.returncode == 1, done.stderr
    assert stored.outputs() == undisturbed
    merged = cli("merge", stored.place, "-f", "jsonl", **stored.environment)
    assert merged.code == 1
    assert len(merged.findings) == len(undisturbed["jsonl"])  # type: ignore[arg-type]
    assert "not-a-secret" not in bytes(open_storage(stored.place).read("run.json")).decode()


@pytest.mark.nightly
def test_what_dead_workers_have_left_is_cleaned(
    scan: Cli, cli: Cli, s3_place: str, s3_environment: dict[str, str]
) -> None:
    """And nothing else; what is no run is refused."""
    assert scan(".", "--run-dir", s3_place, **s3_environment).code == 1
    storage = open_storage(s3_place)
    before = storage.names("parts")
    storage.put("parts/0.99.1", [b"x"])
    dry = cli("clean", "--dry-run", s3_place, **s3_environment)
    assert f"would remove {s3_place}/parts/0.99.1" in dry.out.decode()
    assert storage.names("parts") != before
    done = cli("clean", s3_place, **s3_environment)
    assert done.code == 0 and f"removed {s3_place}/parts/0.99.1" in done.out.decode()
    assert storage.names("parts") == before
    assert cli("clean", f"{s3_place}/other", **s3_environment).code == 2
