"""`vyre-dist status`: what the run directory says, while a run goes on, when it has ended and after
every prefix of its ledger.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest
from faulty_scans import PATIENCE, Start, stuck_workers

from vyre_dist.ledger import owner
from vyre_dist.ledger.identity import SCHEMA
from vyre_dist.runs.run_rate import RunRate
from vyre_dist.runs.run_status import run_status
from vyre_dist.storage.frames import framed, read_frames

Cli = Callable[..., Any]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def told(cli: Cli, run: Path) -> dict[str, Any]:
    done = cli("status", run, "--json")
    assert done.code == 0, done.err
    record: dict[str, Any] = json.loads(done.out)
    return record


def test_a_run_that_goes_on_is_told_of_and_left_alone(
    start: Start, cli: Cli, stuck_tree: Path, run_dir: Path
) -> None:
    """Who is at it; when it was killed, that it is nobody."""
    process = start("-j", "2", "--shard-size", "5", "--run-dir", run_dir, ".")
    stuck_workers(process, 2)
    deadline = time.monotonic() + PATIENCE
    while not (known := told(cli, run_dir))["documents"]["done"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert known["state"] == "running"
    assert known["driver"]["pid"] == process.pid and known["driver"]["lives"]
    assert known["driver"]["silent_seconds"] < owner.DEAD_SECONDS
    assert [each["worker"] for each in known["workers"]] == [0, 1]
    assert sum(each["tasks"] for each in known["workers"]) > 0
    assert 0 < known["documents"]["done"] < known["documents"]["planned"]
    said = cli("status", run_dir).out.decode()
    assert f"running, by process {process.pid} on " in said
    assert os.listdir(run_dir / "owner") == ["000001"]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    known = told(cli, run_dir)
    assert (known["state"], known["driver"]["lives"]) == ("interrupted", False)
    assert "was lost" in cli("status", run_dir).out.decode()


def test_a_run_that_is_over_is_told_of(scan: Cli, cli: Cli, tree: Path, run_dir: Path) -> None:
    """With findings by rule and problems, as the report has them; names are shown, not obeyed."""
    (tree / ".env").write_text("")
    (tree / "list").write_text("a.txt\n.env\nsub/b.txt\nnot-\x1b[31m-there\n")
    done = scan("--files-from", "list", "--run-dir", run_dir)
    assert done.code == 3
    known = told(cli, run_dir)
    assert known["state"] == "over" and known["inputs_listed"]
    assert (
        known["findings_by_rule"] == done.summary["findings_by_rule"] == {"token": 2, "dotenv": 1}
    )
    assert known["findings"] == 3
    assert known["problems"] == done.summary["problems"]
    assert known["bytes"] == done.summary["bytes"]
    assert known["documents"] == {"planned": 3, "done": 3}
    assert known["shards"]["planned"] == known["shards"]["done"] == 1
    assert known["seconds_left"] == 0
    assert sum(each["bytes"] for each in known["workers"]) == known["bytes"]
    said = cli("status", run_dir).out.decode()
    assert ": over\n" in said and "  2 token\n" in said
    assert "\x1b" not in said and "problems: 1" in said


def record_by_record(ledger: bytes) -> bytes:
    """The ledger as if each of its records had been committed by itself."""
    frames: list[bytes] = []
    for frame in read_frames("ledger", ledger):
        records = msgpack.Unpacker(raw=True, strict_map_key=False)
        records.feed(frame.data)
        at = 0
        for _ in records:
            frames.append(framed(len(frames), bytes(frame.data[at : records.tell()])))
            at = records.tell()
    return b"".join(frames)


def test_every_prefix_of_a_ledger_says_what_merge_says(
    scan: Cli, cli: Cli, tree: Path, run_dir: Path
) -> None:
    """Findings of documents that are whole, and how many documents are; torn ends are left out."""
    (tree / "large").write_text("".join(f"tok_a{i:011d}\n" for i in range(1200)))
    for number in range(4):
        (tree / f"m{number}").write_text(f"tok_{number:012d}")
    assert scan(".", "--shard-size", "5K", "--run-dir", run_dir, "-j", "2").code == 1
    ledger = run_dir / "ledger" / "000001"
    whole = ledger.read_bytes()
    (run_dir / "report.json").unlink()
    whole = record_by_record(whole)
    ends = [frame.start + len(frame.data) for frame in read_frames("ledger", whole)]
    assert len(ends) > 9
    seen = set()
    for end in [*ends[:: max(1, len(ends) // 5)], ends[-1]]:
        ledger.write_bytes(whole[: end + 7])
        known, merged = told(cli, run_dir), cli("merge", run_dir, "-f", "jsonl")
        problems = merged.summary["problems"]
        missing = {each["path"] for each in problems if each["reason"] == "unfinished"} - {""}
        found = Counter(f["rule_id"] for f in merged.findings if f["path"] not in missing)
        assert known["findings_by_rule"] == dict(found)
        assert known["state"] == "interrupted" and known["bytes"] == merged.summary["bytes"]
        done = known["documents"]["done"]
        assert done == merged.summary["documents"]
        shards = known["shards"]
        assert (shards["done"] == shards["planned"]) == merged.summary["complete"]
        assert known["seconds_left"] == 0 or not merged.summary["complete"]
        seen.add(done)
    assert known["documents"]["planned"] in seen and len(seen) > 1


def test_what_can_not_be_told_of_is_an_error(
    scan: Cli, cli: Cli, tree: Path, run_dir: Path
) -> None:
    """No run directory, another version's, damage: each with what was found, and its exit code."""
    for place in (tree, run_dir):
        refused = cli("status", place)
        assert refused.code == 2 and f"there is no run in {place}" in refused.err
    scan(".", "--run-dir", run_dir, "--shard-size", "5")
    facts = run_dir / "run.json"
    now = facts.read_text()
    facts.write_text(now.replace(f'"schema": {SCHEMA}', '"schema": 99'))
    refused = cli("status", run_dir)
    assert refused.code == 2 and f"has schema 99, not {SCHEMA}: use the version" in refused.err
    facts.write_text(now)
    ledger = run_dir / "ledger" / "000001"
    data = ledger.read_bytes()
    ledger.write_bytes(data[:30] + b"x" + data[31:])
    damaged = cli("status", run_dir)
    assert damaged.code == 3 and "ledger/000001 is damaged at byte " in damaged.err


def test_a_driver_elsewhere_is_told_by_its_beat(scan: Cli, tree: Path, run_dir: Path) -> None:
    """As long as it says that it lives."""
    scan(".", "--run-dir", run_dir)
    (run_dir / "report.json").unlink()
    file = run_dir / "owner" / "000001"
    beat = time.time()
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "boot": "x", "beat": beat, "ended": False})
    )
    for silent, state in ((20.0, "running"), (40.0, "interrupted")):
        known = run_status(str(run_dir), partial(float, beat + silent))
        assert known.state == state and known.driver is not None
        assert known.driver.silent == pytest.approx(silent)


def test_the_rate_is_that_of_the_latest_minutes() -> None:
    """From when the first of their tasks began, and not from before a pause."""
    rate = RunRate()
    assert rate.of(None) is None
    second = 10**9
    rate.add(0, 5 * second, 10)  # nobody knows when it began
    assert rate.of(10.0) is None
    rate.add(10 * second, 20 * second, 1000)
    assert rate.of(20.0) == pytest.approx(100.0)
    assert rate.of(30.0) == pytest.approx(50.0)
    rate.add(1000 * second, 1010 * second, 300)
    assert rate.of(1010.0) == pytest.approx(30.0)
    for at in range(1010, 3000, 10):
        rate.add(at * second, (at + 10) * second, 70)
    assert rate.of(3000.0) == pytest.approx(7.0, rel=0.05)
