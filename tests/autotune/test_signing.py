"""Signed records: what a shared store holds is believed only with our key."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
import redis

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.codec import encode
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.signing import KEY_FILE_VARIABLE, KEY_VARIABLE, key_from, sealed
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.urls import open_store, parse_redis_url
from vyre_dist.secret_key import SecretKey, SecretKeyError

Make = Callable[..., StoredRecord]

OURS, THEIRS = SecretKey(b"k" * 32), SecretKey(b"x" * 32)


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def signing(redis_url: str) -> Iterator[RedisStore]:
    with RedisStore(parse_redis_url(redis_url), key=OURS) as store:
        yield store


def get(store: RedisStore, record: StoredRecord) -> StoredRecord | None:
    assert record.spec is not None
    return store.get(record.key, record.spec)


def test_who_has_the_key_reads_what_was_signed(
    signing: RedisStore, redis_url: str, make_record: Make
) -> None:
    """Better ones replace it; those with another key have a miss."""
    assert signing.put(make_record(cost=9))
    assert signing.put(make_record(cost=5))
    assert not signing.put(make_record(cost=7))
    assert get(signing, make_record()) == make_record(cost=5)
    assert list(signing.items()) == [make_record(cost=5)]
    with RedisStore(parse_redis_url(redis_url), key=THEIRS) as other:
        assert get(other, make_record()) is None
        assert other.stats.forged == 1
        assert "signed with another key" in other.trouble


@pytest.mark.parametrize(
    ("how", "counted"),
    [
        ("unsigned", "unsigned"),
        ("another key's", "forged"),
        ("changed", "forged"),
        ("cut", "forged"),
        ("only the mark", "forged"),
        ("of another place", "mismatched"),
        ("of nothing", "out_of_range"),
    ],
)
def test_what_was_not_signed_by_us_is_a_miss_and_gives_way(
    signing: RedisStore, raw: redis.Redis, make_record: Make, how: str, counted: str
) -> None:
    """Counted, each by its reason; however good it says to be."""
    mine = make_record(cost=9)
    good = encode(make_record(cost=1))
    gain: list[float | int] = [0.0, 0.0, 0.0, 9]
    planted = {
        "unsigned": good,
        "another key's": sealed(good, THEIRS),
        "changed": sealed(good, OURS)[:-1] + b"\x00",
        "cut": sealed(good, OURS)[:-1],
        "only the mark": sealed(b"", OURS)[:20],
        "of another place": sealed(encode(make_record(2)), OURS),
        "of nothing": sealed(msgpack.packb(msgpack.unpackb(good) | {"gain": gain}), OURS),
    }[how]
    raw.set(scripts.record_key(mine.place), planted)
    assert get(signing, mine) is None
    assert getattr(signing.stats, counted) == 1
    assert signing.put(mine)
    assert get(signing, mine) == mine


def test_without_a_key_signed_records_are_read_and_left(
    signing: RedisStore, redis_url: str, make_record: Make
) -> None:
    """What would replace them would be nothing to those who have the key."""
    assert signing.put(make_record(cost=9))
    with RedisStore(parse_redis_url(redis_url)) as plain:
        assert get(plain, make_record()) == make_record(cost=9)
        assert not plain.put(make_record(cost=5))
        assert plain.put(make_record(2))
    assert get(signing, make_record()) == make_record(cost=9)
    assert get(signing, make_record(2)) is None


def test_the_largest_record_is_not_too_large_once_signed(
    signing: RedisStore, make_record: Make
) -> None:
    """The signature is beside what a record may take."""
    room = 64 * 1024 - len(encode(make_record(extra=(("z", msgpack.packb(b"")),)))) - 1
    large = make_record(extra=(("z", msgpack.packb(b"x" * room)),))
    assert 64 * 1024 - 2 <= len(encode(large)) <= 64 * 1024
    assert signing.put(large)
    assert get(signing, large) == large


def test_the_local_file_holds_unsigned_records(
    redis_url: str, make_record: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came signed from the server is kept there without; the key is that of the
    environment.
    """
    monkeypatch.setenv(KEY_VARIABLE, "k" * 32)
    with open_store(redis_url, local_path=tmp_path / "a") as store:
        assert store.put(make_record(gain=Gain(0.9, 0.8, 1, 9)))
    with RedisStore(parse_redis_url(redis_url), key=OURS) as remote:
        assert len(list(remote.items())) == 1
    with SqliteStore(tmp_path / "a") as local:
        assert len(list(local.items())) == 1


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    """The file first; nothing is no key, and a bad one says what is wrong, without the key."""
    path = tmp_path / "key"
    path.write_bytes(b"f" * 32 + b"\n")
    os.chmod(path, 0o600)
    both = {KEY_FILE_VARIABLE: str(path), KEY_VARIABLE: "e" * 32}
    found = key_from(both)
    assert found is not None and found.fingerprint == SecretKey(b"f" * 32).fingerprint
    found = key_from({KEY_VARIABLE: "e" * 32})
    assert found is not None and found.fingerprint == SecretKey(b"e" * 32).fingerprint
    assert key_from({}) is None and key_from({KEY_VARIABLE: ""}) is None
    with pytest.raises(SecretKeyError, match=f"{KEY_VARIABLE}: it has 5 bytes"):
        key_from({KEY_VARIABLE: "short"})
    os.chmod(path, 0o644)
    with pytest.raises(SecretKeyError, match="others may read"):
        key_from(both)
