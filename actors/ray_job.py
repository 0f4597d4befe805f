"""Whether this process belongs to a Ray job. Every local scan asks, so this imports nothing."""

from __future__ import annotations

import os
import sys


def in_ray_job() -> bool:
    """Whether this process is the driver of a Ray job, or is connected to a cluster already."""
    ray = sys.modules.get("ray")
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ or (
        ray is not None and bool(ray.is_initialized())
    )
