"""Findings that workers write to part files do not pass the driver before their turn: counted in
the bytes of the workers' answers, and in those that the driver holds of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from local_pools import PACK, spec
from recorded_scans import opened

from vyre_dist.driver import local_pool, run
from vyre_dist.driver.events import Event, TaskDone
from vyre_dist.driver.local_pool import LocalPool
from vyre_dist.driver.plan import Plan
from vyre_dist.driver.recorded_plan import RecordedPlan
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.engine.part_files import INLINE_BYTES, large_in
from vyre_dist.engine.tasks import TaskResult
from vyre_dist.finding import Finding
from vyre_dist.ledger.run_directory import RunDirectory
from vyre_dist.sources import walk

SHARD_BYTES = 64 << 10

pytestmark = pytest.mark.usefixtures("no_process_is_left")


class Counted:
    """Bytes of answers, and of all that the driver holds in memory of one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.answered = self.most_held = 0
        read, kept = local_pool.read_answer, run._Loop._kept

        def counted(data: bytes) -> tuple[TaskResult | None, str]:
            self.answered += len(data)
            return read(data)

        def held(loop: run._Loop, event: Event) -> Event:
            event = kept(loop, event)
            if isinstance(event, TaskDone):
                own = sum([len(e) for e in large_in(event.result) if isinstance(e, bytes)])
                self.most_held = max(self.most_held, own)
            return event

        patch.setattr(local_pool, "read_answer", counted)
        patch.setattr(run._Loop, "_kept", held)


def scanned(root: Path, recording: RunDirectory | None) -> tuple[list[Finding], Counted]:
    found: list[Finding] = []
    told = Callbacks(found.extend, lambda _: None, lambda _: None, lambda _t, _p: None)
    items = walk([str(root)])
    plan = Plan(items, SHARD_BYTES)
    if recording is not None:
        plan = RecordedPlan(recording.history, recording.void, items, SHARD_BYTES)
    with pytest.MonkeyPatch.context() as patch:
        counted = Counted(patch)
        pool = LocalPool(spec(shard_bytes=SHARD_BYTES), 2)
        run_scan(plan, pool, PACK.rules, told, recording=recording)
    return found, counted


def test_findings_in_part_files_do_not_pass_the_driver(tmp_path: Path) -> None:
    """Those of documents in pieces, of their joins and of whole ones: a few bytes for each task,
    however many findings there are.
    """
    root = tmp_path / "tree"
    root.mkdir()
    for name, lines in (("long", 5_000), ("short", 1_000)):
        text = "".join(f"name{number % 7}={number:06d}\n" for number in range(lines))
        (root / name).write_text(text)
    expected, through = scanned(root, None)
    place = opened(tmp_path / "run", resume=False)
    found, past = scanned(root, place)
    place.close()
    assert found == expected and len(found) == 6_000
    assert through.answered > 50 * len(found)
    assert past.answered < through.answered / 20
    assert past.most_held < INLINE_BYTES
