"""The command with GPUs: --gpus, and that a small scan waits for nothing that a GPU needs. CuPy's
place and the driver's are taken by others that show devices and take for ever to be of use.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from stub_driver import make_driver

from vyre_dist.driver.gpu_signs import has_nvidia_driver

Cli = Callable[..., Any]
TOO_LONG = 30.0

# what imports it waits until it is ended; its number is in the folder
SLOW_CUPY = """
import os, signal
open(os.path.join(os.environ["IMPORTED"], str(os.getpid())), "w").close()
signal.sigwait({signal.SIGUSR1})
"""


@pytest.fixture
def machine(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a command on a machine with two GPUs whose CuPy never comes to its end."""
    modules, imported = tmp_path / "modules", tmp_path / "imported"
    modules.mkdir()
    imported.mkdir()
    (modules / "cupy.py").write_text(SLOW_CUPY)
    driver = make_driver(tmp_path, count=2)
    return {
        "PYTHONPATH": f"{modules}:{environment['PYTHONPATH']}",
        "IMPORTED": str(imported),
        "CUDA_VISIBLE_DEVICES": "0,1",
        **driver,
    }


def test_a_small_scan_waits_for_no_import(
    started_cli: Cli, pack: Path, machine: dict[str, str]
) -> None:
    """There is a GPU, and the processor is done before CuPy is imported: that is the end, whatever
    its process is at.
    """
    options = ("--backend", "cuda", "-f", "jsonl", "--progress", "never")
    run = started_cli("scan", "-r", pack, *options, "a.txt", **machine)
    assert run.code == 1, run.err
    assert run.seconds < TOO_LONG
    (worker,) = run.summary["workers_used"]
    assert (worker["backend"], worker["gpus"]) == ("cpu", ["0"])
    assert worker["bytes_by_backend"] == {"cpu": run.summary["bytes"]}
    # it is killed, and nobody waited for that
    numbers = [int(name) for name in os.listdir(machine["IMPORTED"])]
    deadline = time.monotonic() + TOO_LONG
    while any(psutil.pid_exists(number) for number in numbers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(numbers) <= 1


def test_the_gpus_that_are_asked_for(started_cli: Cli, pack: Path, machine: dict[str, str]) -> None:
    """By count, or by their names in CUDA_VISIBLE_DEVICES."""
    for wish, gpu in (("1", "0"), ("1,", "1"), ("1,0", "1"), ("2", "0")):
        options = ("--backend", "cuda", "--gpus", wish, "-f", "jsonl", "--progress", "never")
        run = started_cli("scan", "-r", pack, *options, "a.txt", **machine)
        assert run.code == 1, run.err
        assert [worker["gpus"] for worker in run.summary["workers_used"]] == [[gpu]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpus", "3"], "--gpus 3: CUDA_VISIBLE_DEVICES has 2"),
        (["--gpus", "5,"], "--gpus: there is no GPU 5; CUDA_VISIBLE_DEVICES has 0,1"),
        (["--gpus", "some"], "--gpus some: give how many to use (2), or a list"),
        (["--gpus", "1", "--pool", "ray"], "--gpus is for the GPUs of this machine"),
        (["--gpus", "1", "--backend", "cpu"], "--gpus is for --backend auto or cuda, and not for"),
    ],
)
def test_what_is_no_wish(cli: Cli, pack: Path, options: list[str], message: str) -> None:
    """It is told before anything is scanned."""
    backend = [] if "--backend" in options else ["--backend", "cuda"]
    run = cli("scan", "-r", pack, *backend, *options, "a.txt", CUDA_VISIBLE_DEVICES="0,1")
    assert (run.code, run.out) == (2, b"")
    assert message in run.err


def test_auto_loads_nothing_where_there_is_no_driver(
    started_cli: Cli, pack: Path, machine: dict[str, str]
) -> None:
    """CuPy and a library of the driver alone are no GPU: the kernel has to have the driver."""
    if has_nvidia_driver():
        pytest.skip("this machine has NVIDIA's driver")
    run = started_cli("scan", "-r", pack, "-f", "jsonl", "--progress", "never", "a.txt", **machine)
    assert run.code == 1, run.err
    assert "gpus" not in run.summary["workers_used"][0]
    assert os.listdir(machine["IMPORTED"]) == []
