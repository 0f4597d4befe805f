"""Chooses a run's pool of workers: local processes, or the actors of a Ray cluster."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from vyre_dist.actors.ray_job import in_ray_job
from vyre_dist.errors import UsageError

if TYPE_CHECKING:
    from vyre_dist.driver.gpu_devices import GpuWish
    from vyre_dist.driver.pool import WorkerPool, WorkerSpec


def uses_ray(kind: str, address: str | None) -> bool:
    """Whether a pool of this kind (`auto`, `local` or `ray`) is on Ray; `auto` is, inside of a Ray
    job or with an address.
    """
    # RAY_ADDRESS alone is no sign: people export it for `submit`
    return kind == "ray" or bool(address) or (kind == "auto" and in_ray_job())


def open_pool(
    spec: WorkerSpec,
    stack: ExitStack,
    *,
    kind: str = "auto",
    workers: int | None = None,
    address: str | None = None,
    autoscale: bool = False,
    gpus: str | None = None,
    may_fork: bool = True,
    threads_later: bool = False,
) -> WorkerPool:
    """A pool that is not started yet. `stack` disconnects from Ray when the caller is done.

    `may_fork`: False where this process has, or will have, threads; `threads_later`: it may get
    some when workers are ready. Raises UsageError where the arguments contradict each other.
    """
    if kind == "local" and address:
        raise UsageError(
            "--address names a Ray cluster, which --pool local does not use: leave one of them out"
        )
    wish = None if gpus is None else _wish(gpus)
    if wish is not None and spec.config.backend not in ("auto", "cuda"):
        raise UsageError(
            f"--gpus is for --backend auto or cuda, and not for {spec.config.backend}: leave one "
            "of them out"
        )
    if uses_ray(kind, address):
        if wish is not None:
            raise UsageError(
                "--gpus is for the GPUs of this machine; a worker on Ray has the one that Ray "
                "gives it: say how many with --workers"
            )
        from vyre_dist.actors.ray_pool import RayPool

        ray_pool = RayPool(spec, workers, address, autoscale=autoscale, stay_connected=True)
        # only when the outputs are whole: a signal while it disconnects would lose them
        stack.callback(ray_pool.disconnect)
        return ray_pool
    if autoscale:
        raise UsageError(
            "--autoscale is for a Ray cluster: add --pool ray, or --address, or leave it out"
        )
    from vyre_dist.driver.local_pool import LocalPool

    start_method = None if may_fork else "spawn"
    return LocalPool(spec, workers, start_method, gpus=wish, threads_later=threads_later)


def _wish(gpus: str) -> GpuWish:
    from vyre_dist.driver.gpu_devices import GpuWish  # most scans do without

    return GpuWish.of(gpus)
