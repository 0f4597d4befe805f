"""The emulated device catches what it is there to catch, and is right about the rest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from emulated_cupy import EmulatedCupy
from emulated_kernels import KernelFaultError
from gpu_device import Gpu

from vyre_dist.kernels.cuda.instances import Instance
from vyre_dist.kernels.cuda.nvrtc import KernelCompileError
from vyre_dist.kernels.cuda.workspace import pointer

PARAMETERS = "unsigned* out, const unsigned* in"


def run(
    gpu: Gpu,
    body: str,
    *,
    threads: int = 64,
    words: int = 64,
    shared_bytes: int = 0,
    times: int = 1,
) -> list[npt.NDArray[Any]]:
    """What a kernel of this body makes of `in`, 0 and up, of `words` words, as `out`, as long; it
    is run so many times.
    """
    import cupy

    source = (
        f'#include "tables.cuh"\nextern "C" __global__ void test({PARAMETERS}) {{\n{body}\n}}\n'
    )
    kernel = gpu.device.kernel(Instance("test", source, threads, 1, shared_bytes))
    given = cupy.empty(words, np.uint32)
    given.set(np.arange(words, dtype=np.uint32), stream=gpu.stream)
    results = []
    for _ in range(times):
        out = cupy.empty(words, np.uint32)
        kernel(gpu.stream, pointer(out), pointer(given), grid=1)
        results.append(out.get(stream=gpu.stream))
    return results


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "if (threadIdx.x < 5) __syncwarp();",
            r"wait for each other.*threads 0-4 wait at test\.cpp:\d+",
        ),
        ("if (threadIdx.x < 32) __syncthreads();", "threads 0-31 wait at .*threads 32-63 are done"),
        (
            "if (threadIdx.x & 1) __ballot_sync(~0u, true);\nelse __ballot_sync(~0u, true);",
            "wait for each other",
        ),
        ("__syncwarp(~1u);", "lane 0 is not in its own mask"),
        (
            "if (threadIdx.x & 1) out[0] = __shfl_sync(0xAAAAAAAAu, 1, 0);",
            "reads lane 0, which takes no part",
        ),
        (
            "out[threadIdx.x] = in[threadIdx.x + 16];",
            "thread 6[0-3]: illegal access|thread [45].: illegal access",
        ),
        ("out[64 + threadIdx.x] = 1;", "illegal access"),
        ("out[0] = reinterpret_cast<const uint4*>(in + 1)->x;", "undefined behaviour"),
        ("unsigned few[4] = {};\nout[0] = few[in[threadIdx.x]];", "undefined behaviour"),
        ("reinterpret_cast<unsigned*>(0xA5A5A5A5A5A5A5A4ull)[0] = 1;", "illegal access"),
    ],
)
def test_faults_are_errors(emulated_gpu: Gpu, body: str, message: str) -> None:
    """Lanes that wait in vain and memory that is not there are errors that say where; the next
    launch is none the worse.
    """
    with pytest.raises(KernelFaultError, match=message):
        run(emulated_gpu, body)
    assert run(emulated_gpu, "out[threadIdx.x] = in[threadIdx.x] + 1;")[0].tolist() == list(
        range(1, 65)
    )


def test_shared_memory_has_bounds(emulated_gpu: Gpu) -> None:
    """More dynamic shared memory than was asked for may not be written to."""
    body = (
        "extern __shared__ uint4 shared[];\nshared[threadIdx.x].x = in[threadIdx.x];\nout[0] = 1;"
    )
    code = f"namespace vyre {{ inline void fill({PARAMETERS}) {{ {body} }} }}"
    kernel = "vyre::fill(out, in);"
    source = f'#include "tables.cuh"\n{code}\nextern "C" __global__ void test({PARAMETERS}) {{ {kernel} }}\n'
    import cupy

    array = cupy.empty(64, np.uint32)
    array.set(np.zeros(64, np.uint32), stream=emulated_gpu.stream)
    emulated_gpu.device.kernel(Instance("test", source, 64, 1, 1024))(
        emulated_gpu.stream, pointer(array), pointer(array), grid=1
    )
    emulated_gpu.stream.synchronize()
    emulated_gpu.device.kernel(Instance("test", source, 64, 1, 1008))(
        emulated_gpu.stream, pointer(array), pointer(array), grid=1
    )
    with pytest.raises(KernelFaultError, match="byte 1008 of 1008 bytes of dynamic shared"):
        emulated_gpu.stream.synchronize()


@pytest.mark.parametrize("barrier", ["__syncthreads();", "__syncwarp();"])
def test_missing_barriers_show(emulated_gpu: Gpu, barrier: str) -> None:
    """What one lane leaves in shared memory for another is there behind a barrier, and sometimes
    not without one.
    """
    body = "__shared__ unsigned words[32];\nwords[threadIdx.x] = in[threadIdx.x];\n{}\n"
    body += "out[threadIdx.x] = words[31 - threadIdx.x];"
    for there in (barrier, ""):
        results = run(emulated_gpu, body.format(there), threads=32, words=32, times=20)
        right = [result.tolist() == list(range(31, -1, -1)) for result in results]
        assert all(right) == bool(there)
    # what was never written is garbage, not the launch before's
    assert 0xA5A5_A5A5 in np.concatenate(results)


def test_warps_overtake_each_other(emulated_gpu: Gpu) -> None:
    """Without a barrier of the whole block one warp may find nothing of the other's."""
    body = "__shared__ unsigned words[64];\nwords[threadIdx.x] = in[threadIdx.x];\n{}\n"
    body += "out[threadIdx.x] = words[63 - threadIdx.x];"
    for there in ("__syncthreads();", "__syncwarp();"):
        results = run(emulated_gpu, body.format(there), times=20)
        right = [result.tolist() == list(range(63, -1, -1)) for result in results]
        assert all(right) == (there == "__syncthreads();")


def test_intrinsics(emulated_gpu: Gpu) -> None:
    """Votes, shuffles, masks of active lanes and the arithmetic ones give what CUDA's guide
    says.
    """
    body = """
    const unsigned lane = threadIdx.x & 31;
    unsigned sum = in[lane];
    for (unsigned d = 1; d < 32; d *= 2) {
      const unsigned other = __shfl_up_sync(~0u, sum, d);
      if (lane >= d) sum += other;
    }
    unsigned together = 0;
    if (lane % 3 == 0) together = __activemask();
    const unsigned bit = 1u << lane;
    const bool right = sum == lane * (lane + 1) / 2 && __shfl_sync(~0u, lane, lane + 1) == (lane + 1) % 32 &&
        __ballot_sync(~0u, lane & 1) == 0xAAAAAAAAu && !__any_sync(~0u, false) && __any_sync(~0u, lane == 7) &&
        (lane % 3 ? together == 0 : (together & bit) && !(together & ~0x49249249u)) &&
        __popc(0xF0F0u) == 8 && __ffs(0) == 0 && __ffs(8) == 4 && __ffsll(1ull << 40) == 41 && __clz(1) == 31 &&
        __clz(0) == 32 && __funnelshift_l(0x80000001u, 0x12345678u, 4) == 0x23456788u &&
        __funnelshift_l(1, 2, 32) == 2 && __byte_perm(0x33221100u, 0x77665544u, 0x7052) == 0x77005522u &&
        min(-1, 1u) == 1u && min(3ull, 2ull) == 2;
    atomicAdd(out + 1, 1u);
    if (!right) atomicAdd(out, 1u);
    """
    body = f"if (threadIdx.x == 0) out[0] = out[1] = 0;\n__syncthreads();\n{body}"
    for result in run(emulated_gpu, body, times=20):
        assert result[:2].tolist() == [0, 64]


def test_streams_are_lazy(emulation: EmulatedCupy, emulated_gpu: Gpu) -> None:
    """What is queued has not happened before it is waited for; arguments are those of the
    launch.
    """
    import cupy

    assert isinstance(emulation, EmulatedCupy)
    stream = cupy.cuda.Stream(non_blocking=True)
    array = cupy.asarray(np.zeros(4, np.uint32))
    assert (
        array._host().tolist() != [0] * 4
    )  # queued on the default stream, for which `stream` does not wait
    cupy.cuda.get_current_stream().synchronize()
    with stream:
        array.fill(7)
    event = cupy.cuda.Event()
    event.record(stream)
    host = np.full(4, 9, np.uint32)
    cupy.cuda.runtime.memcpyAsync(array.data.ptr, host.ctypes.data, host.nbytes, 1, stream.ptr)
    assert array._host().tolist() == [0] * 4
    event.synchronize()
    assert array._host().tolist() == [7] * 4
    host[0] = 1  # too early: the copy is still to come
    assert array.get(stream=stream).tolist() == [1, 9, 9, 9]
    cupy.cuda.runtime.memcpyAsync(array.data.ptr, host.ctypes.data, host.nbytes, 1, stream.ptr)
    del array
    with pytest.raises(KernelFaultError, match="not allocated"):
        stream.synchronize()


def test_refused_source(emulated_gpu: Gpu) -> None:
    """Source that g++ refuses is the error that NVRTC's refusal is."""
    with pytest.raises(KernelCompileError, match="nothing"):
        emulated_gpu.device.kernel(Instance("broken", "nothing at all", 32, 1, 0))


def test_real_modules_come_back(emulated_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy is only replaced while a test has the emulated device."""
    import sys

    emulated = sys.modules["cupy"]
    assert isinstance(emulated.cuda.runtime, SimpleNamespace)
    assert emulated_gpu.emulated is not None
    monkeypatch.undo()
    assert sys.modules.get("cupy") is not emulated
