"""The one contract of all stores, run against each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.memory import MemoryStore
from vyre_dist.autotune.record import LaunchLimits, LoserTiming, StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.store import RecordStore, StoreClosedError
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import parse_redis_url
from vyre_dist.dispatch.keys import AutotuneRecord, SpecCacheKey
from vyre_dist.dispatch.race import VariantTiming
from vyre_dist.errors import UsageError

Make = Callable[..., StoredRecord]


@dataclass
class Kind:
    """A kind of store: `open` opens one more on the same medium, which outlives the store if
    `shared`.
    """

    name: str
    open: Callable[[], RecordStore]
    shared: bool


@pytest.fixture(params=["memory", "sqlite", "redis", "tiered"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    path = tmp_path / "deep" / "autotune.sqlite3"
    if request.param == "memory":
        return Kind("memory", MemoryStore, shared=False)
    if request.param == "sqlite":
        return Kind("sqlite", lambda: SqliteStore(path), shared=True)
    target = parse_redis_url(request.getfixturevalue("redis_url"))
    if request.param == "redis":
        return Kind("redis", lambda: RedisStore(target), shared=True)
    return Kind("tiered", lambda: TieredStore(SqliteStore(path), RedisStore(target)), shared=True)


@pytest.fixture
def store(kind: Kind) -> Iterator[RecordStore]:
    with kind.open() as opened:
        yield opened


def get(store: RecordStore, record: StoredRecord, **kwargs: Any) -> StoredRecord | None:
    assert record.spec is not None
    return store.get(record.key, record.spec, **kwargs)


def test_what_was_put_is_got(store: RecordStore, make_record: Make) -> None:
    """A record comes back equal in every field; another key is a miss; both are counted."""
    record = make_record(1)
    assert get(store, record) is None
    assert store.put(record)
    assert get(store, record) == record
    assert get(store, make_record(2)) is None
    assert get(store, make_record(1, adapter="another")) is None
    stats = store.stats
    assert (stats.hits, stats.misses, stats.stored, stats.errors) == (1, 3, 1, 0)


def test_workload_classes_are_kept_apart(store: RecordStore, make_record: Make) -> None:
    """Each class of a key has a record of its own; the plain look-up finds the one without."""
    gain = Gain(0.9, 0.88, 0.92, 9)
    plain, dense = make_record(), make_record(workload="d5", gain=gain)
    assert store.put(dense)
    assert get(store, plain) is None
    assert store.put(plain)
    assert get(store, plain) == plain
    assert get(store, plain, workload="d5") == dense
    assert get(store, plain, workload="d6") is None
    assert plain.spec is not None
    wanted = [(plain.key, plain.spec, "d5"), (plain.key, plain.spec)]
    assert store.get_many(wanted) == [dense, plain]
    assert set(store.items()) == {plain, dense}
    with pytest.raises(UsageError, match="workload"):
        get(store, plain, workload="Dense files")


def test_what_is_removed_is_gone(kind: Kind, store: RecordStore, make_record: Make) -> None:
    """In every tier, and for who looks later; the other classes of the key stay."""
    one, two = make_record(), make_record(workload="d5")
    assert store.put_many([one, two]) == 2
    assert store.remove([one.place, make_record(3).place]) == 1
    assert (get(store, one), get(store, two, workload="d5")) == (None, two)
    assert set(store.items()) == {two} and store.remove([one.place]) == 0
    if kind.shared:
        with kind.open() as other:
            assert set(other.items()) == {two}
            assert get(other, one) is None
    assert store.stats.errors == 0
    assert store.put(one) and get(store, one) == one


def test_failed_choices_are_remembered(store: RecordStore, make_record: Make) -> None:
    """Beside the winner of their class, each by itself, until their time is over."""
    bad, worse, good = (Choice.of(threads=n) for n in (64, 128, 256))
    spec = make_record().spec
    assert spec is not None
    key = make_record().key
    refused = make_record(workload="d5", choice=bad, failed_until=1000, reason="other findings")
    for record in (refused, replace(refused, choice=worse, failed_until=500)):
        assert store.put(record)
    asked = [good, worse, bad]
    assert store.failed(key, spec, asked, workload="d5", now_s=600) == [refused]
    assert store.failed(key, spec, asked, workload="d5", now_s=1000) == []
    assert store.failed(key, spec, asked, now_s=600) == []
    assert get(store, refused, workload="d5") is None


def test_fields_that_only_a_later_version_knows_stay(store: RecordStore, make_record: Make) -> None:
    """A better record without them takes the place, and has them."""
    extra = (("colour", msgpack.packb({"deep": [1, None]})),)
    assert store.put(make_record(cost=9, extra=extra))
    assert get(store, make_record()) == make_record(cost=9, extra=extra)
    assert store.put(make_record(cost=5))
    assert get(store, make_record()) == make_record(cost=5, extra=extra)


def test_get_many_answers_in_order(store: RecordStore, make_record: Make) -> None:
    """Each wanted key gets its own record or None, in the order asked, also 300 at once."""
    for number in (1, 3):
        store.put(make_record(number))
    wanted = [make_record(number) for number in range(1, 301)]
    found = store.get_many([(record.key, record.spec) for record in wanted if record.spec])
    assert found == [
        record if number in (1, 3) else None for number, record in enumerate(wanted, 1)
    ]
    assert store.get_many([]) == []


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (1000, 999, "second"),
        (1000, 1000, "first"),
        (1000, 1001, "first"),
        (None, 5, "second"),
        (5, None, "first"),
    ],
)
def test_better_wins(
    store: RecordStore, make_record: Make, first: int, second: int, kept: str
) -> None:
    """Only a strictly cheaper record replaces the incumbent; what was never measured costs the
    most.
    """
    records = {
        "first": make_record(cost=first, unroll=1),
        "second": make_record(cost=second, unroll=2),
    }
    assert store.put(records["first"])
    assert store.put(records["second"]) is (kept == "second")
    assert get(store, records["first"]) == records[kept]
    stats = store.stats
    assert (stats.stored, stats.kept) == ((2, 0) if kept == "second" else (1, 1))


def test_many_are_put_as_each_would_be(store: RecordStore, make_record: Make) -> None:
    """In their order, each judged by what is held when its turn comes; the number is that of those
    that are held.
    """
    assert store.put(make_record(1, cost=10))
    better, worse, late = make_record(1, cost=5), make_record(1, cost=7), make_record(3)
    assert store.put_many([make_record(2), better, worse, late]) == 3
    assert sorted(store.items(), key=lambda r: r.key.key_hex) == sorted(
        [make_record(2), better, late], key=lambda r: r.key.key_hex
    )
    assert store.put_many([]) == 0
    assert (store.stats.stored, store.stats.kept, store.stats.errors) == (4, 1, 0)


def test_costs_are_compared_exactly_at_the_end_of_u64(
    store: RecordStore, make_record: Make
) -> None:
    """Costs that differ by one near 2^64, where doubles cannot tell them apart, are told apart."""
    high = make_record(cost=2**64 - 2, unroll=1)
    higher = make_record(cost=2**64 - 1, unroll=2)
    assert store.put(high)
    assert not store.put(higher)
    assert store.put(make_record(cost=2**64 - 3, unroll=3))


def test_putting_the_held_record_again_is_true(store: RecordStore, make_record: Make) -> None:
    """True says that the store holds this very record, so a repeated put is True as well."""
    assert store.put(make_record())
    assert store.put(make_record())
    assert store.stats.kept == 0


def test_collision_is_a_miss_and_the_newcomer_gets_the_place(
    store: RecordStore, make_record: Make, colliding_specs: tuple[SpecCacheKey, SpecCacheKey]
) -> None:
    """A record of another spec under the same key is a miss, counted, and yields whatever its
    cost.
    """
    first, second = (
        make_record(spec=spec, cost=cost)
        for spec, cost in zip(colliding_specs, (1, 9), strict=True)
    )
    assert first.key == second.key
    store.put(first)
    assert get(store, second) is None
    assert store.stats.mismatched == 1
    assert store.put(second)
    assert get(store, second) == second
    assert get(store, first) is None


def test_records_without_spec_are_unverified_hits_that_replace_nothing(
    store: RecordStore, make_record: Make
) -> None:
    """An imported record is found by key and counted as unverified; it yields to any verified
    one.
    """
    imported = make_record(cost=None, verified=False)
    measured = make_record(cost=10**9)
    assert store.put(imported)
    assert get(store, measured) == imported
    assert (store.stats.hits, store.stats.unverified) == (1, 1)
    assert store.put(measured)
    assert not store.put(imported)
    assert get(store, measured) == measured


def test_launches_beyond_the_device_are_misses(store: RecordStore, make_record: Make) -> None:
    """With limits, a record asking for more is a miss and counted; without, it is a hit."""
    record = make_record()  # 64 × 2 × 1 threads
    store.put(record)
    assert get(store, record, limits=LaunchLimits(max_threads=128)) == record
    assert get(store, record, limits=LaunchLimits(max_threads=127)) is None
    assert get(store, record, limits=LaunchLimits(max_workgroup=(1024, 1, 64))) is None
    assert store.stats.unfit == 2


def test_items_are_all_records(store: RecordStore, make_record: Make) -> None:
    """items() yields each record once."""
    records = {make_record(number) for number in range(1, 41)}
    for record in records:
        store.put(record)
    listed = list(store.items())
    assert len(listed) == 40
    assert set(listed) == records


def test_a_second_store_on_the_same_medium_sees_the_records(kind: Kind, make_record: Make) -> None:
    """What one store put, another one opened later finds, and its better record wins there too."""
    if not kind.shared:
        with kind.open() as first, kind.open() as second:
            first.put(make_record())
            assert get(second, make_record()) is None
        return
    with kind.open() as first:
        assert first.put(make_record(cost=100))
        if isinstance(first, TieredStore):
            assert first.flush(10)
    with kind.open() as second:
        assert get(second, make_record()) == make_record(cost=100)
        assert not second.put(make_record(cost=101))
        assert second.put(make_record(cost=99))


def test_concurrent_puts_leave_the_best(kind: Kind, make_record: Make) -> None:
    """Four stores on one medium (or four threads on one store) offer 80 costs: the smallest is
    held.
    """
    stores = [kind.open() for _ in range(4)] if kind.shared else [kind.open()] * 4
    try:
        with ThreadPoolExecutor(4) as pool:
            costs = range(200, 120, -1)
            list(pool.map(lambda cost: stores[cost % 4].put(make_record(cost=cost)), costs))
        for opened in stores:
            if isinstance(opened, TieredStore):
                assert opened.flush(10)
    finally:
        for opened in stores:
            opened.close()
    if kind.shared:
        with kind.open() as last:
            assert get(last, make_record()) == make_record(cost=121)


def test_oversized_records_are_refused(store: RecordStore, make_record: Make) -> None:
    """A record above the size limit is a UsageError, and nothing is stored."""
    losers = tuple(LoserTiming("\U0001f600" * 128, VariantTiming(i, 2**64 - 1)) for i in range(64))
    versions = tuple((f"{i:04}" + "\U0001f600" * 124, "\U0001f600" * 128) for i in range(32))
    provenance = replace(make_record().provenance, versions=versions)
    huge = replace(make_record(), losers=losers, provenance=provenance)
    with pytest.raises(UsageError, match="bytes"):
        store.put(huge)
    assert get(store, huge) is None


def test_after_close_everything_is_refused(kind: Kind, make_record: Make) -> None:
    """A closed store raises StoreClosedError; closing it again does nothing."""
    opened = kind.open()
    opened.put(make_record())
    opened.close()
    opened.close()
    with pytest.raises(StoreClosedError, match="closed"):
        get(opened, make_record())
    with pytest.raises(StoreClosedError):
        opened.put(make_record())
    with pytest.raises(StoreClosedError):
        list(opened.items())


def test_limits_check_every_axis() -> None:
    """An axis of zero is no launch at all."""
    assert LaunchLimits().allow(AutotuneRecord((1024, 1, 1), 1))
    assert not LaunchLimits().allow(AutotuneRecord((0, 1, 1), 1))
    assert not LaunchLimits().allow(AutotuneRecord((1, 1, 65), 1))
    assert not LaunchLimits().allow(AutotuneRecord((32, 33, 1), 1))
