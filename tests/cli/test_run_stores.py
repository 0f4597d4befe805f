"""RunStores: what a run has of its autotune store, on this machine or on a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from vyre_dist.autotune import urls
from vyre_dist.autotune.choice import DEFAULT_CHOICE, Choice
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import FAILED_S, StoredRecord
from vyre_dist.autotune.redis_scripts import REVISION_KEY, fence_key
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey
from vyre_dist.driver.tuning_link import Found, Leased, News, Published, Target
from vyre_dist.runs.local_link import LocalLink
from vyre_dist.runs.options import ScanOptions
from vyre_dist.runs.shared_link import SharedLink
from vyre_dist.runs.stores import RunStores

SPEC = SpecCacheKey(1, 2, (1, 1, 1), 3)
TARGET = Target(AutotuneKey.of(SPEC, "a device " + 200 * "x"), SPEC, "rare-small")
SERIAL = Choice.of(lane="serial")

Link = LocalLink | SharedLink
NewsT = TypeVar("NewsT", Found, Leased, Published)


def record(ratio: float, choice: Choice = SERIAL, **more: Any) -> StoredRecord:
    """What a race may publish."""
    return StoredRecord(
        TARGET.key,
        AutotuneRecord((1, 1, 1), 1),
        SPEC,
        workload=TARGET.workload,
        choice=choice,
        gain=Gain(ratio, 0.98 * ratio, 1.02 * ratio, 20),
        **more,
    )


@pytest.fixture
def link_to(tmp_path: Path) -> Iterator[Callable[[str], Link]]:
    """Gives the link of another run, with a cache folder of its own."""
    with ExitStack() as stack:

        def link(url: str) -> Link:
            folder = tmp_path / f"run {len(opened)}"
            stores = RunStores(ScanOptions(store=url, cache_dir=str(folder)))
            opened.append(stores)
            stack.callback(stores.close)
            assert stores.tuning() is not None
            made = stores._link
            assert made is not None
            return made

        opened: list[RunStores] = []
        yield link


def heard(link: Link, kind: type[NewsT], seconds: float = 10.0) -> NewsT:
    """The next news of a kind."""
    end = time.monotonic() + seconds
    never = threading.Event()
    while time.monotonic() < end:
        for news in link.news():
            if isinstance(news, kind):
                return news
        never.wait(0.005)
    raise AssertionError(f"no {kind.__name__} within {seconds} s")


def test_a_winner_reaches_another_run_within_a_second(
    link_to: Callable[[str], Link], redis_url: str
) -> None:
    """In the midst of it, and under the lease that lets nobody else tune the same."""
    tuner, other = link_to(redis_url), link_to(redis_url)
    for link in (tuner, other):
        link.read([TARGET])
        assert heard(link, Found).record is None
    tuner.lease(TARGET, [SERIAL])
    granted = heard(tuner, Leased)
    assert granted.granted and granted.fence is not None
    other.lease(TARGET, [SERIAL])
    assert not heard(other, Leased).granted
    winner = record(0.8, fence=granted.fence)
    tuner.publish(TARGET, winner)
    assert heard(tuner, Published).stored
    began = time.monotonic()
    assert heard(other, Found).record == winner
    assert time.monotonic() - began < 1.0
    tuner.release(TARGET)


def test_who_asks_for_the_right_to_tune_too_late_gets_the_record(
    link_to: Callable[[str], Link], redis_url: str
) -> None:
    """Published and given back between the two questions of another run."""
    tuner, other = link_to(redis_url), link_to(redis_url)
    tuner.lease(TARGET, [])
    assert heard(tuner, Leased).granted
    tuner.publish(TARGET, record(0.8))
    tuner.release(TARGET)
    assert heard(tuner, Published).stored
    other.lease(TARGET, [])
    assert heard(other, Found).record is not None


def test_what_is_published_under_a_lease_of_the_past_is_refused(
    link_to: Callable[[str], Link], redis_url: str
) -> None:
    """Another run has been granted it since."""
    tuner = link_to(redis_url)
    tuner.lease(TARGET, [])
    granted = heard(tuner, Leased)
    with redis.Redis.from_url(redis_url) as client:
        client.set(fence_key(TARGET.lease), "0123456789abcdef:9007199254740000")
    tuner.publish(TARGET, record(0.8, fence=granted.fence))
    assert not heard(tuner, Published).stored


@pytest.mark.parametrize("shared", [False, True])
def test_a_failure_is_remembered(
    link_to: Callable[[str], Link], redis_url: str, tmp_path: Path, shared: bool
) -> None:
    """By whoever asks for the right to tune; and no record of that choice is found."""
    url = redis_url if shared else f"sqlite://{tmp_path}/store"
    first = link_to(url)
    first.publish(TARGET, record(0.5))
    assert heard(first, Published).stored
    until = int(time.time()) + FAILED_S
    first.publish(TARGET, record(0.5, failed_until=until, reason="it differs"))
    assert heard(first, Published).stored
    first.close()
    other = link_to(url)
    other.read([TARGET])
    assert heard(other, Found).record is None
    other.lease(TARGET, [SERIAL, Choice.of(threads=64)])
    assert heard(other, Leased).failed == (SERIAL,)


def test_runs_of_one_machine_need_no_lease(link_to: Callable[[str], Link], tmp_path: Path) -> None:
    """The better record stays, and the next run finds it."""
    first, second = (link_to(f"sqlite://{tmp_path}/store") for _ in range(2))
    for link, ratio, stored in ((first, 0.9, True), (second, 0.95, False)):
        link.lease(TARGET, [])
        assert heard(link, Leased).granted
        link.publish(TARGET, record(ratio))
        assert heard(link, Published).stored == stored
    second.read([TARGET])
    found = heard(second, Found).record
    assert found is not None and found.gain is not None and found.gain.ratio == 0.9


def test_a_server_that_is_dead_or_hangs_holds_nobody_up(
    link_to: Callable[[str], Link], dead_url: str, hung_url: str
) -> None:
    """What is on this machine is known at once; one may tune for oneself; the end waits 0.3 s."""
    for url in (dead_url, hung_url):
        link = link_to(url)
        link.read([TARGET])
        assert heard(link, Found).record is None
        link.publish(TARGET, record(0.8))
        began = time.monotonic()
        assert link.news() is not None
        link.close()
        assert time.monotonic() - began < 0.5
        assert link.problem


def test_without_a_server_everybody_may_tune(link_to: Callable[[str], Link], dead_url: str) -> None:
    """As nobody else would hear of it."""
    link = link_to(dead_url)
    link.lease(TARGET, [SERIAL])
    assert heard(link, Leased) == Leased(TARGET, True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--replicaof", "127.0.0.1", "1"), "READONLY You can't write against a read only replica"),
        ((), "OOM command not allowed"),
    ],
    ids=["replica", "full"],
)
def test_a_server_that_takes_nothing_is_told_in_its_own_words(
    link_to: Callable[[str], Link],
    redis_factory: Callable[..., Any],
    options: tuple[str, ...],
    reason: str,
) -> None:
    url = redis_factory(tcp=True, options=options).url
    if not options:
        with redis.Redis.from_url(url) as client:
            client.set(REVISION_KEY, 1)
            client.config_set("maxmemory", 1)
    link = link_to(url)
    link.publish(TARGET, record(0.8))
    heard(link, Published)
    link.close()
    assert reason in link.problem


def test_a_store_that_is_slow_is_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After 0.3 s in all, though it answers; that is told."""
    times = iter(range(100))
    url = f"sqlite://{tmp_path}/store"
    opened = _opened(monkeypatch)
    stores = RunStores(ScanOptions(store=url), lambda: 0.2 * next(times))
    stores.tuning()
    link = stores._link
    assert link is not None
    for _ in range(4):
        link.read([TARGET])
        link.news()
    assert opened == [url] * 2
    assert stores.problem == f"the autotune store {url}: the scan has waited for it for 0.4 s"


def test_without_tuning_no_store_is_opened(
    monkeypatch: pytest.MonkeyPatch, hung_url: str, tmp_path: Path
) -> None:
    opened = _opened(monkeypatch)
    for options in (
        ScanOptions(store=hung_url, tuning=False),
        ScanOptions(cache_dir=str(tmp_path / "cache"), tuning=False),
        ScanOptions(store="no store at all", tuning=False),
    ):
        stores = RunStores(options)
        assert stores.tuning() is None
        assert not stores.shares_store
        stores.close()
        assert stores.problem == ""
    assert opened == []
    assert not (tmp_path / "cache").exists()


def _opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of stores that are opened from now on."""
    found: list[str] = []
    open_store = urls.open_store

    def noted(url: str, **more: Any) -> Any:
        found.append(url)
        return open_store(url, **more)

    monkeypatch.setattr(urls, "open_store", noted)
    return found


def test_the_default_may_be_published_too(link_to: Callable[[str], Link], tmp_path: Path) -> None:
    """It is a measurement as any other."""
    link = link_to(f"sqlite://{tmp_path}/store")
    link.publish(TARGET, record(1.0, DEFAULT_CHOICE))
    news: list[News] = list(link.news())
    assert news == [Published(TARGET, True)]
