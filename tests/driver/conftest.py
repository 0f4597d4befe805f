"""A corpus with its findings, backends that fail, and a check that no process is left."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_pools import (
    PACK,
    Faulty,
    order,
    spec,
)
from recorded_scans import SHARD_BYTES, Scans, opened
from small_corpus import write_small_files

from vyre_dist import Scanner
from vyre_dist.driver import recorded_plan
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.finding import Finding
from vyre_dist.kernels.backends import BACKENDS
from vyre_dist.ledger import run_directory


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty small files, an empty one, a .env, and one that is cut into pieces at every shard size
    used here.
    """
    root = tmp_path_factory.mktemp("corpus")
    write_small_files(root, 40)
    (root / "d0" / "empty").touch()
    (root / "d0" / ".env").write_text("a=1\n")
    (root / "d1" / "long").write_text(
        "".join(f"n{i}={i} AKIA{'C' * 12}{i:04d} text\n" for i in range(1500))
    )
    return root


@pytest.fixture(scope="module")
def expected(corpus: Path) -> list[Finding]:
    """What the library finds, in one process and without splitting anything."""
    return sorted(Scanner(PACK, "cpu").scan_paths(corpus), key=order)


@pytest.fixture(scope="module", params=[True, False])
def scans(request: pytest.FixtureRequest, corpus: Path) -> Scans:
    wanted = spec(shard_bytes=SHARD_BYTES)
    return Scans(ScanEngine(wanted.pack, wanted.config), corpus, request.param)


@pytest.fixture(scope="module")
def whole(scans: Scans, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that came to its end; each entry was committed by itself."""
    place = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_directory, "GROUP_SECONDS", 0.0)
        run = opened(place, resume=False)
        found, outcome = scans.scan(run)
        run.close()
    assert found == scans.scan(None)[0] and outcome.complete
    return place


@pytest.fixture
def exact_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's stamp is never ahead of the clock: what was written just before a scan is old."""
    monkeypatch.setattr(recorded_plan, "CLOCK_STEP_NS", 0)


@pytest.fixture
def no_process_is_left() -> Iterator[None]:
    """After every test here all workers are gone, and so are the descriptors that led to them."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert multiprocessing.active_children() == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # spawn's resource tracker keeps one


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], WorkerSpec]:
    """faulty(fault): a spec whose workers (forked, they know our backends) call `fault` at every
    marker.
    """

    def make(fault: Callable[[], object]) -> WorkerSpec:
        backend = type("FaultyBackend", (Faulty,), {"fault": staticmethod(fault)})
        monkeypatch.setitem(BACKENDS, "faulty", lambda pack, cache, _: backend(pack, cache))
        return spec("faulty")

    return make
