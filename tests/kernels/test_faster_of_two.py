"""Which of two backends a worker's next dispatch goes to: by counted, made-up seconds."""

from __future__ import annotations

import pytest

from vyre_dist.kernels.cuda.faster import BASELINE, FasterOfTwo

CPU_BYTES, GPU_BYTES = 2 << 20, 32 << 20


class Worker:
    """A worker whose dispatches take made-up times: `busy` seconds of processor around each, and
    a wait in those to the GPU.
    """

    def __init__(self) -> None:
        self.wall = self.processor = 0.0
        self.choice = FasterOfTwo(lambda: self.wall, lambda: self.processor)
        self.bytes = {True: 0, False: 0}
        self.turns: list[bool] = []

    def dispatch(self, cpu_rate: float, gpu_rate: float, around: float = 0.0) -> bool:
        """One dispatch; whether it went to the GPU."""
        on_gpu = self.choice.gpu_next
        size = GPU_BYTES if on_gpu else CPU_BYTES
        self.wall += around * size
        self.processor += around * size
        self.wall += 7.0  # nobody had a task for it
        with self.choice.dispatch(on_gpu, size):
            self.wall += size / (gpu_rate if on_gpu else cpu_rate)
            self.processor += 0.0 if on_gpu else size / cpu_rate
        self.bytes[on_gpu] += size
        self.turns.append(on_gpu)
        return on_gpu


def test_the_processor_begins() -> None:
    """A GPU that is ready at once is tried after some dispatches."""
    worker = Worker()
    assert [worker.dispatch(1e9, 2e9) for _ in range(BASELINE + 1)] == [False] * BASELINE + [True]
    assert worker.choice.trying
    for _ in range(9):
        worker.dispatch(1e9, 2e9)
    assert worker.choice.gpu_next and not worker.choice.trying


def test_large_dispatches_are_known_by_their_time() -> None:
    """A dozen pieces of 64 MiB would take seconds; the first one says nothing, as it is cold."""
    worker = Worker()
    turns = []
    for rate in (1e5, 2e7, 2e7, 2e7):
        turns.append(worker.dispatch(rate, 1e9))
    assert turns == [False, False, False, True]


def test_a_gpu_that_all_workers_come_to_at_once() -> None:
    """They wait for each other's memory at first: the best of a worker's dispatches counts."""
    worker = Worker()
    for _ in range(BASELINE):
        worker.dispatch(1e9, 1e9)
    for rate in (1e7, 1e8, 1e8, 2e9):
        assert worker.dispatch(1e9, rate)
    assert worker.choice.gpu_next and not worker.choice.trying
    assert worker.dispatch(1e9, 2e9)


@pytest.mark.parametrize(("cpu", "gpu"), [(1e8, 1e9), (1e9, 1e8), (1e8, 1.5e8), (1.5e8, 1e8)])
@pytest.mark.parametrize("around", [0.0, 1e-9])
def test_the_faster_one_does_nearly_all(cpu: float, gpu: float, around: float) -> None:
    """The other one is asked again now and then, for a thirtieth of the time."""
    worker = Worker()
    for _ in range(200):
        worker.dispatch(cpu, gpu, around)
    worker.bytes = {True: 0, False: 0}
    for _ in range(10_000):
        worker.dispatch(cpu, gpu, around)
    faster = gpu > cpu
    assert worker.bytes[faster] / sum(worker.bytes.values()) > 0.9
    seconds = {True: worker.bytes[True] / gpu, False: worker.bytes[False] / cpu}
    assert seconds[not faster] / sum(seconds.values()) < 0.06
    assert (not faster) in worker.turns[200:]
    assert not (worker.choice.trying and faster)


def test_one_that_becomes_slower() -> None:
    """A GPU that others come to use, too, is left, and taken again when it is free."""
    worker = Worker()
    for _ in range(300):
        worker.dispatch(2e8, 1e9)
    assert sum(worker.turns[-20:]) > 15
    for _ in range(300):
        worker.dispatch(2e8, 5e7)
    assert sum(worker.turns[-20:]) < 5
    for _ in range(3000):
        worker.dispatch(2e8, 1e9)
    assert sum(worker.turns[-20:]) > 15


def test_work_around_dispatches_counts() -> None:
    """Of two that take as long themselves the one is faster that saves work around it."""
    worker = Worker()
    for _ in range(600):
        on_gpu = worker.choice.gpu_next
        worker.dispatch(1e9, 1e9, around=0.0 if on_gpu else 1e-9)
    assert sum(worker.turns[-20:]) > 15


def test_both_halves_of_a_serial_dispatch_count() -> None:
    """What the first half waits is the dispatch's, too."""
    worker = Worker()
    for _ in range(600):
        if worker.choice.gpu_next:
            with worker.choice.part():
                worker.wall += GPU_BYTES / 1e8
        worker.dispatch(2e8, 1e12)
    assert sum(worker.turns[-20:]) < 5


def test_a_dispatch_that_fails_is_not_counted() -> None:
    """What it raises goes through."""
    worker = Worker()
    for _ in range(BASELINE - 1):
        worker.dispatch(1e9, 2e9)
    with pytest.raises(MemoryError), worker.choice.dispatch(False, 1):
        raise MemoryError
    assert not worker.choice.gpu_next
    assert [worker.dispatch(1e9, 2e9) for _ in range(2)] == [False, True]


def test_what_is_skipped_counts_for_neither() -> None:
    """Trials take their time from nobody."""
    plain, tried = Worker(), Worker()
    for turn in range(4 * BASELINE):
        if turn % 3 == 0:
            tried.wall += 5.0
            tried.processor += 5.0
            tried.choice.skip()
        assert tried.dispatch(1e9, 1.1e9) is plain.dispatch(1e9, 1.1e9)
    assert set(tried.turns) == {True, False}
