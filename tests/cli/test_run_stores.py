"""RunStores: a run does without an autotune store that has failed, or that takes too long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vyre_dist.autotune import urls
from vyre_dist.driver.worker_facts import WorkerFacts, facts_of
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.stores import RunStores

KINDS = [replace(facts_of("cpu"), device=f"device {i}") for i in range(4)]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of stores that are opened."""
    found: list[str] = []
    open_store = urls.open_store

    def noted(url: str, **more: Any) -> Any:
        found.append(url)
        return open_store(url, **more)

    monkeypatch.setattr(urls, "open_store", noted)
    return found


def asked_for(stores: RunStores, kinds: list[WorkerFacts]) -> Iterator[str]:
    """What is known to be wrong after each kind, and at last when there is something to publish."""
    for facts in kinds:
        assert stores.threshold_pct("pack", facts) is None
        yield stores.problem
    stores.publish("pack", [])
    yield stores.problem


def test_a_store_that_hangs_is_asked_once(hung_url: str, opened: list[str], tmp_path: Path) -> None:
    """Whatever kinds of workers there are: each would wait for it anew."""
    stores = RunStores(ScanOptions(store=hung_url, cache_dir=str(tmp_path)))
    told = list(asked_for(stores, KINDS))
    assert opened == [hung_url]
    assert set(told) == {told[0]} and "did not answer in time" in told[0]


def test_a_store_that_is_slow_is_done_without(opened: list[str], tmp_path: Path) -> None:
    """After a second in all, though it answers; that is told, without a login."""
    times = iter(range(100))
    url = f"sqlite://{tmp_path}/store"
    stores = RunStores(ScanOptions(store=url), lambda: 0.6 * next(times))
    told = list(asked_for(stores, KINDS))
    assert opened == [url] * 2
    slow = f"the autotune store {url}: the scan has waited for it for 1.2 s"
    assert told == ["", "", slow, slow, slow]


def test_a_store_in_good_health_is_asked_for_each_kind(opened: list[str], tmp_path: Path) -> None:
    """And told of what was measured."""
    url = f"sqlite://{tmp_path}/store"
    assert set(asked_for(RunStores(ScanOptions(store=url)), KINDS)) == {""}
    assert opened == [url] * 5
