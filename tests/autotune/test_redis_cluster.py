"""RedisStore on a real cluster of three nodes: redirections, a slot that moves, what is heard."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from vyre_dist.autotune import redis_scripts as scripts
from vyre_dist.autotune.record import Place, StoredRecord
from vyre_dist.autotune.redis_follow import follow
from vyre_dist.autotune.redis_store import RedisStore
from vyre_dist.autotune.urls import parse_redis_url

Make = Callable[..., StoredRecord]
SLOTS = 16384
_NODES = 3
# A node talks to the others on the port that is so much higher.
_BUS = 10_000


def eventually(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    """Whether the condition, about other processes, comes true in time."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


@dataclass
class Node:
    """One server of the cluster."""

    port: int
    client: redis.Redis

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def run(self, *command: str | int) -> Any:
        return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    @property
    def name(self) -> str:
        found: str = self.run("CLUSTER", "MYID").decode()
        return found

    def is_ok(self) -> bool:
        told = self.run("CLUSTER", "INFO")
        state = (
            told
            if isinstance(told, dict)
            else dict(line.split(":") for line in told.decode().split())
        )
        known = int(state["cluster_known_nodes"])
        return state["cluster_state"] == "ok" and known == _NODES


@dataclass
class Cluster:
    """Three nodes; `owner` has the slot of all our keys, and the others have not."""

    owner: Node
    others: list[Node]
    slot: int


def free_ports() -> Iterator[int]:
    """Ports that nobody listens on, nor on the one of the bus."""
    for port in random.sample(range(15_000, 30_000), 200):
        try:
            for number in (port, port + _BUS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        yield port


@pytest.fixture(scope="module")
def cluster(
    start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    ports = free_ports()
    nodes: list[Node] = []
    with ExitStack() as stack:
        for _ in range(_NODES):
            port = next(ports)
            # on its socket as well; the later option counts
            options = ("--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes")
            server = start_server(tmp_path_factory.mktemp("n"), options=options)
            stack.callback(server.stop)
            nodes.append(Node(port, stack.enter_context(redis.Redis(port=port))))
        step = -(-SLOTS // _NODES)
        for number, node in enumerate(nodes):
            node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.run("CLUSTER", "ADDSLOTS", *range(SLOTS)[number * step : (number + 1) * step])
            node.run("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        assert eventually(lambda: all(node.is_ok() for node in nodes))
        slot = nodes[0].run("CLUSTER", "KEYSLOT", scripts.REVISION_KEY)
        owner = nodes[slot // step]
        yield Cluster(owner, [node for node in nodes if node is not owner], slot)


@pytest.fixture(autouse=True)
def emptied(cluster: Cluster) -> Iterator[None]:
    yield
    for node in (cluster.owner, *cluster.others):
        node.run("FLUSHALL")


def get(store: RedisStore, record: StoredRecord) -> StoredRecord | None:
    assert record.spec is not None
    return store.get(record.key, record.spec)


def test_any_node_leads_to_the_records(cluster: Cluster, make_record: Make) -> None:
    """Puts, look-ups, leases and the list, asked of a node that has none of our keys."""
    with (
        RedisStore(parse_redis_url(cluster.others[0].url)) as first,
        RedisStore(parse_redis_url(cluster.others[1].url)) as second,
    ):
        assert first.put(make_record(1))
        assert get(second, make_record(1)) == make_record(1)
        assert list(RedisStore(parse_redis_url(cluster.others[0].url)).items()) == [make_record(1)]
        lease = second.lease("tune", 60)
        assert lease is not None and first.lease("tune", 60) is None
        assert second.put_leased(make_record(1, cost=9), lease)
        # one redirection each: then the right node is known
        assert (first.stats.redirected, second.stats.redirected) == (1, 1)
        assert first.stats.errors == second.stats.errors == 0


def test_what_is_published_is_heard_at_any_node(cluster: Cluster, make_record: Make) -> None:
    """Of the change itself, not only of the revision that has grown."""
    told, stop = threading.Semaphore(0), threading.Event()
    heard: list[Place | None] = []

    def on_change(place: Place | None) -> None:
        heard.append(place)
        told.release()

    with RedisStore(parse_redis_url(cluster.others[0].url)) as store:
        thread = threading.Thread(target=follow, args=(store, stop, on_change))
        thread.start()
        try:
            assert told.acquire(timeout=10)
            with RedisStore(parse_redis_url(cluster.others[1].url)) as writer:
                assert writer.put(make_record())
            # what an earlier test published may still be on its way between the nodes
            while make_record().place not in heard:
                assert told.acquire(timeout=10)
        finally:
            stop.set()
            thread.join()
    assert heard[0] is None


def test_a_slot_that_moves_takes_the_store_with_it(cluster: Cluster, make_record: Make) -> None:
    """While it moves, keys that have moved are asked of their new node, each by itself; then
    all.
    """
    old, new = cluster.owner, cluster.others[0]
    name = scripts.record_key(make_record(1).place)
    with RedisStore(parse_redis_url(old.url)) as store:
        assert store.put(make_record(1)) and store.put(make_record(2))
        new.run("CLUSTER", "SETSLOT", cluster.slot, "IMPORTING", old.name)
        old.run("CLUSTER", "SETSLOT", cluster.slot, "MIGRATING", new.name)
        try:
            old.run("MIGRATE", "127.0.0.1", new.port, name, 0, 5000)
            assert get(store, make_record(1)) == make_record(1)
            assert store.stats.redirected == 1
            assert get(store, make_record(2)) == make_record(2)
            assert store.stats.redirected == 1
            # its keys are at both: nothing can be said of them together, and nothing is lost
            assert not store.put(make_record(1, cost=5))
            assert store.stats.errors == 1 and "TRYAGAIN" in store.trouble
            for key in old.run("CLUSTER", "GETKEYSINSLOT", cluster.slot, 100):
                old.run("MIGRATE", "127.0.0.1", new.port, key, 0, 5000)
            assert store.put(make_record(1, cost=5))
        finally:
            for node in (new, old, cluster.others[1]):
                node.run("CLUSTER", "SETSLOT", cluster.slot, "NODE", new.name)
        cluster.owner, cluster.others[0] = new, old
        assert get(store, make_record(1)) == make_record(1, cost=5)
        assert get(store, make_record(2)) == make_record(2)
        assert store.put(make_record(3))
        assert store.stats.errors == 1
