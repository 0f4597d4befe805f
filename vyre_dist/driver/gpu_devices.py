"""Which of this machine's GPUs a scan uses, and which processors are near them. Nothing here loads
CUDA: what the kernel and NVIDIA's driver show in files says it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vyre_dist.errors import UsageError

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable by which CUDA chooses devices; each GPU's process has one in it."""

_DRIVER = "proc/driver/nvidia"
_PROCESSORS = re.compile(r"(\d+)(?:-(\d+))?")


class GpuDevice(NamedTuple):
    """A GPU, as CUDA_VISIBLE_DEVICES names it: by number or UUID. `""`: the first that CUDA sees.

    `processors`: those near it that this process may use; none where all are as near, or where it
    is not known which.
    """

    token: str
    processors: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """For messages."""
        return f"GPU {self.token or 0}"


class GpuWish(NamedTuple):
    """What --gpus asks for: the `first` so many of the visible GPUs, those in `tokens`, or, with
    neither, all of them.
    """

    first: int | None = None
    tokens: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> GpuWish:
        """From `all`, a count, or a list with commas. Raises UsageError."""
        text = text.strip()
        if text == "all":
            return cls()
        if text.isdecimal() and int(text):
            return cls(first=int(text))
        tokens = tuple(token.strip() for token in text.removesuffix(",").split(","))
        known = all(re.fullmatch(r"\d+|(?:GPU|MIG)-[\w/-]+", token) for token in tokens)
        if ("," not in text and tokens[0].isdecimal()) or not known:
            raise UsageError(
                f"--gpus {text}: give how many to use (2), or a list of numbers or UUIDs as "
                "CUDA_VISIBLE_DEVICES has them (0,2); the list of one number ends with a comma "
                "(2,)"
            )
        if len(set(tokens)) < len(tokens):
            raise UsageError(f"--gpus {text}: it names a GPU twice")
        return cls(tokens=tokens)


def chosen_devices(
    wish: GpuWish, environment: Mapping[str, str] = os.environ, root: str = "/"
) -> list[GpuDevice]:
    """The GPUs for a scan; never none: whether CUDA sees one, the GPU's process finds out.

    CUDA_VISIBLE_DEVICES is respected where it is set. Raises UsageError where it does not have what
    was wished for, or fewer GPUs are there.
    """
    there = _there(root)
    listed = environment.get(VISIBLE)
    if listed is None:
        visible = [str(number) for number in range(max(1, len(there) or len(_nodes(root))))]
        if not there and wish.tokens:
            visible = list(wish.tokens)  # nothing says how many there are
    else:
        visible = [token.strip() for token in listed.split(",")]
        # as CUDA reads it: what comes after an invalid entry is not visible
        end = next((i for i, token in enumerate(visible) if token in ("", "-1")), len(visible))
        visible = visible[:end]
        if not visible:
            return [GpuDevice(listed)]  # none, which the process says better
    if wish.first is not None and wish.first > len(visible):
        seen = f"{VISIBLE} has" if listed is not None else "there are"
        raise UsageError(f"--gpus {wish.first}: {seen} {len(visible)}")
    for token in wish.tokens:
        by_uuid = listed is None and not token.isdecimal()
        if not by_uuid and token not in visible:
            known = f"{VISIBLE} has" if listed is not None else "there are"
            raise UsageError(f"--gpus: there is no GPU {token}; {known} {','.join(visible)}")
    chosen = list(wish.tokens) or visible[: wish.first]
    if listed is None and not wish.tokens and len(visible) == 1:
        return [GpuDevice("", _near(there, "0", root))]  # whatever it is that CUDA sees
    return [GpuDevice(token, _near(there, token, root)) for token in chosen]


class _Seen(NamedTuple):
    """A GPU in the driver's files."""

    address: str
    model: str
    uuid: str


def _there(root: str) -> list[_Seen]:
    """The GPUs that this process can open, in the order of their addresses on the bus."""
    folder = os.path.join(root, _DRIVER, "gpus")
    found = []
    for address in _entries(folder):
        lines = _text(folder, address, "information").splitlines()
        pairs = [line.partition(":") for line in lines]
        told = {key.strip(): value.strip() for key, _, value in pairs}
        minor = told.get("Device Minor", "")
        node = os.path.join(root, "dev", f"nvidia{minor}")
        # a container may see all of its host's files and have only some of the devices
        if not minor or os.access(node, os.R_OK | os.W_OK) or not _nodes(root):
            found.append(_Seen(address, told.get("Model", ""), told.get("GPU UUID", "")))
    return found[: len(_nodes(root)) or None]


def _nodes(root: str) -> list[str]:
    """The devices' files; none before CUDA has been used for the first time on some machines."""
    dev = os.path.join(root, "dev")
    return [name for name in _entries(dev) if re.fullmatch(r"nvidia\d+", name)]


def _near(there: Sequence[_Seen], token: str, root: str) -> frozenset[int]:
    """The processors near a GPU that this process may use."""
    seen = next((gpu for gpu in there if token and gpu.uuid.startswith(token)), None)
    if seen is None and token.isdecimal() and int(token) < len(there):
        # CUDA's numbers follow the bus where all GPUs are the same; else the fastest comes first
        if len({gpu.model for gpu in there}) > 1:
            return frozenset()
        seen = there[int(token)]
    nodes = _entries(os.path.join(root, "sys/devices/system/node"))
    if seen is None or sum(re.fullmatch(r"node\d+", node) is not None for node in nodes) < 2:
        return frozenset()
    node = _text(root, "sys/bus/pci/devices", seen.address.lower(), "numa_node").strip()
    listed = _text(root, "sys/devices/system/node", f"node{node}", "cpulist")
    return frozenset(processors_in(listed)) & os.sched_getaffinity(0)


def processors_in(listed: str) -> set[int]:
    """The numbers in the kernel's form of a list of processors: 0-15,32-47."""
    found: set[int] = set()
    for low, high in _PROCESSORS.findall(listed):
        found |= set(range(int(low), int(high or low) + 1))
    return found


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _text(*path: str) -> str:
    try:
        with open(os.path.join(*path), encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError:
        return ""
