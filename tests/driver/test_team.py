"""Team: the processes of one worker, called from several threads; and what becomes of it when some
of them die.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import emulated_gpu_process
import pytest
from emulated_kernels import compiler

from vyre_dist import RulePack, Scanner
from vyre_dist.driver import gpu_process
from vyre_dist.driver import team as team_module
from vyre_dist.driver.pool import WorkerSpec
from vyre_dist.driver.team import Team
from vyre_dist.driver.worker_loop import read_answer
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.task_codec import encode_task
from vyre_dist.engine.tasks import Piece, ScanTask, TaskResult
from vyre_dist.errors import UsageError, WorkerUnusableError
from vyre_dist.processes import fork_server

PACK = RulePack.from_patterns({"key": r"AKIA[0-9A-Z]{16}", "pair": r"\b(port|id)=(\d+)"})
TEXTS = [f"id={i} AKIA{'B' * 13}{i:03d}\n".encode() * (1 + i % 5) for i in range(24)]
PATIENCE = 120.0


def task_of(number: int) -> bytes:
    """A task with one document."""
    text = TEXTS[number]
    return encode_task(
        ScanTask((Piece(number, f"d{number}", len(text), 0, len(text), inline=text),))
    )


def done(answer: bytes) -> TaskResult:
    """What came of a task that was done."""
    result, error = read_answer(answer)
    assert isinstance(result, TaskResult), error
    return result


@pytest.fixture
def start() -> Iterator[Callable[..., Team]]:
    """Teams that are closed at the end."""
    teams: list[Team] = []

    def do(backend: str, processes: int) -> Team:
        team = Team(WorkerSpec(PACK.data, EngineConfig(backend)), processes)
        team.start()
        teams.append(team)
        return team

    yield do
    for team in teams:
        team.close()


GPUS = ["emulated", pytest.param("real", marks=pytest.mark.gpu)]
on_a_gpu = pytest.mark.parametrize("backend", GPUS, indirect=True)


@pytest.fixture(params=["cpu", *GPUS])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The backend's name."""
    if request.param == "emulated":
        if compiler() is None:
            pytest.skip("there is no g++, which compiles the kernels for the emulated GPU")
        monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.own_gpu)
    return "cpu" if request.param == "cpu" else "cuda"


def test_tasks_from_several_threads(start: Callable[..., Team], backend: str) -> None:
    """Each thread gets the answer to its own task."""
    team = start(backend, 2)
    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda number: team.run(task_of(number)), range(len(TEXTS))))
    want = [Scanner(PACK, backend="cpu").scan(text) for text in TEXTS]
    for number, (answer, own) in enumerate(zip(answers, want, strict=True)):
        rows = done(answer).findings
        assert {row.document for row in rows} <= {number}
        assert [(row.start, row.end) for row in rows] == [(f.start, f.end) for f in own]
    assert sum(map(len, want)) > 100


def test_a_process_that_is_killed(start: Callable[..., Team], backend: str) -> None:
    """The answer says that it was lost; the next task is done by the one in its place."""
    team = start(backend, 1)
    (worker,) = team._pool._workers.values()
    worker.child.process.kill()
    result, error = read_answer(team.run(task_of(3)))
    assert result is None
    assert "was ended by signal 9" in error
    assert done(team.run(task_of(3))).findings


def until_fused(team: Team) -> None:
    """Run tasks until one is done by the GPU, which the processors stand in for until it is
    ready.
    """
    end = time.monotonic() + PATIENCE
    while not done(team.run(task_of(1))).fused:
        assert time.monotonic() < end


@on_a_gpu
def test_a_gpu_process_that_is_killed(start: Callable[..., Team], backend: str) -> None:
    """Who was connected to it goes on with its processor, and then with another GPU process."""
    team = start(backend, 1)
    until_fused(team)
    assert team._pool.gpus is not None
    gpu = team._pool.gpus.of(0)
    assert gpu.pid is not None
    before = gpu.pid
    os.kill(before, signal.SIGKILL)
    assert done(team.run(task_of(2))).findings
    until_fused(team)
    assert gpu.pid != before


@on_a_gpu
def test_a_gpu_that_is_gone_for_good(
    start: Callable[..., Team], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no process can own the GPU any more, whoever asks is told; nobody waits for ever."""
    team = start(backend, 1)
    until_fused(team)
    assert team._pool.gpus is not None
    gpu = team._pool.gpus.of(0)
    assert gpu.pid is not None
    monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.dies_at_once)
    os.kill(gpu.pid, signal.SIGKILL)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            while True:
                team.run(task_of(0))
        except WorkerUnusableError as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert "exit code 7" in str(raised[0])


def test_processes_that_can_not_start_any_more(
    start: Callable[..., Team], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that nobody begins is not the reason: whoever asks is told what is."""
    team = start("cpu", 1)
    (worker,), server = team._pool._workers.values(), team._pool._server
    assert server is not None and server.pid is not None
    with monkeypatch.context() as broken:
        broken.setattr(team_module, "_ATTEMPTS", 2)
        broken.setattr(fork_server, "_BOOTSTRAP", "import sys; sys.exit(3)")
        worker.child.process.kill()
        worker.child.process.join(PATIENCE)
        os.kill(server.pid, signal.SIGKILL)
        result, error = read_answer(team.run(task_of(3)))
        assert result is None and "was ended by signal 9" in error
        for _ in range(2):
            with pytest.raises(
                WorkerUnusableError, match="2 processes in a row could not begin a task"
            ):
                team.run(task_of(3))
    assert done(team.run(task_of(3))).findings


def test_processes_start_with_the_tasks_for_them(start: Callable[..., Team], backend: str) -> None:
    """Of many that there may be one is there in the beginning, and does what comes one after the
    other.
    """
    team = start(backend, 30)
    assert team.begun == 1
    for number in range(6):
        assert done(team.run(task_of(number))).documents == 1
    assert team.begun == 1


def test_a_task_waits_for_no_other(start: Callable[..., Team]) -> None:
    """While one process is at its task, others are started and do theirs."""
    team = start("cpu", 8)
    (first,) = team._pool.pids
    os.kill(first, signal.SIGSTOP)
    with ThreadPoolExecutor(3) as threads:
        try:
            answers = [threads.submit(team.run, task_of(number)) for number in range(3)]
            for answer in itertools.islice(as_completed(answers, PATIENCE), 2):
                assert done(answer.result()).findings
            assert sum(answer.done() for answer in answers) == 2
            assert 2 <= team.begun <= 3
        finally:
            os.kill(first, signal.SIGCONT)
        for answer in answers:
            assert done(answer.result(PATIENCE)).findings


def test_one_that_cannot_start(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason that every process would meet is an error of the start."""
    if backend == "cpu":
        team = Team(WorkerSpec(PACK.data, EngineConfig("abacus")), 2)
        match = "abacus"
    else:
        monkeypatch.setattr(gpu_process, "_own_gpu", emulated_gpu_process.dies_at_once)
        team = Team(WorkerSpec(PACK.data, EngineConfig("cuda")), 2)
        match = "exit code 7"
    with pytest.raises(UsageError, match=match):
        team.start()
