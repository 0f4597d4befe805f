"""Whether there can be a GPU at all. Each scan asks, so it takes no time to import."""

from __future__ import annotations

import os

_SIGNS = ("proc/driver/nvidia", "dev/nvidiactl", "dev/dxg")
"""Any of them will do: some sandboxes have only the devices, and Windows' Linux only the last."""


def has_nvidia_driver(root: str = "/") -> bool:
    """Whether the kernel has NVIDIA's driver, as far as it shows that.

    Without it there is hardly a GPU: to hear so takes less time than to compile a pack, and nothing
    has to be undone.
    """
    return any(os.path.exists(os.path.join(root, sign)) for sign in _SIGNS)
