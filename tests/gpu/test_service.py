"""A GPU that one process owns and others use: what comes out is what a backend with a GPU of its
own gives.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import random
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from gpu_device import Gpu
from gpu_services import listening, served, serving
from gpu_support import PATTERNS, random_document

from vyre_dist import RulePack
from vyre_dist.errors import UsageError, WorkerUnusableError
from vyre_dist.extract import Window
from vyre_dist.extract.window import whole
from vyre_dist.kernels import BackendOptions, DispatchOutcome, open_backend
from vyre_dist.kernels.cuda.backend import CudaBackend
from vyre_dist.kernels.cuda.device import DeviceUnusableError
from vyre_dist.kernels.cuda.device_pack import DevicePack
from vyre_dist.kernels.cuda.errors import DeviceMemoryError
from vyre_dist.kernels.cuda.faster import BASELINE
from vyre_dist.kernels.cuda.host_memory import HostRegistry
from vyre_dist.kernels.cuda.remote_lane import RemoteLane
from vyre_dist.kernels.cuda.service import GpuService, _Client, _Offer
from vyre_dist.program import ArtifactCache, compile_pack

PACK = RulePack.from_patterns({f"r{i}": pattern for i, pattern in enumerate(PATTERNS)})
COMPILED = compile_pack(PACK.data)
PATIENCE = 30.0


def remote(address: str) -> CudaBackend:
    """A backend that has no GPU of its own."""
    return CudaBackend(COMPILED, ArtifactCache(None), RemoteLane(address))


def batch(rng: random.Random, count: int) -> list[Window]:
    """Whole documents, and parts of some."""
    texts = [random_document(rng, 60) for _ in range(count)]
    parts = [
        Window(text, 5, 1, max(1, len(text) - 9), False) for text in texts[::3] if len(text) > 20
    ]
    return [whole(text) for text in texts] + parts


def test_several_clients(gpu: Gpu, tmp_path: Path) -> None:
    """Clients in turn, with batches that outgrow their memory and on both paths, get what a backend
    of its own gives.
    """
    del gpu
    rng = random.Random(31)
    device_pack = DevicePack(COMPILED, ArtifactCache(None))
    own = CudaBackend(COMPILED, ArtifactCache(None), device_pack.lane())
    spans = 0
    with served(device_pack, tmp_path) as address:
        clients = [remote(address) for _ in range(3)]
        for turn in range(6):
            # the first are empty: there is no memory yet that they would lie in
            client, windows = clients[turn % 3], batch(rng, 4 * turn) or [whole(b"")]
            want = own.run_fused(windows)
            assert client.run_fused(windows) == want
            serial = client.confirm(windows, client.run_prefilter(windows))
            assert serial == replace(want, report=None)
            spans += sum(map(len, want.spans.values()))
    assert spans > 100


def test_many_at_once(gpu: Gpu, tmp_path: Path) -> None:
    """Clients that all wait at the same time get each their own answer."""
    del gpu
    device_pack = DevicePack(COMPILED, ArtifactCache(None))
    own = CudaBackend(COMPILED, ArtifactCache(None), device_pack.lane())
    batches = [batch(random.Random(seed), 4) for seed in range(5)]
    want = [own.run_fused(windows) for windows in batches]
    got: list[list[DispatchOutcome]] = [[] for _ in batches]
    with served(device_pack, tmp_path) as address:

        def run(number: int) -> None:
            client = remote(address)
            for _ in range(3):
                got[number].append(client.run_fused(batches[number]))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(batches))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == [[outcome] * 3 for outcome in want]


def test_a_client_that_leaves(gpu: Gpu, tmp_path: Path) -> None:
    """One that goes while its arena is being scanned costs the others nothing."""
    del gpu
    windows = batch(random.Random(5), 6)
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        want = remote(address).run_fused(windows)
        gone = remote(address)
        gone.lane._send_arena("fused", gone._arena_of(windows))  # type: ignore[attr-defined]
        gone.lane._connection.close()  # type: ignore[attr-defined]
        assert remote(address).run_fused(windows) == want


def test_a_service_that_ends(gpu: Gpu, tmp_path: Path) -> None:
    """A client says that it is of no use without its GPU, whatever it asks for next."""
    del gpu
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        client = remote(address)
        client.run_fused([whole(b"token=deadbeef")])
    with pytest.raises(WorkerUnusableError, match="owns the GPU is gone"):
        client.run_fused([whole(b"token=deadbeef")])
    with pytest.raises(WorkerUnusableError, match="owns the GPU is gone"):
        remote(address).run_fused([whole(b"token=deadbeef")])
    os.unlink(address)


def test_errors_come_back(emulated_gpu: Gpu, tmp_path: Path) -> None:
    """A window that is too much for the device is the client's error, and the next batch goes
    well.
    """
    assert emulated_gpu.emulated is not None
    memory = emulated_gpu.emulated.memory
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        client = remote(address)
        good = [whole(b"token=deadbeef")]
        want = client.run_fused(good)
        gc.collect()  # what other tests have left would make room when it goes
        whole_memory, memory.capacity = memory.capacity, memory.used + (1 << 20)
        try:
            large = [whole(b"." * (16 << 20))]
            for run in (
                lambda: client.run_fused(large),
                lambda: client.confirm(large, client.run_prefilter(large)),
            ):
                with pytest.raises(DeviceMemoryError, match="of 16 MiB") as caught:
                    run()
                assert caught.value.needed == 16 << 20
        finally:
            memory.capacity = whole_memory
        assert client.run_fused(good) == want


def test_an_old_ticket(gpu: Gpu) -> None:
    """What was listed before another dispatch is not confirmed in its place."""
    del gpu
    backend = CudaBackend(COMPILED, ArtifactCache(None))
    windows = [whole(b"token=deadbeef")]
    listed = backend.run_prefilter(windows)
    backend.run_fused(windows)
    with pytest.raises(UsageError, match="another dispatch since"):
        backend.confirm(windows, listed)


def test_until_the_gpu_is_ready(gpu: Gpu, tmp_path: Path) -> None:
    """The processors do the work of the first dispatches, on both paths; once it is ready, the GPU
    does.
    """
    del gpu
    windows = batch(random.Random(8), 6)
    with listening(tmp_path) as (address, listener):
        backend = open_backend("cuda", COMPILED, options=BackendOptions(gpu=address))
        assert backend.most_bytes > backend.dispatch_bytes
        cpu = open_backend("cpu", COMPILED)
        for _ in range(2):
            assert (backend.warm, backend.dispatch_bytes) == (False, cpu.dispatch_bytes)
            assert backend.run_fused(windows) == cpu.run_fused(windows)
            assert backend.programs == cpu.programs
        listed = backend.run_prefilter(windows)
        device_pack = DevicePack(COMPILED, ArtifactCache(None))
        with serving(device_pack, listener):
            end = time.monotonic() + PATIENCE
            while not backend.warm:
                assert time.monotonic() < end
                time.sleep(0.001)
            confirmed = backend.confirm(windows, listed)
            assert confirmed == cpu.confirm(windows, cpu.run_prefilter(windows))
            assert confirmed.backend == "cpu"
            own = CudaBackend(COMPILED, ArtifactCache(None), device_pack.lane())
            assert backend.dispatch_bytes == backend.most_bytes
            assert backend.run_fused(windows) == own.run_fused(windows)
            assert own.run_fused(windows).backend == "cuda"
            tunables = device_pack.programs.tunables
            assert backend.programs == own.programs
            assert backend.programs.fused.tunables == tunables
            facts = backend.facts
            assert facts is not None and facts.fused == own.programs.fused.spec_key
            assert facts.adapter == device_pack.device.adapter_id
        # its process is gone: the processors go on
        assert backend.run_fused(windows) == cpu.run_fused(windows)
        assert backend.confirm(windows, backend.run_prefilter(windows)).backend == "cpu"


def test_a_gpu_that_is_compared_with_the_processor(gpu: Gpu, tmp_path: Path) -> None:
    """`auto` begins on the processor, tries the GPU with little, and then knows; all find the
    same.
    """
    del gpu
    windows = batch(random.Random(8), 6)
    device_pack = DevicePack(COMPILED, ArtifactCache(None))
    with served(device_pack, tmp_path) as address:
        backend = open_backend("auto", COMPILED, options=BackendOptions(gpu=address))
        assert backend.warm
        found = open_backend("cpu", COMPILED).run_fused(windows).spans
        want = {w: sorted(spans) for w, spans in found.items()}
        by: list[str] = []
        while len(set(by)) < 2 or (by[-1] == "cuda" and len(by) < BASELINE + 8):
            outcome = backend.run_fused(windows)
            assert {w: sorted(spans) for w, spans in outcome.spans.items()} == want
            by.append(outcome.backend)
            assert len(by) < 1000
            if len(by) in (BASELINE, BASELINE + 1):
                assert backend.dispatch_bytes == 8 << 20
        assert by[: BASELINE + 3] == ["cpu"] * BASELINE + ["cuda"] * 3


def test_while_memory_is_registered(
    emulated_gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processors go on until the GPU's process knows the memory that the documents are read
    into.
    """
    del emulated_gpu
    asked, go_on = threading.Event(), threading.Event()
    register = HostRegistry.register

    def held_up(self: HostRegistry, array: Any) -> bool:
        asked.set()
        assert go_on.wait(PATIENCE)
        return register(self, array)

    monkeypatch.setattr(HostRegistry, "register", held_up)
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        backend = open_backend("cuda", COMPILED, options=BackendOptions(gpu=address))
        memory = backend.read_memory(1 << 16)
        text = b"token=deadbeef"
        memory[: len(text)] = text
        windows = [whole(text)._replace(data=memory[: len(text)], position=0)]
        try:
            while not asked.wait(0.001):
                assert not backend.warm
            for _ in range(3):
                assert not backend.warm
                assert backend.run_fused(windows).spans
        finally:
            go_on.set()
        end = time.monotonic() + PATIENCE
        while not backend.warm:
            assert time.monotonic() < end
        assert backend.run_fused(windows).spans


def test_memory_is_registered_between_arenas(
    emulated_gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arenas come first, but nobody waits longer for memory than all the others' turns take."""
    del emulated_gpu
    done: list[str] = []
    monkeypatch.setattr(GpuService, "_finish", lambda *_: done.append("arena"))
    monkeypatch.setattr(GpuService, "_map", lambda *_: done.append("room"))
    lane = DevicePack(COMPILED, ArtifactCache(None)).lane()
    with listening(tmp_path) as (_, listener), contextlib.ExitStack() as stack:
        ends = [stack.enter_context(end) for end in multiprocessing.Pipe()]
        service = GpuService(listener, ends[0], lambda: lane)
        clients = [_Client(end, lane) for end in ends]
        service._clients += clients
        service._offered += [_Offer(clients[0], "read", 1, -1)] * 3
        service._started += clients * 2
        for _ in range(8):
            service._work()
        assert done == ["arena"] * 2 + ["room"] + ["arena"] * 2 + ["room", "room"]
        service._selector.close()


def test_memory_that_can_not_be_mapped(emulated_gpu: Gpu, tmp_path: Path) -> None:
    """A client that offers it is let go, and the others are not: it says itself that it is of no
    use.
    """
    del emulated_gpu
    windows = [whole(b"token=deadbeef")]
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        good, bad = remote(address), remote(address)
        want = good.run_fused(windows)
        arena = bad._arena_of(windows)
        pipe = os.pipe()
        os.dup2(pipe[0], bad.lane._rooms["copied"].file)  # type: ignore[attr-defined]
        for end in pipe:
            os.close(end)
        with pytest.raises(WorkerUnusableError, match="owns the GPU is gone"):
            bad.lane._send_arena("fused", arena)  # type: ignore[attr-defined]
        assert good.run_fused(windows) == want


@pytest.mark.parametrize("shared", [False, True])
def test_documents_that_were_read_into_its_memory(gpu: Gpu, tmp_path: Path, shared: bool) -> None:
    """They are scanned where they lie, whatever lies between them; with one that lies elsewhere all
    are packed.
    """
    del gpu
    rng = random.Random(12)
    device_pack = DevicePack(COMPILED, ArtifactCache(None))
    own = CudaBackend(COMPILED, ArtifactCache(None), device_pack.lane())
    with served(device_pack, tmp_path) as address:
        backend = (
            remote(address)
            if shared
            else CudaBackend(COMPILED, ArtifactCache(None), device_pack.lane())
        )
        memory = backend.read_memory(1 << 16)
        for elsewhere in (False, True, False):
            memory[:] = (b"token=deadbeef my.key = " * (1 + (1 << 16) // 24))[: 1 << 16]
            windows, there, at = batch(rng, 9), [], 0
            for number, window in enumerate(windows):
                size = len(window.data)
                if elsewhere and number == 4:
                    there.append(window)
                    continue
                memory[at : at + size] = window.data
                there.append(window._replace(data=memory[at : at + size], position=at))
                at += -(-size // 16) * 16 + rng.choice((0, 16, 32))
            want = own.run_fused(windows)
            got = backend.run_fused(there)
            assert (got.spans, got.groups) == (want.spans, want.groups)
            assert backend.confirm(there, backend.run_prefilter(there)).spans == want.spans
            assert sum(map(len, want.spans.values())) > 1


def test_a_client_that_comes_when_the_device_is_full(emulated_gpu: Gpu, tmp_path: Path) -> None:
    """Those who are there give way, as it does for them, and notice nothing."""
    assert emulated_gpu.emulated is not None
    memory = emulated_gpu.emulated.memory
    windows = [whole(b"token=deadbeef")]
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        first, second = remote(address), remote(address)
        want = first.run_fused(windows)
        capacity, memory.capacity = memory.capacity, memory.used
        try:
            for client in (second, first, second):
                assert client.run_fused(windows) == want
        finally:
            memory.capacity = capacity


def test_memory_that_can_not_be_had(
    emulated_gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch for which a client gets no memory is an error, and what it had before is as it
    was.
    """
    del emulated_gpu
    small, large = [whole(b"token=deadbeef")], [whole(b"token=deadbeef " * 10_000)]
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        client = remote(address)
        want = client.run_fused(small)
        with monkeypatch.context() as patches:
            patches.setattr(os, "ftruncate", _no_space)
            for _ in range(2):
                with pytest.raises(OSError, match="no space"):
                    client.run_fused(large)
        assert client.run_fused(small) == want
        assert len(client.run_fused(large).spans[0]) > len(want.spans[0])


def _no_space(_file: int, _size: int) -> None:
    raise OSError(28, "no space")


def test_an_answer_out_of_turn(emulated_gpu: Gpu, tmp_path: Path) -> None:
    """A client that would take one answer for another is of no use any more."""
    del emulated_gpu
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        client = remote(address)
        client.lane._send_arena("list", client._arena_of([whole(b"token=deadbeef")]))  # type: ignore[attr-defined]
        with pytest.raises(WorkerUnusableError, match="answered 'listed' where 'rows' was due"):
            client.lane._rows()  # type: ignore[attr-defined]


def test_a_pack_for_which_there_is_no_room(emulated_gpu: Gpu) -> None:
    """The error says what did not fit, and what to do."""
    assert emulated_gpu.emulated is not None
    memory = emulated_gpu.emulated.memory
    capacity, memory.capacity = memory.capacity, memory.used
    try:
        with pytest.raises(
            DeviceUnusableError, match=r"too full for a pack's tables of \d+ KiB; free some"
        ):
            DevicePack(COMPILED, ArtifactCache(None))
    finally:
        memory.capacity = capacity


def test_clients_that_are_done_give_way(emulated_gpu: Gpu, tmp_path: Path) -> None:
    """What one client's lane grew to takes no other client's room, on either path."""
    assert emulated_gpu.emulated is not None
    memory = emulated_gpu.emulated.memory
    windows = [whole(b"token=deadbeef " * 5_000)]
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        clients = [remote(address) for _ in range(3)]
        before = memory.used
        want = clients[0].run_fused(windows)
        whole_memory, memory.capacity = memory.capacity, memory.used + (memory.used - before) // 2
        try:
            for client in clients[1:]:
                assert client.run_fused(windows) == want
            listed = clients[0].run_prefilter(windows)
            assert clients[0].confirm(windows, listed).spans == want.spans
        finally:
            memory.capacity = whole_memory


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_answer_that_breaks_off(
    gpu: Gpu, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that runs out in the middle of an answer is that batch's error; the next answer is the
    next question's.
    """
    del gpu
    batches = [batch(random.Random(seed), 6) for seed in range(4)]
    device_pack = DevicePack(COMPILED, ArtifactCache(None))
    own = CudaBackend(COMPILED, ArtifactCache(None), device_pack.lane())
    want = [own.run_fused(windows) for windows in batches]
    client_thread, real, calls = threading.current_thread(), Connection.recv_bytes, [0]

    def breaks_off(connection: Connection, *arguments: Any) -> bytes:
        if threading.current_thread() is client_thread:
            calls[0] += 1
            if calls[0] == at:
                raise MemoryError("for once")
        return real(connection, *arguments)

    with served(device_pack, tmp_path) as address:
        client = remote(address)
        assert client.run_fused(batches[0]) == want[0]
        monkeypatch.setattr(Connection, "recv_bytes", breaks_off)
        with pytest.raises(MemoryError, match="for once"):
            client.run_fused(batches[1])
        assert [client.run_fused(windows) for windows in batches] == want
        listed = client.run_prefilter(batches[2])
        assert client.confirm(batches[2], listed).spans == want[2].spans


def test_a_client_that_confirms_nothing(gpu: Gpu, tmp_path: Path) -> None:
    """One that asks for the second half of what it has not begun is let go of; the others are
    served.
    """
    del gpu
    windows = [whole(b"token=deadbeef")]
    with served(DevicePack(COMPILED, ArtifactCache(None)), tmp_path) as address:
        want = remote(address).run_fused(windows)
        with pytest.raises(WorkerUnusableError, match="owns the GPU is gone"):
            RemoteLane(address).confirm()
        assert remote(address).run_fused(windows) == want
