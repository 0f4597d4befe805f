"""What goes wrong on the device."""

from __future__ import annotations

from vyre_dist.errors import UsageError, VyreError


class DeviceMemoryError(VyreError):
    """One window or document is too much for the device's memory: `needed`, `free` in bytes."""

    def __init__(self, needed: int, free: int) -> None:
        self.needed, self.free = needed, free
        size = f"{needed >> 20} MiB" if needed >> 20 else f"{needed} bytes"
        super().__init__(
            f"the GPU has {free >> 20} MiB free, and a window of {size} with its lists does not "
            "fit; "
            "use a smaller --shard-size, or free memory on the GPU"
        )


class DeviceUnusableError(UsageError):
    """There is no GPU that the cuda backend can use."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(f"no usable GPU: {found}; {fix}")
