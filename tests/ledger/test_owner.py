"""Owner: one driver at a time, and the later one of two."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vyre_dist.ledger.owner import BEAT_SECONDS, DEAD_SECONDS, Owner, RunBusyError, RunTakenError
from vyre_dist.storage import LocalStorage


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path / "run"))


def elsewhere(storage: LocalStorage, epoch: int) -> None:
    """Make the owner one of another machine."""
    name = f"owner/{epoch:06}"
    known = json.loads(bytes(storage.read(name)))
    storage.put(name, [json.dumps({**known, "boot": "another", "host": "far"}).encode()])


def test_a_second_driver_is_refused_and_told_of_the_first(storage: LocalStorage) -> None:
    """Its process and host. After `release` it may have the run."""
    first = Owner(storage)
    with pytest.raises(RunBusyError, match=f"process {os.getpid()} on ") as raised:
        Owner(storage)
    assert raised.value.pid == os.getpid() and raised.value.host == os.uname().nodename
    first.check()
    first.release()
    second = Owner(storage)
    assert (first.epoch, second.epoch) == (1, 2)
    with pytest.raises(RunTakenError) as taken:
        first.check()
    assert taken.value.epoch == 2
    first.release()  # that of another one stays
    second.check()
    with pytest.raises(RunBusyError):
        Owner(storage)


def _die(place: str) -> None:
    Owner(LocalStorage(place))
    os.kill(os.getpid(), 9)


def test_a_dead_driver_s_run_is_free_at_once(storage: LocalStorage) -> None:
    """If it ran on this machine."""
    process = multiprocessing.get_context("fork").Process(target=_die, args=(storage.place,))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    assert Owner(storage).epoch == 2


def test_one_of_another_machine_is_dead_when_it_says_nothing(storage: LocalStorage) -> None:
    """It says that it lives every few seconds. If it lived all the same, it stops."""
    clock = Clock()
    first = Owner(storage, clock)
    for _ in range(10):
        clock.now += BEAT_SECONDS
        first.check()
    elsewhere(storage, 1)
    clock.now += DEAD_SECONDS - 1
    with pytest.raises(RunBusyError, match="on far"):
        Owner(storage, clock)
    clock.now += 1
    assert Owner(storage, clock).epoch == 2
    with pytest.raises(RunTakenError):
        first.check()


def test_of_many_at_once_one_gets_it(storage: LocalStorage) -> None:
    """Nobody has an epoch that another one has."""

    def claim(_: int) -> int:
        try:
            return Owner(storage).epoch
        except RunBusyError:
            return 0

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(claim, range(16)))[-2:] == [0, 1]


def test_a_sign_of_life_from_the_future_is_none(storage: LocalStorage) -> None:
    """The clock of one of the two machines was set since."""
    clock = Clock()
    Owner(storage, clock)
    elsewhere(storage, 1)
    clock.now -= DEAD_SECONDS - 1
    with pytest.raises(RunBusyError, match="on far"):
        Owner(storage, clock)
    clock.now -= 1
    assert Owner(storage, clock).epoch == 2


def test_an_owner_whose_clock_was_set_back_says_that_it_lives(storage: LocalStorage) -> None:
    clock = Clock()
    owner = Owner(storage, clock)
    clock.now -= 3600.0
    assert owner.due
    owner.check()
    assert json.loads(bytes(storage.read("owner/000001")))["beat"] == clock.now
    assert not owner.due


def test_a_store_that_lists_late_takes_no_run_away(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Owner(storage)
    monkeypatch.setattr(storage, "names", lambda _: [])
    owner.check()
