"""Addresses of clusters: who listens there, whose they are, and what can't fit is said."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
import ray

from vyre_dist.actors.cluster import Capacity, ClusterError, InfeasibleError, connect


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_job_servers_address_is_no_cluster(monkeypatch, where: str) -> None:
    """http:// is for submitting jobs, given directly or left in RAY_ADDRESS; the message says what
    to do.
    """
    address = "http://head.example:8265"
    if where == "environment":
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ClusterError, match="vyre-dist submit") as caught:
        connect(
            address if where == "argument" else None,
            local_cpus=1,
            local_gpus=0,
            runtime_env=None,
            log_to_driver=False,
        )
    assert caught.value.address == address


@pytest.fixture
def init(monkeypatch) -> list[object]:
    """The addresses that Ray is asked to connect to; it does not."""
    asked: list[object] = []

    def ask(address: str, **_: object) -> None:
        asked.append(address)
        raise ConnectionError("not here")

    monkeypatch.setattr(ray, "init", ask)
    return asked


@contextlib.contextmanager
def port_of(kind: str, host: str) -> Iterator[int]:
    """A port where somebody listens, or nobody does, or does not get round to answering."""
    with (
        socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server,
        contextlib.ExitStack() as others,
    ):
        server.bind((host, 0))
        port = server.getsockname()[1]
        if kind != "nobody":
            server.listen(0)
        if kind == "hung":
            # who comes when the queue is full is not refused: he waits
            for _ in range(3):
                other = others.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex((host, port))
            time.sleep(0.1)
        yield port


def join(address: str) -> ClusterError:
    with pytest.raises(ClusterError) as caught:
        connect(address, local_cpus=1, local_gpus=0, runtime_env=None, log_to_driver=False)
    assert caught.value.address == address
    return caught.value


@pytest.mark.parametrize("kind", ["nobody", "hung"])
def test_an_address_where_nobody_answers_is_told(
    monkeypatch, init: list[object], kind: str
) -> None:
    """Ray, which would not stop trying, is not asked; the message says what to look at, in the time
    it may take.
    """
    monkeypatch.setattr("vyre_dist.actors.cluster._LISTENER_SECONDS", 0.5)
    with port_of(kind, "127.0.0.1") as port:
        began = time.monotonic()
        assert "ray start --head" in str(join(f"127.0.0.1:{port}"))
        assert time.monotonic() - began < 5
    assert init == []


@pytest.mark.parametrize("host", ["head..cluster", ".x", "h" * 70])
def test_a_name_that_is_none_is_told(init: list[object], host: str) -> None:
    """What can't be a host's name is one at which nobody answers."""
    assert "nobody answers there" in str(join(f"{host}:6379"))
    assert init == []


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "[::1]:{}"])
def test_an_address_where_somebody_listens_is_rays(init: list[object], address: str) -> None:
    """What answers is Ray's to judge, in either notation."""
    try:
        with port_of("somebody", address[:-3].strip("[]")) as port:
            join(address.format(port))
    except OSError as error:
        pytest.skip(f"this machine has no such address: {error}")
    assert init == [address.format(port)]


@pytest.mark.parametrize(
    "address", ["auto", "ray://127.0.0.1:1", "127.0.0.1", "127.0.0.1:x", "[::1", ":1"]
)
def test_what_names_no_port_is_left_to_ray(monkeypatch, init: list[object], address: str) -> None:
    """Ray finds clusters by itself, has its own time-out for its clients, and says what is no
    address.
    """
    # one that another test has started, perhaps
    monkeypatch.setattr("vyre_dist.actors.cluster._this_machines", lambda: None)
    join(address)
    assert init == [address]


def test_infeasible_says_all_of_it() -> None:
    """The message names what was asked, what there is and the ways out; the numbers are
    attributes.
    """
    error = InfeasibleError(9, Capacity(3, 4.0, 16.0, 4), {"GPU": 1, "CPU": 1})
    assert (error.asked, error.capacity, error.per_worker) == (9, 4, {"GPU": 1, "CPU": 1})
    for part in (
        "9 workers",
        "1 GPU and 1 CPU",
        "3 nodes",
        "4 GPU and 16 CPU",
        "--workers",
        "--backend cpu",
    ):
        assert part in str(error)
