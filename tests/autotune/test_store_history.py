"""Writers and their server are killed again and again: what was acknowledged is there, or better.

Eight processes share a local file and a server, as eight scans of one machine do. Each notes what
it was told; afterwards the notes are checked against what is held. `make store-history` runs it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import parse_redis_url

PROJECT = Path(__file__).resolve().parents[2]
WRITERS, UPDATES, KEYS = 8, 1000, 40
_LONGEST_S = 900

# Notes each update when it knows what became of it, in one write of a line, and goes on from its
# last note when it is started again. A level is a ratio of a thousandth; no two intervals overlap.
WRITER = """
import os, random, sys
from vyre_dist.autotune.breaker import CircuitBreaker
from vyre_dist.autotune.choice import Choice
from vyre_dist.autotune.gain import Gain
from vyre_dist.autotune.record import StoredRecord
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.sqlite_store import SqliteStore
from vyre_dist.autotune.tiered import TieredStore
from vyre_dist.autotune.urls import parse_redis_url
from vyre_dist.dispatch.keys import AutotuneKey, AutotuneRecord, SpecCacheKey

path, url, notes, me, updates, keys = sys.argv[1:4] + [int(text) for text in sys.argv[4:]]

def record(number, level, choice):
    spec = SpecCacheKey(number, 0, (1, 1, 1), 0)
    gain = Gain(level / 1000, level / 1000 - 1e-4, level / 1000 + 1e-4, 9)
    return StoredRecord(
        AutotuneKey.of(spec, "a"), AutotuneRecord((1, 1, 1), 1), spec, workload="w",
        choice=Choice.of(n=choice), gain=gain)

def level_of(stored):
    return None if stored is None else round(stored.gain.ratio * 1000)

done, best = 0, {}
if os.path.exists(notes):
    with open(notes) as file:
        lines = file.read().splitlines()
    done = len(lines)
    for what, number, level in (line.split() for line in lines):
        if what == "held":
            best[int(number)] = min(int(level), best.get(int(number), 10**9))
log = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
breaker = CircuitBreaker(first_pause_s=0.05, longest_pause_s=0.2)
local = SqliteStore(path, busy_timeout_s=60)
with TieredStore(local, RedisStore(parse_redis_url(url), breaker=breaker), check_s=0.2) as store:
    for update in range(done, updates):
        draw = random.Random(1000 * me + update)
        number = draw.randrange(keys)
        # better ones come up for as long as it lasts
        level = 5000 - update * 4 - draw.randrange(400)
        offered = record(number, level, 10_000 * me + update)
        held = store.put(offered)
        found = level_of(store.get(offered.key, offered.spec, workload="w"))
        at_most = min(level, best.get(number, level)) if held else best.get(number)
        if at_most is not None and (found is None or found > at_most):
            sys.exit(f"update {update} of {number}: {found} is worse than {at_most}")
        if held:
            best[number] = min(level, best.get(number, level))
        elif found is None or found > level:
            sys.exit(f"update {update} of {number}: {level} was refused for {found}")
        os.write(log, f"{'held' if held else 'kept'} {number} {level}\\n".encode())
    if store.stats.errors or store.tiers.local.errors or store.tiers.local.recovered:
        sys.exit(f"{store.stats} {store.tiers}")
"""


def levels(records: list[StoredRecord]) -> dict[int, int]:
    found = {}
    for record in records:
        assert record.spec is not None and record.gain is not None
        found[record.spec.shader_hash] = round(record.gain.ratio * 1000)
    return found


@pytest.mark.nightly
def test_every_acknowledged_record_is_found_again_or_a_better_one(
    redis_factory: Callable[..., Any], tmp_path: Path
) -> None:
    """Eight writers of a thousand updates, each killed time and again, as is the server, which
    forgets all.
    """
    draw = random.Random(25)
    path, folder = tmp_path / "autotune.sqlite3", tmp_path / "server"
    folder.mkdir()
    server = redis_factory(folder)

    def start(me: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "error", "-c", WRITER, str(path), server.url]
        command += [str(tmp_path / f"notes-{me}"), str(me), str(UPDATES), str(KEYS)]
        env = os.environ | {"PYTHONPATH": str(PROJECT)}
        return subprocess.Popen(command, env=env, stderr=subprocess.PIPE)

    writers = {me: start(me) for me in range(WRITERS)}
    killed: Counter[str] = Counter()
    over = threading.Event()
    clock = threading.Timer(_LONGEST_S, over.set)
    clock.start()
    try:
        while writers and not over.is_set():
            me = draw.choice(sorted(writers))
            try:
                error = writers[me].communicate(timeout=draw.uniform(0.1, 0.8))[1]
            except subprocess.TimeoutExpired:
                if draw.random() < 0.2:
                    server.stop()
                    server = redis_factory(folder)
                    killed["server"] += 1
                writers[me].kill()
                writers[me].communicate()
                killed["writer"] += 1
                writers[me] = start(me)
            else:
                assert (writers.pop(me).returncode, error) == (0, b"")
    finally:
        clock.cancel()
        for writer in writers.values():
            writer.kill()
            writer.communicate()
    assert not over.is_set(), f"{_LONGEST_S} s were not enough; killed: {killed}"
    assert killed["writer"] >= 20 and killed["server"] >= 4, killed

    acknowledged: dict[int, int] = {}
    for me in range(WRITERS):
        lines = (tmp_path / f"notes-{me}").read_text().splitlines()
        assert len(lines) == UPDATES
        for what, number, level in (line.split() for line in lines):
            if what == "held":
                best = acknowledged.get(int(number), int(level))
                acknowledged[int(number)] = min(int(level), best)
    assert len(acknowledged) == KEYS
    with SqliteStore(path) as local:
        held = list(local.items())
        assert local.stats.invalid == local.stats.errors == 0
    assert all(levels(held)[number] <= level for number, level in acknowledged.items())
    # and none that nobody offered, or was told to be worse than another
    assert levels(held) == acknowledged
    target = parse_redis_url(server.url)
    with TieredStore(SqliteStore(path), RedisStore(target)) as store:
        assert store.publish([record.place for record in held]) == 0
    with RedisStore(target) as remote:
        assert levels(list(remote.items())) == levels(held)
