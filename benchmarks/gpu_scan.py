"""How fast is a scan on this machine's GPU? One command, every figure from the same run, each
answer checked first.

    python benchmarks/gpu_scan.py --sample SAMPLE --rules PACK [--only PART ...] [--libhs FILE]
    [--record] python benchmarks/gpu_scan.py --write-sample TREE SAMPLE [--sample-mb 128]

SAMPLE: whole files of a tree in a fixed pseudo-random order, one after the other, compressed; made
on any machine with the second form. Ceilings of the same run: the rate at which a kernel that does
nothing else reads device memory, the rate of copies from pinned memory, and Hyperscan on all
processors. Parts: resident, literals, host, store, cpu, adaptive. Appends a JSON line to
benchmarks/results/gpu_scan.jsonl with --record.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from corpus import read_sample, write_sample
from results_file import append, run_facts

from vyre_dist import Scanner
from vyre_dist.compiler import compile_tables
from vyre_dist.compiler.arena import Arena
from vyre_dist.compiler.arena_executor import execute_arena
from vyre_dist.program import ArtifactCache, compile_pack
from vyre_dist.program.pack_tables import load_tables
from vyre_dist.regex import parse
from vyre_dist.rules import RulePack
from vyre_dist.rules.byte_filters import byte_filters_of

HERE = Path(__file__).parent
SLOT_BYTES = 512 << 20
STREAM_ROUNDS = 3
PARTS = ("resident", "literals", "host", "store", "cpu", "adaptive")

READ_KERNEL = r"""
extern "C" __global__ void read_all(const uint4* p, unsigned long long n, unsigned* out) {
  const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
  unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x;
  unsigned a = 0;
  for (; i + 3 * step < n; i += 4 * step) {
    const uint4 w = p[i], x = p[i + step], y = p[i + 2 * step], z = p[i + 3 * step];
    a ^= w.x ^ w.y ^ w.z ^ w.w ^ x.x ^ x.y ^ x.z ^ x.w ^ y.x ^ y.y ^ y.z ^ y.w ^ z.x ^ z.y ^ z.z ^ z.w;
  }
  for (; i < n; i += step) a ^= p[i].x ^ p[i].y ^ p[i].z ^ p[i].w;
  if (a == 0x12345678u) *out = a;
}
"""


def repeated(arena: Arena, copies: int) -> Arena:
    """The arena's documents `copies` times over."""
    size = -(-arena.data.size // 4096) * 4096
    data = np.zeros(size * copies, np.uint8)
    for copy in range(copies):
        data[copy * size : copy * size + arena.data.size] = arena.data
    shift = np.repeat(np.arange(copies, dtype=np.int64) * size, arena.documents)
    whole = np.ones(shift.size, bool)
    return Arena(
        data,
        np.tile(arena.starts, copies) + shift,
        np.tile(arena.ends, copies) + shift,
        whole,
        whole,
    )


class Gpu:
    """The device, a stream and how things are timed on them."""

    def __init__(self) -> None:
        import cupy

        from vyre_dist.kernels.cuda import open_device

        self.cupy = cupy
        self.device = open_device(ArtifactCache(None))
        self.stream = cupy.cuda.Stream(non_blocking=True)

    def seconds(self, work: Callable[[], object], rounds: int = 15) -> float:
        """The median time on the device of `work`, which queues on the stream."""
        work()
        self.stream.synchronize()
        times = []
        for _ in range(rounds):
            began, ended = self.cupy.cuda.Event(), self.cupy.cuda.Event()
            began.record(self.stream)
            work()
            ended.record(self.stream)
            ended.synchronize()
            times.append(self.cupy.cuda.get_elapsed_time(began, ended) / 1000)
        return statistics.median(times)

    def read_rate(self, size: int = 2 << 30) -> float:
        """Bytes a second of a kernel that only reads."""
        data = self.cupy.random.randint(0, 255, size // 4, np.uint32)
        out = self.cupy.zeros(1, np.uint32)
        self.cupy.cuda.get_current_stream().synchronize()
        kernel = self.cupy.RawKernel(READ_KERNEL, "read_all")
        grid = self.device.multiprocessors * 8

        def work() -> None:
            with self.stream:
                kernel((grid,), (512,), (data, np.uint64(size // 16), out))

        return size / self.seconds(work)

    def copy_rate(self, size: int = 256 << 20) -> float:
        """Bytes a second from pinned memory to the device."""
        pinned = self.cupy.cuda.alloc_pinned_memory(size)
        host = np.frombuffer(pinned, np.uint8, size)
        host[:] = 7
        there = self.cupy.empty(size, np.uint8)
        return size / self.seconds(lambda: there.set(host, stream=self.stream))


def check_rows(rows: Any, arena: Arena, tables: Any, max_steps: int, tile_bytes: int) -> int:
    """The rows of the first copy are the reference's; how many."""
    sys.path.insert(0, str(HERE.parent / "tests" / "support"))
    from gpu_support import expected, found

    want = expected(execute_arena(tables, arena, tile_bytes=tile_bytes, max_steps=max_steps))
    assert found(rows) == want
    return len(want[0]) + len(want[1])


def resident(
    gpu: Gpu, tables: Any, one: Arena, copies: int, read_rate: float, name: str
) -> dict[str, Any]:
    """Rates on data that is on the device already."""
    from vyre_dist.kernels.cuda import (
        DEFAULT_TUNABLES,
        MAX_STEPS,
        CudaPrograms,
        DeviceArena,
        Workspace,
    )

    programs = CudaPrograms(gpu.device, tables, DEFAULT_TUNABLES, MAX_STEPS)
    there, space = DeviceArena(), Workspace()
    there.upload(one, gpu.stream)
    rows = programs.run_fused(there, space, gpu.stream)
    count = check_rows(rows, one, tables, MAX_STEPS, DEFAULT_TUNABLES.tile_bytes)
    big = repeated(one, copies)
    there.upload(big, gpu.stream)
    fused = programs.run_fused(there, space, gpu.stream)
    serial = programs.run_serial(there, space, gpu.stream)
    unique = {len(np.unique(r.rows)) for r in (fused, serial)}
    assert unique == {copies * len(np.unique(rows.rows))}, unique
    stretches = there.stretches()

    def prefilter() -> None:
        for stretch in stretches:
            programs.launch_masks(stretch, space, gpu.stream)

    began = time.perf_counter()
    for _ in range(5):
        programs.run_serial(there, space, gpu.stream)
    serial_rate = 5 * big.data.size / (time.perf_counter() - began)
    rates = {
        "prefilter": big.data.size / gpu.seconds(prefilter),
        "scan to rows": big.data.size
        / gpu.seconds(lambda: programs.launch_fused(there, space, gpu.stream)),
    }
    print(
        f"{name}, resident, {big.data.size / 1e9:.2f} GB, {count} rows a copy, equal to the "
        "reference:"
    )
    for what, rate in rates.items():
        print(
            f"  {what:14} {rate / 1e9:7.0f} GB/s  {rate / read_rate:5.2f} of the device read rate"
        )
    print(f"  {'serial path':14} {serial_rate / 1e9:7.0f} GB/s, read-backs included")
    return {
        **{k: round(v / 1e9, 1) for k, v in rates.items()},
        "serial": round(serial_rate / 1e9, 1),
        "rows": count,
    }


def generated_literals(count: int) -> list[str]:
    """Literals of 6 to 20 bytes, fixed."""
    rng = random.Random(20)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
    return ["".join(rng.choice(letters) for _ in range(rng.randint(6, 20))) for _ in range(count)]


def copies_rate(arrays: list[npt.NDArray[np.uint8]], rounds: int = 4) -> float:
    """Bytes a second of copying `arrays`, which are registered with CUDA, to the device, one behind
    the other.
    """
    import cupy

    there, stream = (
        cupy.empty(max(a.size for a in arrays), np.uint8),
        cupy.cuda.Stream(non_blocking=True),
    )
    began = time.perf_counter()
    for array in arrays * rounds:
        cupy.cuda.runtime.memcpyAsync(
            there.data.ptr,
            array.ctypes.data,
            array.size,
            cupy.cuda.runtime.memcpyHostToDevice,
            stream.ptr,
        )
    stream.synchronize()
    return rounds * sum(a.size for a in arrays) / (time.perf_counter() - began)


@dataclass
class StreamRates:
    """What `stream_rates` saw: bytes a second of each round, to findings and of copies alone."""

    batches: int
    findings: int
    to_findings: list[float] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)


def stream_rates(
    pack: RulePack,
    paths: list[str],
    documents: list[bytes],
    gigabytes: float,
    store: bool,
    workers: int,
) -> StreamRates:
    """Host memory to findings, some `gigabytes` in each of a few rounds: what a machine does
    meanwhile can hit one of them.

    Every batch's findings are checked.
    """
    from vyre_dist.kernels.cuda import DevicePack
    from vyre_dist.stream import ArenaBatch, ExtractionPool, GpuStream

    want = [
        list(found)
        for found in Scanner(pack, backend="cpu").scan_batch(
            list(zip(paths, documents, strict=True))
        )
    ]
    # several copies of the sample in a batch, as many as a slot has room for
    copies = max(1, SLOT_BYTES // (sum(map(len, documents)) + 16 * len(documents)))
    want, paths, documents = want * copies, paths * copies, documents * copies
    numbered = list(zip(range(len(documents)), paths, documents, strict=True))
    findings = sum(map(len, want))
    places = sorted((n, f.rule_id, f.start, f.end) for n, own in enumerate(want) for f in own)
    compiled = compile_pack(pack.data)
    device_pack = DevicePack(compiled, ArtifactCache(None), byte_filters_of(pack.data))
    with (
        ExtractionPool(pack.data, compiled, device_pack.reading, workers) as pool,
        GpuStream(device_pack, pack.data, pool, slots=8, slot_bytes=SLOT_BYTES) as stream,
    ):
        batches: list[ArenaBatch] = []
        while (slot := stream.free_slot()) is not None:
            batch, left = slot.fill(iter(numbered))
            assert left is None, "the sample does not fit into a slot"
            batches.append(batch)
        if store:
            import ray

            # the text lies in the object store, once for each slot
            refs = [ray.put(np.array(batch.arena.data)) for batch in batches]
            for batch, ref in zip(batches, refs, strict=True):
                own = batch.arena
                batch.arena = Arena(ray.get(ref), own.starts, own.ends, own.at_start, own.at_end)
        total = max(2 * len(batches), int(gigabytes * 1e9 / batches[0].arena.data.size))

        def run(count: int) -> Iterator[tuple[ArenaBatch, list[Any]]]:
            ready, put = list(batches), 0
            while put < count:
                if not ready:
                    batch, rows = stream.next_finished()
                    ready.append(batch)
                    yield batch, rows
                batch = ready.pop(0)
                put += 1
                for done in stream.put(batch):
                    ready.append(done[0])
                    yield done
            yield from stream.drain()

        for _ in run(2 * len(batches)):
            pass  # buffers grow to what they need, workers attach
        rates = StreamRates(total, findings)
        ids = [rule.id for rule in pack.rules]
        for _ in range(STREAM_ROUNDS):
            rates.copies.append(copies_rate([batch.arena.data for batch in batches]))
            began = time.perf_counter()
            results = [rows for _, rows in run(total)]
            seconds = time.perf_counter() - began
            rates.to_findings.append(sum(map(len, documents)) * total / seconds)
            assert len(results) == total
            for rows in results:
                assert sorted((r[0], ids[r[1]], r[2], r[3]) for r in rows) == places
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write-sample", nargs=2, metavar=("TREE", "SAMPLE"))
    parser.add_argument("--sample-mb", type=float, default=128)
    parser.add_argument("--sample")
    parser.add_argument("--rules")
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--gigabytes", type=float, default=24)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--libhs")
    # one processor drives the GPU, another feeds the workers
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0)) - 4))
    parser.add_argument("--record", action="store_true")
    parser.add_argument(
        "--commit", help="what is recorded as the state of the code (default: what git says)"
    )
    args = parser.parse_args()
    if args.write_sample:
        write_sample(*args.write_sample, args.sample_mb)
        return
    if not args.sample:
        parser.error("--sample is needed; --write-sample makes one")

    paths, documents = read_sample(args.sample)
    one = Arena.lay_out(documents)
    pack = RulePack.load(args.rules) if args.rules else RulePack.builtin()
    gpu = Gpu()
    record: dict[str, Any] = {
        **run_facts(args.commit, args.rules),
        "adapter": gpu.device.adapter_id,
        "sample": hashlib.sha256(one.data).hexdigest()[:16],
        "bytes": sum(map(len, documents)),
        "files": len(documents),
    }
    if "cpu" in args.only:
        sys.path.insert(0, str(HERE / "peers"))
        from hyperscan_memory import measure

        workers = len(os.sched_getaffinity(0))
        patterns = [rule.candidate_pattern for rule in compile_pack(pack.data).rules]
        seconds, hits, which = measure(
            one.data, one.starts.tolist(), one.ends.tolist(), patterns, workers, args.libhs
        )
        record["hyperscan"] = {
            "GB/s": round(record["bytes"] / seconds / 1e9, 2),
            "which": which,
            "hits": hits,
        }
        print(
            f"Hyperscan, {which}, {workers} processors: {record['bytes'] / seconds / 1e9:.2f} "
            f"GB/s, {hits} hits"
        )
    read_rate, copy_rate = gpu.read_rate(), gpu.copy_rate()
    record["read GB/s"], record["copy GB/s"] = round(read_rate / 1e9, 1), round(copy_rate / 1e9, 1)
    print(f"device read {read_rate / 1e9:.0f} GB/s, pinned copy {copy_rate / 1e9:.1f} GB/s")
    if "resident" in args.only:
        tables = load_tables(compile_pack(pack.data))
        record["resident"] = resident(gpu, tables, one, args.copies, read_rate, record["rules"])
    if "literals" in args.only:
        began = time.perf_counter()
        tables = compile_tables(
            [parse(literal).root for literal in generated_literals(5000)]
        ).tables
        print(f"5 000 literals compiled in {time.perf_counter() - began:.1f} s")
        record["literals"] = resident(gpu, tables, one, args.copies, read_rate, "5 000 literals")
    for part, store in (("host", False), ("store", True)):
        if part not in args.only:
            continue
        if store:
            import ray

            ray.init(
                address="local", num_cpus=1, object_store_memory=6 << 30, include_dashboard=False
            )
        rates = stream_rates(pack, paths, documents, args.gigabytes, store, args.workers)
        rate, bare = statistics.median(rates.to_findings), statistics.median(rates.copies)
        record[part] = {
            "GB/s": round(rate / 1e9, 1),
            "rounds": [round(each / 1e9, 1) for each in rates.to_findings],
            "findings": rates.findings,
            "batches": rates.batches,
            "copies GB/s": round(bare / 1e9, 1),
        }
        source = "Ray's object store" if store else "pinned memory"
        print(
            f"from {source} to findings: {rate / 1e9:.1f} GB/s, {rate / copy_rate:.2f} of the "
            "pinned copy rate (median of "
            f"{', '.join(f'{each / copy_rate:.2f}' for each in sorted(rates.to_findings))}); "
            "copies alone from there "
            f"{bare / 1e9:.1f} GB/s; {rates.findings} findings a batch, equal to the cpu backend's "
            "in all "
            f"{STREAM_ROUNDS} × {rates.batches}"
        )
        if store:
            ray.shutdown()
    if "adaptive" in args.only:
        from adaptive_paths import adaptive

        record["adaptive"] = adaptive(gpu)
    if "hyperscan" in record:
        for part in ("resident", "host", "store"):
            if part in record:
                rate = record[part].get("scan to rows", record[part].get("GB/s"))
                print(
                    f"{part}: {rate / record['hyperscan']['GB/s']:.1f} × Hyperscan on all "
                    "processors"
                )
    if args.record:
        append("gpu_scan.jsonl", record)


if __name__ == "__main__":
    main()
