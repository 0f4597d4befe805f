"""Which GPUs a scan uses, by --gpus, CUDA_VISIBLE_DEVICES and what the machine shows; and which
processors are near them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vyre_dist.driver.gpu_devices import (
    GpuWish,
    chosen_devices,
    processors_in,
)
from vyre_dist.driver.gpu_signs import has_nvidia_driver
from vyre_dist.errors import UsageError

MINE = min(os.sched_getaffinity(0))


def machine(root: Path, models: list[str], nodes: int = 1, opened: list[int] | None = None) -> str:
    """The files of a machine with such GPUs, one behind the other on the bus. This process's first
    processor is near the first GPU. `opened`: the devices that a container has.
    """
    for number, model in enumerate(models):
        address = f"0000:{0x17 + number:02X}:00.0"
        told = root / "proc/driver/nvidia/gpus" / address / "information"
        told.parent.mkdir(parents=True)
        told.write_text(
            f"Model: \t\t {model}\nGPU UUID:\t GPU-{number}abc-def\nDevice Minor: \t {number}\n"
        )
        numa = root / "sys/bus/pci/devices" / address.lower() / "numa_node"
        numa.parent.mkdir(parents=True)
        numa.write_text(f"{number % nodes}\n")
    for node in range(nodes):
        cpulist = root / f"sys/devices/system/node/node{node}/cpulist"
        cpulist.parent.mkdir(parents=True)
        cpulist.write_text(f"{MINE}\n" if node == 0 else "4000-4003\n")
    (root / "dev").mkdir()
    for number in range(len(models)) if opened is None else opened:
        (root / f"dev/nvidia{number}").touch()
    return str(root)


def tokens(wish: str, visible: str | None, root: str) -> list[str]:
    """The tokens of the chosen GPUs."""
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return [device.token for device in chosen_devices(GpuWish.of(wish), environment, root)]


@pytest.mark.parametrize(
    ("wish", "visible", "want"),
    [
        ("all", None, ["0", "1", "2", "3"]),
        ("2", None, ["0", "1"]),
        ("2,", None, ["2"]),
        ("3,1", None, ["3", "1"]),
        ("GPU-2abc", None, ["GPU-2abc"]),
        ("all", "2,3", ["2", "3"]),
        ("1", "2,3", ["2"]),
        ("3,", "2,3", ["3"]),
        ("all", "GPU-1abc,MIG-7", ["GPU-1abc", "MIG-7"]),
        ("MIG-7", "GPU-1abc,MIG-7", ["MIG-7"]),
        ("all", "1,-1,2", ["1"]),
        ("all", "", [""]),
        ("all", "-1", ["-1"]),
    ],
)
def test_chosen(tmp_path: Path, wish: str, visible: str | None, want: list[str]) -> None:
    """A count is of the visible ones, a list names them as CUDA_VISIBLE_DEVICES does."""
    assert tokens(wish, visible, machine(tmp_path, ["H200"] * 4)) == want


@pytest.mark.parametrize(
    ("wish", "visible", "match"),
    [
        ("5", None, "there are 4"),
        ("3", "0,1", "CUDA_VISIBLE_DEVICES has 2"),
        ("7,", None, "no GPU 7; there are 0,1,2,3"),
        ("0,1", "2,3", "no GPU 0; CUDA_VISIBLE_DEVICES has 2,3"),
        ("0", None, "give how many"),
        ("one", None, "give how many"),
        ("", None, "give how many"),
        ("1,,2", None, "give how many"),
        ("1,1", None, "names a GPU twice"),
        ("-1", None, "give how many"),
    ],
)
def test_refused(tmp_path: Path, wish: str, visible: str | None, match: str) -> None:
    """What is not there, and what is no wish, is told with what there is or what can be given."""
    with pytest.raises(UsageError, match=match):
        tokens(wish, visible, machine(tmp_path, ["H200"] * 4))


def test_a_container_has_some_of_its_hosts_gpus(tmp_path: Path) -> None:
    """Those that it can open count."""
    root = machine(tmp_path, ["H200"] * 4, opened=[1, 3])
    assert tokens("all", None, root) == ["0", "1"]
    with pytest.raises(UsageError, match="there are 2"):
        tokens("3", None, root)


def test_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    """It is CUDA that knows: the process of the first GPU asks it."""
    assert tokens("all", None, str(tmp_path)) == [""]
    assert tokens("0,1", None, str(tmp_path)) == ["0", "1"]


@pytest.mark.parametrize("sign", ["proc/driver/nvidia/version", "dev/nvidiactl", "dev/dxg"])
def test_signs_of_a_driver(tmp_path: Path, sign: str) -> None:
    """Where there is none, nothing is loaded to look for a GPU."""
    assert not has_nvidia_driver(str(tmp_path))
    (tmp_path / sign).parent.mkdir(parents=True)
    (tmp_path / sign).touch()
    assert has_nvidia_driver(str(tmp_path))


def test_a_sandbox_that_has_only_the_devices(tmp_path: Path) -> None:
    """They are counted."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    assert tokens("all", None, str(tmp_path)) == ["0", "1"]


def near(root: str, visible: str | None = None) -> list[set[int]]:
    """The processors near each visible GPU."""
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    return [set(device.processors) for device in chosen_devices(GpuWish(), environment, root)]


def test_processors_near_a_gpu(tmp_path: Path) -> None:
    """Those of its NUMA node that this process may use; by number or UUID."""
    root = machine(tmp_path, ["H200"] * 3, nodes=2)
    assert near(root) == [{MINE}, set(), {MINE}]
    assert near(root, "GPU-2abc,GPU-1abc") == [{MINE}, set()]


def test_where_nothing_is_nearer(tmp_path: Path) -> None:
    """With one node all processors will do."""
    assert near(machine(tmp_path, ["H200"] * 2, nodes=1)) == [set(), set()]


def test_different_gpus(tmp_path: Path) -> None:
    """CUDA may number them otherwise than the bus does: nothing is concluded from a number."""
    root = machine(tmp_path, ["L4", "H200"], nodes=2)
    assert near(root) == [set(), set()]
    assert near(root, "GPU-0abc") == [{MINE}]


def test_lists_of_processors() -> None:
    """The kernel's form."""
    assert processors_in("0-3,8,10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    assert processors_in("") == set()
