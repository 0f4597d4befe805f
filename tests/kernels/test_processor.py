"""What timings on a processor hold for."""

from __future__ import annotations

import platform

import pytest

from vyre_dist.dispatch.keys import AutotuneKey
from vyre_dist.kernels import processor as module
from vyre_dist.kernels.processor import processor_adapter

AMD = {
    "vendor_id": "AuthenticAMD",
    "cpu family": "25",
    "model": "17",
    "model name": "AMD EPYC",
    "stepping": "1",
    "cpu MHz": "2596.140",
    "flags": "fpu sse4_2 avx2 avx512f smap",
}
ARM = {"CPU implementer": "0x41", "CPU part": "0xd40", "Features": "fp asimd sve"}


def adapter(told: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """That of a processor of which the kernel tells this."""
    monkeypatch.setattr(module, "_told", lambda: told)
    processor_adapter.cache_clear()
    try:
        return processor_adapter()
    finally:
        processor_adapter.cache_clear()


def test_what_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Family, model, stepping and instruction sets; neither a clock nor a name."""
    x86 = "AuthenticAMD family 25 model 17 stepping 1 sse4_2 avx2 avx512f"
    arm = "implementer 0x41 part 0xd40 asimd sve"
    for told, want in ((AMD, x86), (ARM, arm), ({}, "")):
        assert adapter(told, monkeypatch) == f"cpu {platform.machine()} {want}".strip()
    assert adapter({**AMD, "cpu MHz": "1", "model name": "x"}, monkeypatch).endswith(x86)
    for name in ("vendor_id", "cpu family", "model", "stepping", "flags"):
        assert adapter({**AMD, name: "avx"}, monkeypatch) != adapter(AMD, monkeypatch)


def test_it_is_an_adapters_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short and printable, whatever the kernel tells."""
    odd = {**AMD, "vendor_id": "Genuine\x00\x1b[1m\tCPU " + "x" * 300}
    for told in (odd, AMD, {}):
        AutotuneKey("0" * 32, adapter(told, monkeypatch))
    AutotuneKey("0" * 32, processor_adapter())
