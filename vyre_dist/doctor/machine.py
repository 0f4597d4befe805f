"""Checks of the machine: shared memory, limits, and folders that must be writable."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

from vyre_dist.doctor.result import Asked, CheckResult
from vyre_dist.driver.gpu_signs import has_nvidia_driver

_SHARED = "/dev/shm"  # noqa: S108 - its size is looked at
RAY_OBJECTS = 512 << 20
"""What a cluster that `--address local` starts keeps in shared memory."""

_FEW_FILES = 4096
_FEW_PROCESSES = 256
_LEAST_PINNED = 1 << 30


def shared_memory(_: Asked) -> CheckResult:
    """Where Ray keeps objects, and a GpuStream its slots."""
    try:
        room = os.statvfs(_SHARED)
    except OSError as error:
        return CheckResult.warning(
            f"there is no {_SHARED} ({error.strerror}): Ray keeps objects on a disk",
            f"mount a tmpfs at {_SHARED}",
        )
    total, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
    found = f"{_SHARED} has {_bytes(free)} free of {_bytes(total)}"
    if free < RAY_OBJECTS:
        return CheckResult.warning(
            f"{found}; a Ray cluster on this machine wants {_bytes(RAY_OBJECTS)}",
            "give the container more (--shm-size=2g; on Kubernetes an emptyDir of medium Memory)",
        )
    return CheckResult.ok(found)


def open_files(_: Asked) -> CheckResult:
    """How many files a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _limited(
        f"{_limit(soft)} (hard: {_limit(hard)})",
        below=_below(soft, _FEW_FILES),
        why="Ray's head and scans with many workers need more",
        cure="raise it: ulimit -n 65536, LimitNOFILE= of a unit, --ulimit nofile= of a container",
    )


def processes(_: Asked) -> CheckResult:
    """How many processes and threads there may be: the user's limit, and the container's."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NPROC)
    group = _group_limit()
    return _limited(
        f"{_limit(soft)} for this user, {_limit(group)} in this control group",
        below=_below(soft, _FEW_PROCESSES) or _below(group, _FEW_PROCESSES),
        why="each worker is one, and Ray starts dozens, with threads",
        cure="raise it: ulimit -u, TasksMax= of a unit, --pids-limit of a container",
    )


def memory_lock(_: Asked) -> CheckResult:
    """How much memory may be locked: what is read for a GPU is pinned."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return _limited(
        _limit(soft, _bytes),
        below=has_nvidia_driver() and _below(soft, _LEAST_PINNED),
        why="where the driver heeds it, memory can't be pinned, and copies to the GPU take longer",
        cure="raise it: ulimit -l unlimited, LimitMEMLOCK= of a unit, --ulimit memlock=-1",
    )


def cache_folder(asked: Asked) -> CheckResult:
    """The folder of compiled packs and of the autotune store."""
    from vyre_dist.cache_folder import choose

    folder = choose(asked.cache_dir)
    if folder.trouble:
        return CheckResult.warning(
            folder.trouble, "make it yours and writable, or name another (--cache-dir)"
        )
    return CheckResult.ok(f"{folder.path} can be written")


def temporary_folder(_: Asked) -> CheckResult:
    """The folder for temporary files: what waits for its turn, and inputs that are pipes."""
    from vyre_dist.cache_folder import try_to_write
    from vyre_dist.errors import UsageError
    from vyre_dist.temporary import temporary_directory

    cure = "set TMPDIR to a folder with room that you can write to"
    try:
        folder = temporary_directory()
        try_to_write(folder, 0)
    except UsageError as error:
        return CheckResult.failed(str(error), cure)
    except OSError as error:
        return CheckResult.failed(
            f"{error.filename} can't be used ({error.strerror}): no standard input or pipe can be "
            "scanned, and what waits for its turn stays in memory",
            cure,
        )
    room = os.statvfs(folder)
    return CheckResult.ok(f"{folder}, {_bytes(room.f_bavail * room.f_frsize)} free")


def _group_limit() -> int:
    """pids.max of this process's control group; infinity where there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return resource.RLIM_INFINITY
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    for folder in (f"/sys/fs/cgroup{own}", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"):
        try:
            told = Path(folder, "pids.max").read_text().strip()
        except OSError:
            continue
        return int(told) if told.isdigit() else resource.RLIM_INFINITY
    return resource.RLIM_INFINITY


def _limited(found: str, *, below: bool, why: str, cure: str) -> CheckResult:
    """A limit that is as `found`. `below`: whether that is too low; then `why` says for what."""
    return CheckResult.warning(f"{found}; {why}", cure) if below else CheckResult.ok(found)


def _below(limit: int, least: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < least


def _limit(limit: int, shown: Callable[[int], str] = "{:,}".format) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else shown(limit)


def _bytes(number: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1024:,.0f} KiB"
