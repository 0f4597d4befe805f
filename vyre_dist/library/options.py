"""A Scanner's options as values: for the engine, the inputs and the workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import SupportsIndex

from vyre_dist.cache_folder import choose
from vyre_dist.driver.gpu_devices import GpuWish
from vyre_dist.engine.audit_sample import new_seed
from vyre_dist.engine.config import EngineConfig
from vyre_dist.errors import UsageError, as_int
from vyre_dist.kernels import require_known
from vyre_dist.sources.walk_options import WalkOptions

logger = logging.getLogger("vyre_dist")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How engines work. `user_cache`: compiled packs are kept in the user's cache folder, wherever
    that is in the process that asks; else the config's `cache_dir` says where.
    """

    base: EngineConfig
    user_cache: bool

    @classmethod
    def of(
        cls,
        backend: str,
        config: EngineConfig | None,
        *,
        shard_bytes: SupportsIndex | None,
        max_match_bytes: SupportsIndex | None,
        speculation: str | None,
        cache_dir: str | os.PathLike[str] | None,
        no_cache: bool,
        keeps: bool,
    ) -> EngineOptions:
        """See Scanner. `keeps`: the pack may be met again. Raises UsageError."""
        require_known(backend)
        base = replace(config or EngineConfig(), backend=backend)
        if shard_bytes is not None:
            base = replace(base, shard_bytes=as_int("shard_bytes", shard_bytes))
        if max_match_bytes is not None:
            base = replace(base, max_match_bytes=as_int("max_match_bytes", max_match_bytes))
        if speculation is not None:
            base = replace(base, speculation=speculation)
        if cache_dir is not None:
            if no_cache:
                raise UsageError("cache_dir says where to keep packs, no_cache not to: drop one")
            base = replace(base, cache_dir=os.path.abspath(os.fsdecode(cache_dir)))
        elif no_cache:
            base = replace(base, cache_dir=None)
        return cls(base, keeps and config is None and cache_dir is None and not no_cache)

    def config(self) -> EngineConfig:
        """The engines' config in this process."""
        if not self.user_cache:
            return self.base
        folder = choose(None)
        if folder.trouble:
            logger.warning("%s", folder.trouble)
        # one that can only be read may still have what is needed
        return replace(self.base, cache_dir=folder.wanted or folder.path)


def audited(config: EngineConfig, rate: float | None) -> EngineConfig:
    """`config` for one scan. `rate`: of its documents to audit; None: as the config says.

    Raises UsageError for what is no rate.
    """
    share = config.audit_rate if rate is None else rate
    return replace(config, audit_rate=share, audit_seed=new_seed())


def walk_options(
    include: Sequence[str],
    exclude: Sequence[str],
    max_file_size: SupportsIndex | None,
    respect_gitignore: bool,
    follow_symlinks: bool,
) -> WalkOptions:
    """See Scanner.iter_paths. Raises UsageError for what is no list of globs, or no size."""
    size = None if max_file_size is None else as_int("max_file_size", max_file_size)
    if size is not None and size < 0:
        raise UsageError(f"max_file_size is 0 or more bytes, found {size}")
    return WalkOptions(
        respect_gitignore=respect_gitignore,
        follow_symlinks=follow_symlinks,
        include=_globs("include", include),
        exclude=_globs("exclude", exclude),
        max_file_size=size,
    )


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Who does the work. Without `count` and `address` it is the calling process. `gpus`: None for
    all.
    """

    count: int | None
    address: str | None
    autoscale: bool
    gpus: GpuWish | None = None

    @classmethod
    def of(
        cls,
        count: SupportsIndex | None,
        address: str | None,
        *,
        autoscale: bool,
        gpus: SupportsIndex | str | None = None,
    ) -> WorkerOptions:
        """See Scanner.iter_paths. Raises UsageError for what can't be."""
        number = None if count is None else as_int("workers", count)
        if number is not None and number < 1:
            raise UsageError(f"workers is 1 or more, or None for this process, found {number}")
        if autoscale and address is None:
            raise UsageError("autoscale is for a Ray cluster: give its address, or leave it out")
        if autoscale and number is None:
            raise UsageError("a cluster that adds nodes has no size: give the number of workers")
        if gpus is not None and (number is None or address is not None):
            raise UsageError("gpus is for local processes: give workers, and no address")
        wish = (
            None
            if gpus is None
            else GpuWish.of(gpus if isinstance(gpus, str) else str(as_int("gpus", gpus)))
        )
        return cls(number, address, autoscale, wish)


def _globs(name: str, globs: Sequence[str]) -> tuple[str, ...]:
    # the letters of a str would be taken for globs
    if isinstance(globs, str | bytes) or not all(isinstance(glob, str) for glob in globs):
        raise UsageError(f"{name} is a list of globs, found {globs!r:.100}")
    return tuple(globs)
