"""`vyre-dist scan --run-dir s3://…` while the store, or the driver, fails: the same outputs."""

from __future__ import annotations

import json
import random
import threading

import pytest
from faulty_scans import PATIENCE
from killed_runs import ENDED, KILLED, KilledRuns
from object_store import Gate

from vyre_dist.storage import open_storage

pytestmark = pytest.mark.nightly

# A driver that tries again for a second, and workers, too.
HASTY = """
import sys
from vyre_dist.storage import places

places.SHORT_SECONDS = places._patience[0] = 1.0
from vyre_dist.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture
def undisturbed(stored: KilledRuns) -> dict[str, object]:
    """What a scan without a place finds."""
    place, stored.place = stored.place, ""
    assert stored.run().returncode == 1
    outputs = stored.outputs()
    stored.forget()
    stored.place = place
    return outputs


def test_one_request_in_five_fails(
    stored: KilledRuns, undisturbed: dict[str, object], gate: Gate
) -> None:
    """In every way, before it is done and after."""
    chosen = random.Random(5)
    fates = ["500", "503", "429", "lost", "cut", "slow"]
    done = dict.fromkeys(fates, 0)

    def fault(method: str, path: str) -> str:
        fate = chosen.choice(fates) if chosen.random() < 0.2 else ""
        if fate:
            done[fate] += 1
        return fate

    gate.fault = fault
    ended = stored.run()
    gate.fault = lambda *_: ""
    assert ended.returncode == 1, ended.stderr
    assert all(done.values()), done
    assert stored.outputs() == undisturbed
    assert stored.named_parts() == set(open_storage(stored.place).names("parts"))


@pytest.mark.parametrize("seconds", [3.0, 65.0])
def test_a_store_that_is_killed_and_started_again(
    stored: KilledRuns, undisturbed: dict[str, object], gate: Gate, seconds: float
) -> None:
    """In the midst of a scan, for longer than any lease, too: nobody is blamed for the wait."""
    opened = threading.Event()

    def fault(method: str, path: str) -> str:
        if path.endswith("ledger/000001-000000000001") and not opened.is_set():
            opened.set()
            gate.shut()
            threading.Timer(seconds, gate.open).start()
            return "cut"
        return ""

    gate.fault = fault
    ended = stored.run()
    assert opened.is_set()
    assert ended.returncode == 1, ended.stderr
    told = [line for line in ended.stderr.splitlines() if b"no progress for" not in line]
    assert told == []
    assert stored.outputs() == undisturbed


def test_a_store_that_does_not_come_back(
    stored: KilledRuns, undisturbed: dict[str, object], gate: Gate
) -> None:
    """The driver stops and says how to go on, and that works when the store is there again."""

    def fault(method: str, path: str) -> str:
        if path.endswith("ledger/000001-000000000001"):
            gate.shut()
            return "cut"
        return ""

    gate.fault = fault
    process = stored.start(["-c", HASTY])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert b"could not connect" in err.lower() or b"connection" in err.lower(), err
    assert b"go on with: vyre-dist scan" in err, err
    assert b"not-a-secret" not in err
    gate.fault = lambda *_: ""
    gate.open()
    resumed = stored.run()
    assert resumed.returncode == 1, resumed.stderr
    assert stored.outputs() == undisturbed


def test_a_driver_that_is_killed_at_random_requests(
    stored: KilledRuns, undisturbed: dict[str, object], gate: Gate
) -> None:
    """Twenty times: the outputs are the same, and no entry is there twice."""
    chosen = random.Random(20)
    kills = 0
    while kills < 20:
        left = len(gate.asked) + chosen.randrange(5, 80)
        code = stored.killed_after(lambda left=left: len(gate.asked) >= left)
        kills += code == KILLED
        if code in ENDED:
            assert stored.outputs() == undisturbed
            stored.place += "x"
    last = stored.run()
    assert last.returncode in ENDED, last.stderr
    assert stored.outputs() == undisturbed
    covered = list(stored.covered())
    assert len(set(covered)) == len(covered) > 36


def test_two_drivers_at_one_run(
    stored: KilledRuns, undisturbed: dict[str, object], gate: Gate
) -> None:
    """The second is refused. One that takes over, as the first seems to be dead, elsewhere, fences
    it: what it commits then comes too late to count, and it stops.
    """
    held, release = threading.Event(), threading.Event()

    def fault(method: str, path: str) -> str:
        if method == "PUT" and path.endswith("ledger/000001-000000000001"):
            held.set()
            release.wait(PATIENCE)
        return ""

    gate.fault = fault
    first = stored.start(["-m", "vyre_dist"])
    assert held.wait(PATIENCE)
    second = stored.run()
    assert second.returncode == 2
    assert f"process {first.pid} on ".encode() in second.stderr
    storage = open_storage(stored.place)
    holder = json.loads(bytes(storage.read("owner/000001")))
    storage.put("owner/000001", [json.dumps({**holder, "boot": "x", "beat": 0.0}).encode()])
    taken = stored.run()
    assert taken.returncode == 1, taken.stderr
    assert stored.outputs() == undisturbed
    release.set()
    _, err = first.communicate(timeout=PATIENCE)
    assert first.returncode == 3, err
    assert b"another driver has taken over" in err and b"go on with" not in err
    assert ("PUT", f"{stored.place.partition('runs/')[2]}/ledger/000001-000000000001") in gate.asked
    covered = list(stored.covered())
    assert len(set(covered)) == len(covered) > 36
    again = stored.run()
    assert again.returncode == 1 and stored.outputs() == undisturbed
