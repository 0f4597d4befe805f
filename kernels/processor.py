"""This machine's processor: its name, and what timings on it hold for."""

from __future__ import annotations

import platform
from functools import cache

_INSTRUCTION_SETS = (
    *("sse4_2", "avx", "avx2", "bmi2", "avx512f", "avx512bw", "avx512vbmi", "avx512_vnni"),
    *("asimd", "sve", "sve2"),
)
"""Those that Hyperscan and google-re2 are compiled for, as the kernel calls them."""

_NUMBERS = {
    "vendor_id": "",
    "cpu family": "family ",
    "model": "model ",
    "stepping": "stepping ",
    "CPU implementer": "implementer ",
    "CPU architecture": "architecture ",
    "CPU variant": "variant ",
    "CPU part": "part ",
    "CPU revision": "revision ",
}

MOST_CHARS = 256
"""Of an adapter's id."""


@cache
def _told() -> dict[str, str]:
    """What the kernel tells of the first processor."""
    told: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            for line in f:
                if not line.strip():
                    break
                name, _, value = line.partition(":")
                told[name.strip()] = value.strip()
    except OSError:
        pass  # another kind of system: there is less to say
    return told


@cache
def processor() -> str:
    """The processor's name as the kernel tells it, printable."""
    return printable(_told().get("model name", "") or platform.processor()) or "unknown"


@cache
def processor_adapter() -> str:
    """What timings on this processor hold for: its family, model, stepping and instruction sets.

    Its name and its clock are not in it: a ratio of two times depends on neither.
    """
    told = _told()
    numbers = [prefix + told[name] for name, prefix in _NUMBERS.items() if name in told]
    sets = {*told.get("flags", "").split(), *told.get("Features", "").split()}
    known = [name for name in _INSTRUCTION_SETS if name in sets]
    return printable(" ".join(["cpu", platform.machine(), *numbers, *known]))[:MOST_CHARS]


def printable(text: str) -> str:
    """The text's printable characters, with single spaces."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())
