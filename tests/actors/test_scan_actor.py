"""ScanActor as a plain object, without Ray: bytes in, bytes out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import msgpack
import numpy as np
import pytest

from vyre_dist import __version__
from vyre_dist.actors.scan_actor import ScanActor, WorkerFacts, from_wire, read_ready, to_wire
from vyre_dist.driver.worker_loop import read_answer
from vyre_dist.engine.config import EngineConfig
from vyre_dist.engine.task_codec import encode_task
from vyre_dist.engine.tasks import Piece, ScanTask
from vyre_dist.engine.worker import ScanEngine
from vyre_dist.rules.codec import decode_pack, encode_pack
from vyre_dist.rules.model import PackData, Rule

PACK = encode_pack(PackData("p", (Rule("r", r"key=\d+"),)))


@pytest.mark.parametrize("size", [0, 1, 1000, (256 << 10) - 1, 256 << 10, 3 << 20])
def test_messages_come_out_as_they_went_in(size: int) -> None:
    """Short or long, a message's bytes are the same on the other side, and long ones travel as
    arrays.
    """
    data = os.urandom(size)
    message = to_wire(data)
    assert from_wire(message) == data
    assert isinstance(message, np.ndarray) == (size >= 256 << 10)


def test_ready_tells_who_it_is() -> None:
    """Loaded, an actor answers with its process, backend and version, as often as it is asked."""
    actor = ScanActor(PACK, asdict(EngineConfig(backend="cpu")))
    facts = read_ready(actor.ready())
    assert facts == WorkerFacts("", os.uname().nodename, os.getpid(), "cpu", (), 1, __version__)
    assert read_ready(actor.ready()) == facts
    engine = ScanEngine(decode_pack(PACK), EngineConfig(backend="cpu"))
    assert isinstance(facts, WorkerFacts)
    assert facts.programs == engine.backend.facts


@pytest.mark.parametrize(
    ("pack", "config", "reason"),
    [
        (PACK, {"backend": "abacus"}, "abacus"),
        (PACK, {"threshold_pct": 15, "speculation": "never"}, "never"),
        (b"junk", {}, "cannot read a pack"),
        (encode_pack(PackData("p", (Rule("r", "a("),))), {}, "a("),
    ],
)
def test_ready_tells_why_it_cannot(pack: bytes, config: dict[str, object], reason: str) -> None:
    """What a new worker would meet again is an answer, not a death."""
    refusal = read_ready(ScanActor(pack, config).ready())
    assert isinstance(refusal, str) and reason in refusal


def test_another_version_is_refused() -> None:
    """A worker of another version is named with both versions."""
    refusal = read_ready(msgpack.packb(["ready", "0.0.1", {}]))
    assert isinstance(refusal, str) and "0.0.1" in refusal and __version__ in refusal


def test_run_answers_with_findings() -> None:
    """A task's findings are in the answer."""
    actor = ScanActor(PACK, {"backend": "cpu"})
    actor.ready()
    data = b"x key=42"
    task = encode_task(ScanTask((Piece(3, "p", len(data), 0, len(data), inline=data),)))
    result, error = read_answer(from_wire(actor.run(task)))
    assert error == ""
    assert [(row.document, row.start, row.end) for row in result.findings] == [(3, 2, 8)]


def test_run_before_ready_is_a_bug() -> None:
    """Nothing is loaded behind the driver's back."""
    with pytest.raises(RuntimeError):
        ScanActor(PACK, {}).run(b"")


def test_an_actor_that_has_lost_its_gpu_ends() -> None:
    """To the driver it is a lost worker, with the reason in its log: its tasks go to others."""
    program = (
        "from vyre_dist.actors.scan_actor import ScanActor\n"
        "from vyre_dist.errors import WorkerUnusableError\n"
        "def lost(task):\n"
        "    raise WorkerUnusableError('nobody owns the GPU')\n"
        "actor = ScanActor(b'', {})\n"
        "actor._run = lost\n"
        "actor.run(b'')\n"
        "print('it lives on')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody owns the GPU" in done.stderr


def test_a_cache_that_can_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker on a machine where the driver's cache folder can't be made works with a spare one,
    and says so.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "file").touch()
    config = EngineConfig(backend="cpu", cache_dir=str(tmp_path / "file" / "cache"))
    actor = ScanActor(PACK, asdict(config))
    facts = read_ready(actor.ready())
    assert isinstance(facts, WorkerFacts)
    assert (
        str(tmp_path / "file" / "cache") in facts.cache_trouble
        and "is used instead" in facts.cache_trouble
    )
