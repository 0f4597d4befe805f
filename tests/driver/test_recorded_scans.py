"""A scan with a run directory, in this process: wherever its logs are cut, a resume ends as an
undisturbed scan does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from local_pools import PACK, order
from recorded_scans import SHARD_BYTES, Scans, counts, opened

from vyre_dist.driver.machine_config import MachineConfig
from vyre_dist.driver.no_pool import NoPool
from vyre_dist.driver.recorded_plan import RecordedPlan
from vyre_dist.driver.run import Callbacks, run_scan
from vyre_dist.finding import Finding
from vyre_dist.input_problem import InputProblem


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_logs_may_be_cut_anywhere(
    scans: Scans, whole: Path, tmp_path: Path, data: st.DataObject
) -> None:
    """The plan is longer than what is done of it; both may end in the midst of a record. A second
    cut follows.
    """
    expected, undisturbed = scans.scan(None)
    place = tmp_path / "run"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place)
    for epoch in (1, 2):
        done, planned = place / "ledger" / f"{epoch:06}", place / "plan" / f"{epoch:06}"
        share = data.draw(st.integers(0, 1000))
        kept = done.read_bytes()[: share * done.stat().st_size // 1000]
        done.write_bytes(kept)
        share = data.draw(st.integers(share, 1000))
        planned.write_bytes(planned.read_bytes()[: share * planned.stat().st_size // 1000])
        # of a document in pieces that are not joined there is what each piece has by itself
        merged = [each for each in scans.merge(place)[0] if not each.path.endswith("long")]
        assert [each for each in expected if each in merged] == merged
        run = opened(place, resume=True)
        found, outcome = scans.scan(run)
        run.close()
        assert found == expected
        assert counts(outcome) == counts(undisturbed)
        found, outcome = scans.merge(place)
        assert found == expected and not outcome.unfinished


pytestmark = pytest.mark.usefixtures("exact_clock")


def test_nothing_is_scanned_twice(scans: Scans, whole: Path, tmp_path: Path) -> None:
    """A run that is over is read back; nothing is listed, either."""
    place = tmp_path / "run"
    shutil.copytree(whole, place)
    run = opened(place, resume=True)
    plan = RecordedPlan(run.history, run.void, _never(), SHARD_BYTES)
    told = Callbacks((found := list[Finding]()).extend, print, print, lambda _t, _p: None)
    config = MachineConfig(only_entries=True)
    outcome = run_scan(plan, NoPool(), PACK.rules, told, config, recording=run)
    run.close()
    assert sorted(found, key=order) == sorted(scans.scan(None)[0], key=order)
    assert outcome.complete and not outcome.unfinished


def _never() -> list[InputProblem]:
    class Never(list[InputProblem]):
        def __iter__(self) -> None:  # type: ignore[override]
            raise AssertionError("the inputs were listed")

    return Never()


@pytest.mark.parametrize("fate", ["added", "removed"])
def test_files_that_come_and_go_while_nobody_plans(
    scans: Scans, tmp_path: Path, corpus: Path, fate: str
) -> None:
    """In front of what was planned and behind it: each document that is there is scanned once."""
    root = tmp_path / "tree"
    shutil.copytree(corpus, root)
    own = Scans(scans.engine, root, scans.folders)
    place = tmp_path / "run"
    run = opened(place, resume=False)
    own.scan(run)
    run.close()
    plan = place / "plan" / "000001"
    plan.write_bytes(plan.read_bytes()[:-10])
    size = plan.stat().st_size
    for name in ("d0/aaa", "d1/f99", "d2/zzz"):
        if fate == "added":
            (root / name).write_text("id AKIABBBBBBBBBBBBBBZZ")
    if fate == "removed":
        for path in [*sorted((root / "d0").iterdir())[:3], *sorted((root / "d2").iterdir())[-3:]]:
            path.unlink()
    run = opened(place, resume=True)
    found, outcome = own.scan(run)
    run.close()
    assert plan.stat().st_size == size
    paths = {each.path for each in found}
    assert len(found) == len(set(found))
    if fate == "added":
        assert {str(root / name) for name in ("d0/aaa", "d1/f99", "d2/zzz")} <= paths
        assert sorted(found, key=order) == sorted(own.scan(None)[0], key=order)
    else:
        assert {each.path for each in own.scan(None)[0]} <= paths
    assert outcome.complete
